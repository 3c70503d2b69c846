"""The cropped digits of Street View House Numbers (its "format 2"): MATLAB files of 32 x 32 colour images.

``train_32x32.mat`` has 73,257 digits, ``test_32x32.mat`` 26,032 and ``extra_32x32.mat`` 531,131 easier ones. In each,
``X`` are unsigned bytes of shape (32, 32, 3, n) and ``y`` labels of shape (n, 1) from 1 to 10, where 10 is the digit 0.
The extra digits are only read for ``svhn-extra``, whose train set is both files (604,388 digits), as in the tables of
DenseNet and snapshot ensembles.

Source: Y. Netzer, T. Wang, A. Coates, A. Bissacco, B. Wu, A. Y. Ng, Reading digits in natural images with
unsupervised feature learning, NIPS workshop (2011).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from orograph.basics.errors import DataError
from orograph.data.images import ImageData, LabelledImages
from orograph.data.matlab import read_arrays

TRAIN_FILE, TEST_FILE, EXTRA_FILE = "train_32x32.mat", "test_32x32.mat", "extra_32x32.mat"
DIGITS = tuple("0123456789")
REMEDY = "delete it and load again to download it anew, or replace it"


def is_svhn_folder(folder: Path) -> bool:
    """Whether the folder holds ``train_32x32.mat``."""
    return (folder / TRAIN_FILE).is_file()


def read_svhn_folder(folder: Path, name: str, *, extra: bool = False) -> ImageData:
    """``train_32x32.mat`` and ``test_32x32.mat``; with ``extra``, those of ``extra_32x32.mat`` follow the train digits.

    Raises
    ------
    DataError
        A file is missing, damaged or no MATLAB file, lacks ``X`` or ``y``, or these are of another shape or range.
    """
    parts = [read_digits(folder / file) for file in ((TRAIN_FILE, EXTRA_FILE) if extra else (TRAIN_FILE,))]
    train = LabelledImages(
        np.concatenate([part.pixels for part in parts]), np.concatenate([part.labels for part in parts])
    )
    return ImageData(name, train, read_digits(folder / TEST_FILE), DIGITS, source=str(folder))


def read_digits(path: Path) -> LabelledImages:
    """The digits of one file: pixels of shape (n, 3, 32, 32), red before green and blue, and labels from 0 to 9."""
    variables = read_arrays(path, ("X", "y"), REMEDY)
    missing = [key for key in ("X", "y") if key not in variables]
    if missing:
        raise DataError(f"{path}: lacks {' and '.join(missing)}, so it is not one of SVHN's cropped digits; {REMEDY}")
    images, labels = variables["X"], variables["y"]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[:3] != (32, 32, 3):
        raise DataError(
            f"{path}: X is {images.dtype} of shape {images.shape}, expected uint8 of shape (32, 32, 3, n); {REMEDY}"
        )
    if labels.size != images.shape[3]:
        raise DataError(f"{path}: X has {images.shape[3]:,} images but y has {labels.size:,} labels; {REMEDY}")
    outside = labels[~np.isin(labels, np.arange(1, 11))]
    if outside.size:
        raise DataError(f"{path}: y holds {outside[0]}, expected labels from 1 to 10 (10 is the digit 0); {REMEDY}")
    pixels = np.ascontiguousarray(images.transpose(3, 2, 0, 1))
    return LabelledImages(pixels, labels.reshape(-1).astype(np.int64) % 10)
