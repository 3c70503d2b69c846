"""What every network of this folder takes (classes, channels, image size, width, dropout), checked in one place."""

from __future__ import annotations

import math

from orograph.basics.errors import ModelError, UsageError

#: The side of square images in pixels, or (height, width).
ImageSize = int | tuple[int, int]


def height_and_width(image_size: ImageSize, *, network: str, least: int = 1) -> tuple[int, int]:
    """(height, width) in pixels.

    Raises
    ------
    UsageError
        It is neither a whole number nor two of them.
    ModelError
        A side is shorter than ``least``, the smallest image that ``network`` can take.
    """
    sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(sides) != 2 or not all(isinstance(side, int) for side in sides):
        raise UsageError(f"image_size is a side in pixels or (height, width), not {image_size!r}")
    height, width = sides
    if min(height, width) < least:
        pixels = "pixel" if least == 1 else "pixels"
        raise ModelError(f"{network} takes images of at least {least} {pixels} a side, not {height}x{width}")
    return height, width


def check_ends(classes: int, channels: int, *, network: str) -> None:
    """Raise ModelError unless the network has at least one output and one input channel."""
    if classes < 1:
        raise ModelError(f"{network} needs at least 1 class, not {classes}")
    if channels < 1:
        raise ModelError(f"{network} needs at least 1 input channel, not {channels}")


def check_dropout(dropout: float) -> None:
    """Raise UsageError unless ``dropout``, the share of units set to zero, is in [0, 1)."""
    if not 0.0 <= dropout < 1.0:
        raise UsageError(f"dropout must be at least 0 and below 1, not {dropout}")


def scaled(channels: int, width: float) -> int:
    """``channels`` times the width multiplier, rounded to nearest (halves up), at least 1."""
    if isinstance(width, bool) or not isinstance(width, (int, float)):
        raise UsageError(f"width is a number, not {width!r}")
    if not (math.isfinite(width) and width > 0):
        raise UsageError(f"width is a multiplier above 0 (1 is the network of the paper), not {width}")
    return max(1, math.floor(channels * width + 0.5))
