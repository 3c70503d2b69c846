"""Folders of sentences and their translations: ``train.de`` and ``train.en``, line by line, plain or as ``.gz``.

The test set is ``test.de`` and ``test.en`` or the first ``test…`` by name, and where there is none ``val``, ``valid``
or ``dev``. The language that comes first in the alphabet is translated into the other.

Words are cut by one rule, for any language that puts spaces between words: the text is lower-cased; letters, digits
and what joins them inside a word (an apostrophe or a hyphen with letters on both sides) make a word; every other
character that is no space is a word by itself. ``Ein Mann's T-Shirt, rot.`` is ``ein mann's t-shirt , rot .``

Multi30k (29,000 pairs of captions, German to English) is read this way, and tested on its ``test_2016_flickr``:
D. Elliott, S. Frank, K. Sima'an, L. Specia, Multi30K: multilingual English-German image descriptions, Workshop on
Vision and Language (2016).
"""

from __future__ import annotations

import gzip
import re
import unicodedata
import zlib
from pathlib import Path

from orograph.basics.errors import DataError
from orograph.data.sentences import Sentence, SentencePairs
from orograph.data.text_data import ParallelText

MULTI30K_TEST = "test_2016_flickr"
MULTI30K_FILES = ("train.de", "train.en", f"{MULTI30K_TEST}.de", f"{MULTI30K_TEST}.en")

_WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
# A language is two letters, perhaps with a region: de, pt-BR. "gz" is an ending, not a language.
_FILE = re.compile(r"(?P<part>.+)\.(?P<language>(?!gz)[a-z]{2}(?:[-_][A-Za-z]{2,4})?)(?:\.gz)?")


def words_of(line: str) -> Sentence:
    """The words of one line, by the rule of this module.

    >>> words_of("Ein Mann's T-Shirt, rot.")
    ('ein', "mann's", 't-shirt', ',', 'rot', '.')
    """
    # Composed, because a letter and its accent as two characters would be cut in two.
    return tuple(_WORD.findall(unicodedata.normalize("NFC", line).lower()))


def is_text_folder(folder: Path) -> bool:
    """Whether the folder holds ``train`` in at least two languages."""
    return len(_parts(folder).get("train", ())) >= 2


def read_text_folder(folder: Path, name: str) -> ParallelText:
    """The sentence pairs of a folder.

    Raises
    ------
    DataError
        There are more than two languages or no test set; a file cannot be read or is not UTF-8; or two files that
        belong together differ in their number of lines.
    """
    parts = _parts(folder)
    languages = sorted(parts["train"])
    if len(languages) > 2:
        raise DataError(
            f"{folder} has train in {len(languages)} languages ({', '.join(languages)}); keep the files of two"
        )
    complete = [part for part in sorted(parts) if parts[part] >= parts["train"]]
    tests = [part for part in complete if part.startswith("test")]
    test = next((part for part in (*tests, "val", "valid", "dev") if part in complete), None)
    if test is None:
        both = " and ".join(f"test.{language}" for language in languages)
        raise DataError(f"{folder} has train but neither test nor val in {' and '.join(languages)}; add {both}")
    return ParallelText(name, _read_pairs(folder, "train", languages), _read_pairs(folder, test, languages))


def _parts(folder: Path) -> dict[str, set[str]]:
    """The languages of each part (``train``, ``test``, …) that the folder has files of."""
    parts: dict[str, set[str]] = {}
    for match in (_FILE.fullmatch(file.name) for file in folder.iterdir() if file.is_file()):
        if match:
            parts.setdefault(match["part"], set()).add(match["language"])
    return parts


def _read_pairs(folder: Path, part: str, languages: list[str]) -> SentencePairs:
    files = [_file(folder, f"{part}.{language}") for language in languages]
    sources, targets = (_read_sentences(file) for file in files)
    if len(sources) != len(targets):
        raise DataError(
            f"{folder}: {files[0].name} has {len(sources):,} lines but {files[1].name} has {len(targets):,}; line k of "
            "one must translate line k of the other"
        )
    return SentencePairs(sources, targets)


def _file(folder: Path, name: str) -> Path:
    plain = folder / name
    return plain if plain.is_file() else folder / f"{name}.gz"


def _read_sentences(file: Path) -> tuple[Sentence, ...]:
    try:
        content = file.read_bytes()
        text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 (byte {error.start:,}); convert it") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file} cannot be read ({error}); replace it") from error
    # Not splitlines, for which a rare separator inside a sentence would end it and shift all that follow.
    lines = text.removesuffix("\n").split("\n") if text else []
    return tuple(words_of(line) for line in lines)
