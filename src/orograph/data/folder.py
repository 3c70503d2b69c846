"""Folders of pictures, one subfolder for each class: ``train/<class>/*.png`` with ``test/`` or ``val/`` beside it, or
``<class>/*`` alone, which is split 80/20 by class.

ImageNet's folders are of the first kind, Caltech-256's of the second. Classes are called as their folders are, or by
the words that belong to their catalogue numbers (see :mod:`orograph.data.class_names`). A folder around the class
folders, as an archive unpacks into, is passed through.

Every picture gets the size of the first one, or ``image_size`` x ``image_size``: the shorter side is scaled to fit,
the longer one cropped around the centre. Pictures are in colour if any of them is. They come in a fixed random
order, so that a look at the first ones shows every class.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from orograph.basics.errors import DataError, UsageError
from orograph.basics.seeds import generator
from orograph.data.class_names import class_names
from orograph.data.images import ImageData, LabelledImages
from orograph.data.subset import train_test

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
TEST_FOLDERS = ("test", "val", "valid", "validation")


def read_image_folder(folder: Path, seed: int, image_size: int | None = None) -> ImageData:
    """The pictures of a folder; ``seed`` decides the split where there are no train and test folders.

    Raises
    ------
    DataError
        There are no pictures, one cannot be read, a class has none, or train and test have different classes.
    """
    if image_size is not None and image_size < 1:
        raise UsageError(f"image_size={image_size} must be at least 1 pixel")
    if not (folder / "train").is_dir():
        return _split_by_class(folder, seed, image_size)
    test_folders = [folder / name for name in TEST_FOLDERS if (folder / name).is_dir()]
    # ImageNet has a test folder too, of pictures without classes.
    test_folder = next((place for place in test_folders if _class_folders(place)), next(iter(test_folders), None))
    if test_folder is None:
        raise DataError(f"{folder} has a train folder but neither test nor val; add one, or name {folder / 'train'}")
    train_files, test_files = _pictures(folder / "train"), _pictures(test_folder)
    different = sorted(train_files.keys() ^ test_files.keys())
    if different:
        raise DataError(
            f"{folder}: train and {test_folder.name} need the same class folders, found only in one of them: "
            f"{', '.join(different[:5])}{', …' if len(different) > 5 else ''}"
        )
    size = (image_size, image_size) if image_size else _size_of(next(iter(train_files.values()))[0])
    train, test = _read(train_files, size), _read(test_files, size)
    channels = max(train.pixels.shape[1], test.pixels.shape[1])
    return ImageData(
        folder.resolve().name,
        _with_channels(train, channels),
        _with_channels(test, channels),
        class_names(folder, tuple(train_files)),
        source=str(folder),
    )


def _split_by_class(folder: Path, seed: int, image_size: int | None) -> ImageData:
    files = _pictures(_inside(folder))
    size = (image_size, image_size) if image_size else _size_of(next(iter(files.values()))[0])
    whole = _read(files, size)
    if len(whole.labels) < 2:
        raise DataError(f"{folder} holds a single picture; at least two make a train and a test set")
    train, test = (
        rows.numpy()
        for rows in train_test(torch.from_numpy(whole.labels), len(whole.labels), generator(seed, "folder"))
    )
    return ImageData(
        folder.resolve().name,
        LabelledImages(whole.pixels[train], whole.labels[train]),
        LabelledImages(whole.pixels[test], whole.labels[test]),
        class_names(folder, tuple(files)),
        source=str(folder),
    )


def _pictures(folder: Path) -> dict[str, list[Path]]:
    """The picture files of each class, classes and files by name; hidden and ``__MACOSX`` folders do not count."""
    files = {
        entry.name: sorted(path for path in entry.rglob("*") if _is_picture(path)) for entry in _class_folders(folder)
    }
    if not any(files.values()):
        raise DataError(
            f"{folder} holds no pictures in class folders (<class>/*.png, .jpg, …) and no IDX or CIFAR files; "
            "check the path"
        )
    for name, pictures in files.items():
        if not pictures:
            raise DataError(f"{folder / name} holds no pictures; add some or remove the class")
    return files


def _class_folders(folder: Path) -> list[Path]:
    return [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and not entry.name.startswith((".", "__"))]


def _inside(folder: Path) -> Path:
    """The folder of the class folders: the only one in ``folder``, if it holds several with pictures and none itself.

    Taken as a class, it would be the only one, and every picture would belong to it.
    """
    only = _class_folders(folder)
    if len(only) != 1 or any(_is_picture(path) for path in only[0].iterdir()):
        return folder
    inner = [entry for entry in _class_folders(only[0]) if any(_is_picture(path) for path in entry.iterdir())]
    return only[0] if len(inner) > 1 else folder


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and path.is_file()


def _read(files: dict[str, list[Path]], size: tuple[int, int]) -> LabelledImages:
    """All pictures in a fixed random order; ``size`` is (width, height)."""
    listed = [(path, label) for label, paths in enumerate(files.values()) for path in paths]
    order = torch.randperm(len(listed), generator=generator(0, "folder", "order")).tolist()
    pictures = [_decode(listed[index][0], size) for index in order]
    channels = max(picture.shape[0] for picture in pictures)
    pixels = np.stack([np.broadcast_to(picture, (channels, *picture.shape[1:])) for picture in pictures])
    return LabelledImages(pixels, np.array([listed[index][1] for index in order], dtype=np.int64))


def _with_channels(images: LabelledImages, channels: int) -> LabelledImages:
    """The same pictures in colour where ``channels`` is 3: a grey value is an equal amount of red, green and blue."""
    return LabelledImages(np.repeat(images.pixels, channels // images.pixels.shape[1], axis=1), images.labels)


def open_picture(path: Path) -> Image.Image:
    """The decoded picture, upright, in mode L or RGB. Raises DataError if it cannot be read."""
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.mode.startswith("I"):  # 16 bits a pixel: the upper 8 are kept
                return Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).astype(np.uint8))
            return picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        reason = str(error).replace("\n", " ") or type(error).__name__
        raise DataError(f"{path} is not a readable picture ({reason}); replace or remove it") from error


def _size_of(path: Path) -> tuple[int, int]:
    return open_picture(path).size


def _decode(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Unsigned bytes of shape (channels, height, width)."""
    picture = open_picture(path)
    if picture.size != size:
        picture = ImageOps.fit(picture, size, method=Image.Resampling.BILINEAR)
    pixels = np.asarray(picture)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
