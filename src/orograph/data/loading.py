"""``load``: one door for every kind of data. Each branch is one line that names its reader."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from orograph.basics.errors import DataError, UsageError, nearest
from orograph.basics.references import is_reference
from orograph.basics.seeds import generator
from orograph.data import arrays, cifar, folder, idx, svhn, text, tiny_imagenet, user
from orograph.data.data import Data, labels_of
from orograph.data.digits import read_digits
from orograph.data.download import download as download_source
from orograph.data.images import ImageData
from orograph.data.sources import SOURCES, Source, cache, find, named_by, not_found
from orograph.data.split import Examples
from orograph.data.subset import sample, wanted
from orograph.data.synthetic_text import copy_reverse
from orograph.data.text_data import BATCH_TOKENS, ParallelText


def load(
    source: Any,
    *,
    train_size: int | float | None = None,
    test_size: int | float | None = None,
    seed: int = 0,
    root: str | Path | None = None,
    download: bool = True,
    image_size: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    single: bool = False,
) -> Data:
    """The data that ``source`` names or holds.

    Parameters
    ----------
    source : str, Path or object
        A name (:func:`known` lists them); an ``.npz`` file; a folder of IDX files, binary CIFAR files, SVHN's
        MATLAB files, Tiny ImageNet, pictures in class folders or text in two languages (``train.de``, ``train.en``);
        ``package.module:factory`` or ``file.py:factory``; or an object: a ``Data``, or a pair (train, test) of
        datasets, loaders or pairs (inputs, targets). A name wins over a folder of the same name: write ``./digits``
        for the folder.
    train_size, test_size : int or float, optional
        How many examples to keep, or which share of them (a float in (0, 1]); sampled by class, in their order.
    seed : int
        Decides the sample, the 80/20 split where a source does not come with a test set, the order of batches of
        text, and the sentences of copy-reverse.
    root : str or Path, optional
        Where a named source's files are looked for first, and downloaded to. Then come ``$OROGRAPH_DATA`` and the
        user's cache.
    download : bool
        Whether a named source that is not found may be downloaded.
    image_size : int, optional
        Side of the pictures in class folders, in pixels; the first picture's size by default.
    batch_tokens : int
        Most positions of the translations, padding included, in one batch of text.
    single : bool
        Whether an object may be one Dataset, one DataLoader or one pair (inputs, targets), which is then the training
        set and the test set.

    Returns
    -------
    Data
        8-bit images from files are float32 of shape (n, channels, height, width), standardised for each channel
        with the mean and standard deviation of the whole train set. Sentences are a
        :class:`~orograph.data.TextData`, with the vocabularies of the whole train set. The user's own
        objects are not altered.

    Raises
    ------
    UsageError
        The name is unknown, an option is out of range, or more examples are wanted than there are.
    DataError
        Files are missing or damaged, or a download failed; the message names the file and what to do.
    """
    found = _read(source, seed, root, download, image_size, single)
    if isinstance(found, ImageData):
        return found.standardised(train_size, test_size, seed)
    if isinstance(found, ParallelText):
        return found.in_batches(train_size, test_size, seed, batch_tokens)
    if train_size is None and test_size is None:
        return found
    return replace(
        found,
        train=_subset(found.train, train_size, "train", seed),
        test=_subset(found.test, test_size, "test", seed),
    )


def _read(
    source: Any, seed: int, root: str | Path | None, download: bool, image_size: int | None, single: bool
) -> ImageData | ParallelText | Data:
    if not isinstance(source, (str, Path)):
        return user.data_from_object(source, seed=seed, single=single)
    named, path = str(source), Path(source).expanduser()
    if isinstance(source, str) and named in SOURCES:
        return _read_named(SOURCES[named], seed, root, download)
    if path.is_dir():
        return _read_folder(path, seed, image_size)
    if path.is_file():
        if path.suffix == ".npz":
            return arrays.read_npz(path, seed)
        raise DataError(f"{path} is not a kind of data file orograph reads; give an .npz, a folder, or file.py:factory")
    if is_reference(named):
        return user.data_from_reference(named, seed, single=single)
    if isinstance(source, Path) or os.sep in named or path.suffix:
        raise UsageError(f"no such file or folder: {path}{nearest(named, SOURCES)}")
    raise UsageError(
        f"unknown data {named!r}{nearest(named, SOURCES)}; use {', '.join(SOURCES)}, a folder, an .npz file or "
        "package.module:factory"
    )


def _read_named(source: Source, seed: int, root: str | Path | None, download: bool) -> ImageData | ParallelText:
    if source.layout == "digits":
        return read_digits()
    if source.layout == "copy-reverse":
        return copy_reverse(seed)
    place = find(source, root)
    if place is None:
        if not download or not source.downloads:
            raise not_found(source, root)
        place = download_source(source, Path(root).expanduser() if root else cache())
    if source.layout == "idx":
        return idx.read_idx_folder(place, source.name, source.class_names)
    if source.layout == "cifar10":
        return cifar.read_cifar10_folder(place, source.name)
    if source.layout == "cifar100":
        return cifar.read_cifar100_folder(place, source.name)
    if source.layout == "svhn":
        return svhn.read_svhn_folder(place, source.name, extra=svhn.EXTRA_FILE in source.files)
    if source.layout == "text":
        return text.read_text_folder(place, source.name)
    return tiny_imagenet.read_tiny_imagenet_folder(place, source.name)


def _read_folder(path: Path, seed: int, image_size: int | None) -> ImageData | ParallelText:
    name = path.resolve().name
    if idx.is_idx_folder(path):
        owner = named_by(path)
        return idx.read_idx_folder(path, owner.name if owner else name, owner.class_names if owner else ())
    if cifar.is_cifar10_folder(path):
        return cifar.read_cifar10_folder(path, name)
    if cifar.is_cifar100_folder(path):
        return cifar.read_cifar100_folder(path, name)
    if svhn.is_svhn_folder(path):
        return svhn.read_svhn_folder(path, name)
    if tiny_imagenet.is_tiny_imagenet_folder(path):
        return tiny_imagenet.read_tiny_imagenet_folder(path, name)
    if text.is_text_folder(path):
        return text.read_text_folder(path, name)
    return folder.read_image_folder(path, seed, image_size)


def _subset(examples: Examples, size: int | float | None, part: str, seed: int) -> Examples:
    count = wanted(size, len(examples), f"{part}_size")
    if count == len(examples):
        return examples
    return examples.take(sample(labels_of(examples), len(examples), count, generator(seed, "subset", part)))
