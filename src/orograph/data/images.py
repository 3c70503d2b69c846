"""8-bit images on their way to standardised tensors.

For each channel ``c`` the network sees ``(pixel / white - mean_c) / std_c``, with the mean and the standard
deviation of the whole train set, so that a subset is the same picture in the same units. A pixel has 256 possible
values: the arithmetic is done once for each of them in float64, and an image is looked up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from orograph.basics.errors import DataError
from orograph.basics.seeds import generator
from orograph.data.data import Data
from orograph.data.split import Split
from orograph.data.subset import stratified, wanted


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Pixels and labels as a file holds them: uint8 of shape (n, channels, height, width) and int64 of shape (n,)."""

    pixels: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class ImageData:
    """A train and a test set of 8-bit images, before subsetting and standardisation.

    ``white`` is the brightest pixel value there can be; ``source`` is the file or folder that errors name.
    """

    name: str
    train: LabelledImages
    test: LabelledImages
    class_names: tuple[str, ...]
    source: str
    white: int = 255

    def __post_init__(self) -> None:
        for part, images in (("train", self.train), ("test", self.test)):
            if len(images.pixels) == 0:
                raise DataError(f"{self.source}: the {part} set is empty; it needs at least one image")
            low, high = int(images.labels.min()), int(images.labels.max())
            if low < 0 or high >= len(self.class_names):
                raise DataError(
                    f"{self.source}: {part} labels go from {low} to {high}, expected 0 to {len(self.class_names) - 1}; "
                    "number the classes from 0, or replace the file if it is damaged or belongs to another data set"
                )
        if self.train.pixels.shape[1:] != self.test.pixels.shape[1:]:
            raise DataError(
                f"{self.source}: train images are {self.train.pixels.shape[1:]} (channels, height, width) but test "
                f"images are {self.test.pixels.shape[1:]}; both sets must come from one data set"
            )

    def standardised(self, train_size: int | float | None, test_size: int | float | None, seed: int) -> Data:
        """Float32 images in units of the full train set's standard deviation, subsampled by class where asked."""
        mean, std = channel_statistics(self.train.pixels, self.white)
        table = (np.arange(256)[None, :] / self.white - mean[:, None]) / std[:, None]

        def split(part: str, images: LabelledImages, size: int | float | None) -> Split:
            pixels, labels = images.pixels, torch.from_numpy(images.labels.astype(np.int64))
            count = wanted(size, len(labels), f"{part}_size")
            if count < len(labels):
                rows = stratified(labels, count, generator(seed, "subset", part))
                pixels, labels = pixels[rows.numpy()], labels[rows]
            return Split(_looked_up(pixels, table.astype(np.float32)), labels)

        return Data(
            train=split("train", self.train, train_size),
            test=split("test", self.test, test_size),
            name=self.name,
            class_names=self.class_names,
            mean=tuple(mean.tolist()),
            std=tuple(std.tolist()),
        )


def channel_statistics(pixels: np.ndarray, white: int = 255) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of ``pixel / white`` for each channel, float64 of shape (channels,) each.

    A channel without any variation gets standard deviation 1, so that dividing by it is harmless.
    """
    counts = np.zeros((pixels.shape[1], 256), dtype=np.int64)
    for block in np.array_split(pixels, max(1, len(pixels) // 2000)):  # bincount widens its input to 64 bits
        for channel, histogram in enumerate(counts):
            histogram += np.bincount(block[:, channel].reshape(-1), minlength=256)
    values = np.arange(256) / white
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ values
    std = np.sqrt((share * (values[None, :] - mean[:, None]) ** 2).sum(axis=1))
    return mean, np.where(std > 0, std, 1.0)


def _looked_up(pixels: np.ndarray, table: np.ndarray) -> Tensor:
    """Float32 tensor of shape (n, channels, height, width): ``table[channel, pixel]``."""
    images = np.empty(pixels.shape, dtype=np.float32)
    for channel, row in enumerate(table):
        images[:, channel] = row[pixels[:, channel]]
    return torch.from_numpy(images)
