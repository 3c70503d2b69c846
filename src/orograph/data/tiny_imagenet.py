"""Tiny ImageNet as it is published: 64 x 64 JPEG pictures of 200 ImageNet classes, 500 for training and 50 to validate.

The folder has ``wnids.txt`` (the classes in their order, one WordNet id a line), ``words.txt`` (WordNet id, tab,
synonyms), ``train/<id>/images/*.JPEG``, and ``val/images/*.JPEG`` with ``val/val_annotations.txt`` (file, tab,
WordNet id, tab, the box of the object, which is not used). The validation pictures are the test set here, as in the
literature: the pictures under ``test`` have no published labels. Grey pictures become equal red, green and blue.

Source: the Tiny ImageNet challenge of Stanford's course CS231n (2015); a part of O. Russakovsky et al., ImageNet large
scale visual recognition challenge (2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from orograph.basics.errors import DataError
from orograph.basics.seeds import generator
from orograph.data.folder import ENDINGS, open_picture
from orograph.data.images import ImageData, LabelledImages

SIDE = 64
CLASSES_FILE, WORDS_FILE, ANNOTATIONS_FILE = "wnids.txt", "words.txt", "val/val_annotations.txt"
REMEDY = "unpack tiny-imagenet-200.zip again"


def is_tiny_imagenet_folder(folder: Path) -> bool:
    """Whether the folder holds ``wnids.txt``."""
    return (folder / CLASSES_FILE).is_file()


def read_tiny_imagenet_folder(folder: Path, name: str) -> ImageData:
    """All pictures of the folder; those of the train set in a fixed random order, the others as they are listed.

    A class is called by its first synonym in ``words.txt``, or by its WordNet id where that file does not name it.

    Raises
    ------
    DataError
        A file is missing or unreadable, a picture is not 64 x 64, a class has no pictures, or a WordNet id is unknown.
    """
    ids = [line.strip() for line in _lines(folder / CLASSES_FILE)]
    if not ids or len(set(ids)) != len(ids):
        raise DataError(f"{folder / CLASSES_FILE}: expected WordNet ids, each once, found {len(ids):,} lines; {REMEDY}")
    train, test = _train_files(folder, ids), _test_files(folder, ids)
    order = torch.randperm(len(train), generator=generator(0, "folder", "order")).tolist()
    return ImageData(
        name, _read([train[index] for index in order]), _read(test), _class_names(folder, ids), source=str(folder)
    )


def _train_files(folder: Path, ids: Sequence[str]) -> list[tuple[Path, int]]:
    """Every train picture with its label, class by class."""
    classes = {entry.name for entry in folder.glob("train/*") if entry.is_dir()}
    unknown = sorted(classes - set(ids))
    if unknown:
        raise DataError(f"{folder / 'train' / unknown[0]}: {CLASSES_FILE} has no such class; add it there, or {REMEDY}")
    files = []
    for label, wnid in enumerate(ids):
        pictures = _pictures(folder / "train" / wnid / "images")
        if not pictures:
            place = folder / "train" / wnid / "images"
            raise DataError(f"{place} holds no pictures; {REMEDY}, or take {wnid} out of {CLASSES_FILE}")
        files += [(path, label) for path in pictures]
    return files


def _test_files(folder: Path, ids: Sequence[str]) -> list[tuple[Path, int]]:
    """Every validation picture with its label, in the order of the annotations."""
    path = folder / ANNOTATIONS_FILE
    labels = {wnid: label for label, wnid in enumerate(ids)}
    there = {picture.name: picture for picture in _pictures(path.parent / "images")}
    files = []
    for number, line in enumerate(_lines(path), start=1):
        columns = line.split("\t")
        if len(columns) < 2:
            raise DataError(f"{path}, line {number}: expected a file, a tab and a WordNet id, found {line!r}; {REMEDY}")
        file, wnid = columns[0].strip(), columns[1].strip()
        if wnid not in labels:
            raise DataError(f"{path}, line {number}: {wnid!r} is not in {CLASSES_FILE}; add it there, or {REMEDY}")
        if file not in there:
            raise DataError(f"{path}, line {number}: {file} is not in {path.parent / 'images'}; {REMEDY}")
        files.append((there[file], labels[wnid]))
    unlisted = sorted(there.keys() - {picture.name for picture, _ in files})
    if unlisted:
        raise DataError(f"{path} has no line for {len(unlisted):,} pictures, the first is {unlisted[0]}; {REMEDY}")
    return files


def _pictures(folder: Path) -> list[Path]:
    """The picture files of a folder by name, none if there is no such folder."""
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in ENDINGS and not path.name.startswith("."))


def _read(files: Sequence[tuple[Path, int]]) -> LabelledImages:
    pixels = np.empty((len(files), 3, SIDE, SIDE), dtype=np.uint8)
    for picture, (path, _) in zip(pixels, files, strict=True):
        opened = open_picture(path)
        if opened.size != (SIDE, SIDE):
            width, height = opened.size
            raise DataError(
                f"{path} is {width} x {height} pixels, expected {SIDE} x {SIDE}; {REMEDY}, or give the folder "
                f"without {CLASSES_FILE} to have pictures in class folders scaled"
            )
        picture[:] = np.asarray(opened.convert("RGB")).transpose(2, 0, 1)
    return LabelledImages(pixels, np.array([label for _, label in files], dtype=np.int64))


def _class_names(folder: Path, ids: Sequence[str]) -> tuple[str, ...]:
    words = folder / WORDS_FILE
    pairs = (line.partition("\t") for line in _lines(words)) if words.is_file() else ()
    names = {wnid.strip(): synonyms.split(",")[0].strip() for wnid, _, synonyms in pairs}
    return tuple(names.get(wnid) or wnid for wnid in ids)


def _lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank."""
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text file; {REMEDY}") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; {REMEDY}") from error
