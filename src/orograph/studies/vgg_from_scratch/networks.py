"""The study's networks: a VGG that enlarges small images before it reads them.

Five poolings leave one pixel of an 8x8 image after three of them, where eight of the nine taps of a 3x3 kernel meet
padding only. Initial values that are drawn for nine taps die there, whatever they are, so the study would test the size
of its images. At 32x32 the fifth stage still sees 2x2 pixels.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from orograph.basics.errors import UsageError
from orograph.models.sizes import ImageSize, height_and_width
from orograph.models.vgg import VGG, Configuration


class EnlargingVGG(VGG):
    """A VGG for images of ``size`` (rows, columns); others of shape (n, channels, rows, columns) are resized to it."""

    def __init__(self, configuration: Configuration, size: tuple[int, int], **options: object) -> None:
        super().__init__(configuration, image_size=size, **options)  # type: ignore[arg-type]
        self.size = size

    def score_map(self, inputs: Tensor) -> Tensor:
        if inputs.shape[-2:] != self.size:
            inputs = F.interpolate(inputs, size=self.size, mode="bilinear", align_corners=False)
        return super().score_map(inputs)


def vgg(
    configuration: Configuration,
    classes: int,
    channels: int,
    image_size: ImageSize | None = None,
    *,
    width: float = 0.125,
    side: int = 32,
    dropout: float = 0.5,
    head: int | None = None,
) -> EnlargingVGG:
    """A net of the write-up whose images have a shorter side of at least ``side`` pixels.

    Raises UsageError for data that are no images; otherwise as :class:`~orograph.models.vgg.VGG`.
    """
    if image_size is None:
        raise UsageError("vgg-from-scratch needs images, and the data are vectors")
    rows, columns = height_and_width(image_size, network=f"vgg-{configuration.lower()}")
    shorter = min(rows, columns)
    if shorter < side:
        rows, columns = round(rows * side / shorter), round(columns * side / shorter)
    sizes = {"classes": classes, "channels": channels}
    return EnlargingVGG(configuration, (rows, columns), width=width, dropout=dropout, head=head, **sizes)
