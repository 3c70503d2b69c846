"""What classes are called that have folders with catalogue numbers for names.

- WordNet ids, as in ImageNet (``n01440764``): the first synonym that a list of them gives (``tench``). The list is
  ``LOC_synset_mapping.txt``, ``synset_words.txt`` or ``words.txt``, each line an id, white space and synonyms with
  commas between, in the data's folder or up to three above it, where the published archives have it.
- Numbers before the name, as in Caltech-256 (``001.ak47``): the name alone (``ak47``).

Two classes of one name would be told apart by nothing: they get their folder's name behind it (ImageNet has two kinds
of ``crane``). The order of the classes is that of the folders in any case.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from orograph.basics.errors import DataError

WORD_LISTS = ("LOC_synset_mapping.txt", "synset_words.txt", "words.txt")
_ABOVE = 3
_SYNSET = re.compile(r"n\d{8}")
_NUMBERED = re.compile(r"\d+\.\s*([^\W\d].*)")  # 2.5 is a number, and no name with one before it


def class_names(folder: Path, names: Sequence[str]) -> tuple[str, ...]:
    """A name for each class folder in ``names``, which stays as it is unless all of them are ids or all have numbers.

    Raises
    ------
    DataError
        There is a list of synonyms that cannot be read.
    """
    if names and all(_SYNSET.fullmatch(name) for name in names):
        words = _words(folder)
        return _told_apart([words.get(name, name) for name in names], names)
    numbered = [_NUMBERED.fullmatch(name) for name in names]
    if names and all(numbered):
        return _told_apart([match.group(1).rstrip() for match in numbered if match], names)
    return tuple(names)


def _words(folder: Path) -> dict[str, str]:
    """The first synonym of each WordNet id, from the nearest list; empty where there is none."""
    whole = folder.resolve()
    places = (place / name for place in (whole, *list(whole.parents)[:_ABOVE]) for name in WORD_LISTS)
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise DataError(f"cannot read the classes' names in {path}: {reason}; mend or remove it") from error
    found = {}
    for line in lines:
        wnid, _, synonyms = line.strip().replace("\t", " ").partition(" ")
        first = synonyms.split(",")[0].strip()
        if first:
            found[wnid] = first
    return found


def _told_apart(names: Sequence[str], folders: Sequence[str]) -> tuple[str, ...]:
    often = Counter(names)
    return tuple(f"{name} ({folder})" if often[name] > 1 else name for name, folder in zip(names, folders, strict=True))
