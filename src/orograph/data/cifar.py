"""The binary CIFAR files: one record per image, label bytes first, then 3 x 32 x 32 pixels, red before green and blue.

CIFAR-10 has one label byte (records of 3,073 bytes), CIFAR-100 two, coarse before fine (3,074 bytes); the fine one
is used. Source: A. Krizhevsky, Learning multiple layers of features from tiny images (2009). The binary layout is
read, not the Python one, because a pickle can run anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from orograph.basics.errors import DataError
from orograph.data.images import ImageData, LabelledImages

PIXELS = 3 * 32 * 32
CIFAR10_TRAIN = tuple(f"data_batch_{index}.bin" for index in range(1, 6))
CIFAR10_TEST = "test_batch.bin"
CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def is_cifar10_folder(folder: Path) -> bool:
    """Whether the folder holds at least one of the five train batches."""
    return any((folder / name).is_file() for name in CIFAR10_TRAIN)


def is_cifar100_folder(folder: Path) -> bool:
    """Whether the folder holds ``train.bin``."""
    return (folder / "train.bin").is_file()


def read_cifar10_folder(folder: Path, name: str) -> ImageData:
    """``data_batch_1.bin`` to ``data_batch_5.bin`` (as many as are there), ``test_batch.bin``, ``batches.meta.txt``."""
    train = _read_records([folder / file for file in CIFAR10_TRAIN if (folder / file).is_file()], label_bytes=1)
    test = _read_records([folder / CIFAR10_TEST], label_bytes=1)
    names = _names(folder / "batches.meta.txt") or CIFAR10_NAMES
    return ImageData(name, train, test, names, source=str(folder))


def read_cifar100_folder(folder: Path, name: str) -> ImageData:
    """``train.bin``, ``test.bin`` and ``fine_label_names.txt`` (without it the classes are called by number)."""
    train = _read_records([folder / "train.bin"], label_bytes=2)
    test = _read_records([folder / "test.bin"], label_bytes=2)
    names = _names(folder / "fine_label_names.txt") or tuple(str(index) for index in range(100))
    return ImageData(name, train, test, names, source=str(folder))


def _read_records(paths: Sequence[Path], label_bytes: int) -> LabelledImages:
    record = label_bytes + PIXELS
    parts = []
    for path in paths:
        try:
            content = np.fromfile(path, dtype=np.uint8)
        except OSError as error:
            raise DataError(
                f"cannot read {path}: {error.strerror or error}; put the file there, or delete the folder to "
                "download it anew"
            ) from error
        if len(content) == 0 or len(content) % record:
            raise DataError(
                f"{path}: expected a multiple of {record:,} bytes (one record per image), found {len(content):,}; "
                "it is truncated or no CIFAR file, delete its folder and load again to download it anew, or replace it"
            )
        parts.append(content.reshape(-1, record))
    records = np.concatenate(parts) if len(parts) > 1 else parts[0]
    pixels = records[:, label_bytes:].reshape(-1, 3, 32, 32)
    return LabelledImages(pixels, records[:, label_bytes - 1].astype(np.int64))


def _names(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    return tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
