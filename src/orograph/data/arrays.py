"""NumPy archives: ``x_train, y_train, x_test, y_test``, or ``x, y``, which are split 80/20 by class.

Unsigned bytes are images and get standardised like the named data sets, also when they lie flat (n, features); their
channels may come last. Other numbers are taken as they are, float64 as float32, since that is NumPy's default and
not a choice. Archives with pickled objects are refused: a pickle can run anything.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from orograph.basics.errors import DataError
from orograph.basics.seeds import generator
from orograph.data.data import Data
from orograph.data.images import ImageData, LabelledImages
from orograph.data.subset import train_test

FOUR_KEYS = ("x_train", "y_train", "x_test", "y_test")
CHANNEL_COUNTS = (1, 3, 4)


def read_npz(path: Path, seed: int) -> ImageData | Data:
    """The data in an ``.npz`` file; ``seed`` decides the split where the file has only ``x`` and ``y``.

    Raises
    ------
    DataError
        The file is damaged, lacks a key, holds objects or text, or inputs and targets differ in number.
    """
    arrays = _read_arrays(path)
    if "x" in arrays:
        _require_pairs(path, "whole", arrays["x"], arrays["y"], at_least=2)
        x_train, y_train, x_test, y_test = _halves(arrays["x"], arrays["y"], seed)
    else:
        x_train, y_train, x_test, y_test = (arrays[key] for key in FOUR_KEYS)
        _require_pairs(path, "train", x_train, y_train)
        _require_pairs(path, "test", x_test, y_test)
    if x_train.shape[1:] != x_test.shape[1:] or x_train.dtype != x_test.dtype:
        raise DataError(
            f"{path}: train inputs are {x_train.dtype} {x_train.shape[1:]} each but test inputs are {x_test.dtype} "
            f"{x_test.shape[1:]}; save both in one format"
        )
    if x_train.dtype == np.uint8:
        if y_train.dtype.kind != "i" or y_train.ndim != 1:
            raise DataError(
                f"{path}: 8-bit images need whole-number labels of shape (n,); save other inputs as float32"
            )
        return _images(path, x_train, y_train, x_test, y_test)
    name = str(path)  # named in full while something can be wrong with it
    data = Data.from_tensors((_channels_first(x_train), y_train), (_channels_first(x_test), y_test), name=name)
    return replace(data, name=path.stem)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays that are needed: all four, or ``x`` and ``y``."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: a single array, expected an archive; save it with numpy.savez")
            keys = ("x", "y") if {"x", "y"} <= set(archive.files) else FOUR_KEYS
            missing = [key for key in keys if key not in archive.files]
            if missing:
                raise DataError(
                    f"{path}: lacks {', '.join(missing)} (found {', '.join(archive.files) or 'nothing'}); expected "
                    f"{', '.join(FOUR_KEYS)}, or x and y"
                )
            arrays = {}
            for key in keys:
                try:
                    arrays[key] = _numbers(path, key, archive[key])
                except ValueError as error:
                    raise DataError(
                        f"{path}: {key} cannot be read as a plain array ({error}); save it as an array of numbers"
                    ) from error
            return arrays
    # NumPy calls anything it does not know a pickle and advises to load it unsafely; its words are not passed on.
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise DataError(f"{path}: not a whole .npz archive; save it again with numpy.savez") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; check the file and its permissions") from error


def _numbers(path: Path, key: str, array: np.ndarray) -> np.ndarray:
    """Floats as float32, whole-number targets (also truth values) as int64, other inputs as they are."""
    if array.dtype.kind not in "biuf":
        raise DataError(f"{path}: {key} has dtype {array.dtype}, expected numbers; number the classes from 0")
    if key.startswith("y") and array.dtype.kind in "biu":
        array = array.astype(np.int64)
        return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array  # (n, 1), as Keras saves labels
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    return array


def _require_pairs(path: Path, part: str, x: np.ndarray, y: np.ndarray, at_least: int = 1) -> None:
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y) or len(x) < at_least:
        raise DataError(
            f"{path}: the {part} set has inputs of shape {x.shape} and targets of shape {y.shape}; expected one "
            f"target for each input and at least {at_least} of them"
        )


def _halves(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    labels = torch.from_numpy(y) if y.ndim == 1 and y.dtype.kind == "i" else None
    train, test = (rows.numpy() for rows in train_test(labels, len(y), generator(seed, "train-test")))
    return x[train], y[train], x[test], y[test]


def _images(path: Path, x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> ImageData:
    classes = max(int(y_train.max()), int(y_test.max())) + 1
    return ImageData(
        name=path.stem,
        train=LabelledImages(_as_images(path, x_train), y_train),
        test=LabelledImages(_as_images(path, x_test), y_test),
        class_names=tuple(str(index) for index in range(classes)),
        source=str(path),
    )


def _as_images(path: Path, pixels: np.ndarray) -> np.ndarray:
    """(n, channels, height, width), from (n, features) as one row of pixels, (n, h, w), (n, h, w, c) or itself."""
    if pixels.ndim == 2:
        return pixels[:, None, None, :]
    if pixels.ndim == 3:
        return pixels[:, None]
    if pixels.ndim == 4:
        return _channels_first(pixels)
    raise DataError(f"{path}: 8-bit inputs have shape {pixels.shape}, expected images (n, channels, height, width)")


def _channels_first(array: np.ndarray) -> np.ndarray:
    """Move a last axis of 1, 3 or 4 channels to the second place, unless the second already looks like channels."""
    if array.ndim == 4 and array.shape[3] in CHANNEL_COUNTS and array.shape[1] not in CHANNEL_COUNTS:
        return np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    return array
