"""What a range of scales must be, for the training options and for the augmentation that follows them.

A scale is the length in pixels of an image's shorter side.
"""

from __future__ import annotations

from typing import Any

from orograph.basics.errors import UsageError


def check_scale(scale: tuple[int, int] | None, crop_to: int, crop: int) -> None:
    """Raise UsageError unless images of every scale hold a crop of ``crop_to`` pixels, and it is the only crop."""
    if crop and crop_to:
        raise UsageError("crop (after padding) and crop_to (inside the image) exclude each other; give one")
    if scale is None:
        return
    if len(scale) != 2 or not all(_is_length(side) for side in scale) or scale[0] > scale[1]:
        raise UsageError(f"scale must be two lengths in pixels that rise, e.g. 256 512, not {scale!r}")
    if not crop_to:
        raise UsageError("scale needs crop_to, the side of the crops that are trained on")
    if crop_to > scale[0]:
        raise UsageError(f"crop_to={crop_to} does not fit into images of scale {scale[0]}; choose one that is smaller")


def _is_length(value: Any) -> bool:
    return isinstance(value, int) and value >= 1
