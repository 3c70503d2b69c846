"""The IDX files of MNIST and Fashion-MNIST, gzipped or not.

The header is big-endian: two zero bytes, a type (8: unsigned byte), the number of axes, then each axis' length as
32 bits (Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits, 1998).
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from orograph.basics.errors import DataError
from orograph.data.images import ImageData, LabelledImages

TRAIN_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST_FILES = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
REMEDY = "delete it and load again to download it anew, or replace it"


def is_idx_folder(folder: Path) -> bool:
    """Whether the folder holds train images under their published name, gzipped or not."""
    return any((folder / f"{TRAIN_FILES[0]}{ending}").is_file() for ending in ("", ".gz"))


def read_idx_folder(folder: Path, name: str, class_names: tuple[str, ...] = ()) -> ImageData:
    """The four IDX files of a folder. Without ``class_names`` the classes are called by their numbers.

    Raises
    ------
    DataError
        A file is missing, truncated or no IDX file, or images and labels do not go together.
    """
    train, test = (_labelled(folder, *files) for files in (TRAIN_FILES, TEST_FILES))
    classes = int(max(part.labels.max(initial=0) for part in (train, test))) + 1
    names = class_names or tuple(str(index) for index in range(classes))
    return ImageData(name, train, test, names, source=str(folder))


def read_idx(path: Path, axes: int) -> np.ndarray:
    """The array of unsigned bytes in one IDX file; raises DataError if it is not whole or has other axes."""
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":  # by content, since a mirror or a browser may have unpacked a .gz
            content = gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: not a whole gzip file ({error}); {REMEDY}") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; check the file and its permissions") from error
    magic, header = bytes((0, 0, 8, axes)), 4 + 4 * axes
    if content[:4] != magic or len(content) < header:
        raise DataError(
            f"{path}: expected an IDX file of bytes (starting with {magic.hex()}), "
            f"found {content[:4].hex() or 'nothing'}; {REMEDY}"
        )
    shape = struct.unpack(f">{axes}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise DataError(
            f"{path}: its header announces {math.prod(shape):,} bytes {shape}, "
            f"found {len(content) - header:,}; {REMEDY}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def _labelled(folder: Path, image_file: str, label_file: str) -> LabelledImages:
    images = read_idx(_present(folder, image_file), axes=3)
    labels = read_idx(_present(folder, label_file), axes=1)
    if len(images) != len(labels):
        raise DataError(
            f"{folder / image_file} has {len(images):,} images but {label_file} has {len(labels):,} labels; "
            "they are not from one data set, replace one of them"
        )
    return LabelledImages(images[:, None], labels.astype(np.int64))


def _present(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise DataError(f"{folder} lacks {name}(.gz), which IDX data need beside the other files; put it there")
