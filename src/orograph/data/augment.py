"""Random crops, flips and cutout for a whole batch at once.

Each image draws its own offset from an explicit CPU generator; only these few numbers travel to the images' device,
so that one seed gives the same augmentation on a CPU and on a GPU. The images are in standardised units, where 0 is
the mean pixel: that is what padding and cutout fill with. No function changes its input.

Sources: crop and flip as in K. He et al., Deep residual learning (CVPR 2016), section 4.2; cutout in T. DeVries and
G. W. Taylor, arXiv:1708.04552 (2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from orograph.basics.errors import UsageError


def crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Pad each image with ``padding`` zeros on every side and cut a window of the old size at a random place.

    Takes and returns shape (n, channels, height, width). The window's place is uniform over all (2 padding + 1)²;
    rows are drawn for all images, then columns.
    """
    _require_images(images)
    n, channels, height, width = images.shape
    down, right = torch.randint(0, 2 * padding + 1, (2, n), generator=generator).to(images.device)
    rows = down[:, None] + torch.arange(height, device=images.device)
    columns = right[:, None] + torch.arange(width, device=images.device)
    image = torch.arange(n, device=images.device)
    channel = torch.arange(channels, device=images.device)
    padded = functional.pad(images, (padding, padding, padding, padding))
    return padded[image[:, None, None, None], channel[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability one half. Shape (n, channels, height, width)."""
    _require_images(images)
    mirrored = torch.randint(0, 2, (len(images),), generator=generator).to(images.device).bool()
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def cutout(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Set a square of ``size`` x ``size`` pixels to zero in each image. Shape (n, channels, height, width).

    The square's centre is uniform over the pixels (for an even size, the pixel below and right of the centre), so
    that it may reach beyond the border, as in the paper. Rows are drawn for all images, then columns.
    """
    _require_images(images)
    n, _, height, width = images.shape
    top = torch.randint(0, height, (n,), generator=generator).to(images.device) - size // 2
    left = torch.randint(0, width, (n,), generator=generator).to(images.device) - size // 2
    rows = torch.arange(height, device=images.device) - top[:, None]
    columns = torch.arange(width, device=images.device) - left[:, None]
    hidden = ((rows >= 0) & (rows < size))[:, :, None] & ((columns >= 0) & (columns < size))[:, None, :]
    return images.masked_fill(hidden[:, None], 0)


@dataclass(frozen=True)
class Augmentation:
    """Crop, then flip, then cutout; what is 0 or False is left out and draws no random numbers.

    ``Augmentation(crop=4, flip=True)`` is the usual one for CIFAR. ``crop`` is the padding and ``cutout`` the side
    of the square, both in pixels.
    """

    crop: int = 0
    flip: bool = False
    cutout: int = 0

    def __post_init__(self) -> None:
        for name, value in (("crop", self.crop), ("cutout", self.cutout)):
            if value < 0:
                raise UsageError(f"{name}={value} must be 0 (off) or a number of pixels")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augmented images of the same shape (n, channels, height, width), dtype and device."""
        if self.crop:
            images = crop(images, self.crop, generator)
        if self.flip:
            images = flip(images, generator)
        if self.cutout:
            images = cutout(images, self.cutout, generator)
        return images


def _require_images(images: Tensor) -> None:
    if images.ndim != 4:
        raise UsageError(
            f"augmentation needs images of shape (n, channels, height, width), not {tuple(images.shape)}; "
            "switch crop, flip and cutout off for other data"
        )
