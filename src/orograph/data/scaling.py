"""Images rescaled by their shorter side, and windows cut out of them.

A scale is the length in pixels of an image's shorter side. The other side keeps its proportion, rounded to the nearest
pixel (halves up). Resampling is bilinear with antialiasing: where an image becomes smaller, every pixel of it counts.

Source: K. Simonyan and A. Zisserman, Very deep convolutional networks (ICLR 2015), sections 3.1 and 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from orograph.basics.errors import UsageError
from orograph.data.split import Examples, Split


def rescaled(images: Tensor, scale: int) -> Tensor:
    """Images of shape (n, channels, height, width) with a shorter side of ``scale`` pixels; themselves if they have it.

    Raises UsageError where the scale is below 1 pixel or the tensor holds no images.
    """
    require_images(images)
    size = rescaled_size(images.shape[2], images.shape[3], scale)
    if size == tuple(images.shape[2:]):
        return images
    return functional.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


def rescaled_size(height: int, width: int, scale: int) -> tuple[int, int]:
    """(height, width) after the shorter side became ``scale``."""
    if scale < 1:
        raise UsageError(f"a scale is a length in pixels, at least 1, not {scale}")
    shorter = min(height, width)
    # In whole numbers, for a float quotient could round a tie either way.
    longer = (2 * max(height, width) * scale + shorter) // (2 * shorter)
    return (scale, longer) if height <= width else (longer, scale)


def grid_places(height: int, width: int, side: int, steps: int) -> list[tuple[int, int]]:
    """(top, left) of ``steps`` x ``steps`` windows of ``side`` pixels, evenly from corner to corner, row by row.

    A single one lies in the centre. Of two equally central places, the upper and the left one is the centre.

    Raises
    ------
    UsageError
        The window is larger than the image.
    """
    require_room(height, width, side)
    rows, columns = (
        [room * step // (steps - 1) for step in range(steps)] if steps > 1 else [room // 2]
        for room in (height - side, width - side)
    )
    return [(top, left) for top in rows for left in columns]


def window(images: Tensor, place: tuple[int, int], side: int) -> Tensor:
    """The same window of ``side`` x ``side`` pixels of every image, without a copy."""
    top, left = place
    return images[:, :, top : top + side, left : left + side]


def windows(images: Tensor, tops: Tensor, lefts: Tensor, height: int, width: int) -> Tensor:
    """A window of ``height`` x ``width`` pixels of each image, at its own place (int, shape (n,) each)."""
    n, channels = images.shape[:2]
    rows = tops[:, None] + torch.arange(height, device=images.device)
    columns = lefts[:, None] + torch.arange(width, device=images.device)
    image = torch.arange(n, device=images.device)
    channel = torch.arange(channels, device=images.device)
    return images[image[:, None, None, None], channel[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]


def centre_crops(examples: Examples, side: int, scale: int | None = None, *, batch_size: int = 256) -> Split:
    """The middle of each image: ``side`` x ``side`` pixels, after the shorter side became ``scale`` (None: as it is).

    What a network trained on crops of this size is measured on. The labels are shared, not copied.

    Raises
    ------
    UsageError
        The examples are no images, or the crop does not fit.
    """
    if examples.kind != "pair" or not examples.inputs.is_floating_point():
        raise UsageError("centre crops are taken of images: floats of shape (n, channels, height, width)")
    require_images(examples.inputs)
    parts = []
    for start in range(0, len(examples), batch_size):
        images = examples.inputs[start : start + batch_size]
        images = images if scale is None else rescaled(images, scale)
        (place,) = grid_places(images.shape[2], images.shape[3], side, 1)
        parts.append(window(images, place, side))
    return Split(torch.cat(parts), examples.targets)


def require_room(height: int, width: int, side: int) -> None:
    """Raise UsageError unless a window of ``side`` x ``side`` pixels lies inside such images."""
    if not 1 <= side <= min(height, width):
        raise UsageError(
            f"a crop of {side}x{side} pixels does not fit into images of {height}x{width}; "
            "choose another crop or a larger scale"
        )


def require_images(images: Tensor) -> None:
    """Raise UsageError unless the tensor has the shape of images."""
    if images.ndim != 4:
        raise UsageError(
            f"augmentation and crops need images of shape (n, channels, height, width), not {tuple(images.shape)}; "
            "switch crop, flip and cutout off for other data"
        )
