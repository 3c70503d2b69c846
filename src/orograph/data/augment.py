"""Random scales, crops, flips, colours and cutout for a whole batch at once.

Each image draws its own offset from an explicit CPU generator; only these few numbers travel to the images' device,
so that one seed gives the same augmentation on a CPU and on a GPU. The images are in standardised units, where 0 is
the mean pixel: that is what padding and cutout fill with. No function changes its input.

Sources: crop and flip as in K. He et al., Deep residual learning (CVPR 2016), section 4.2; cutout in T. DeVries and
G. W. Taylor, arXiv:1708.04552 (2017); scale jitter in K. Simonyan and A. Zisserman, Very deep convolutional networks
(ICLR 2015), section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from orograph.basics.errors import UsageError
from orograph.basics.scales import check_scale
from orograph.data.colours import shift_colours
from orograph.data.scaling import require_images, require_room, rescaled, windows


def crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Pad each image with ``padding`` zeros on every side and cut a window of the old size at a random place.

    Takes and returns shape (n, channels, height, width). The window's place is uniform over all (2 padding + 1)²;
    rows are drawn for all images, then columns.
    """
    require_images(images)
    n, _, height, width = images.shape
    down, right = torch.randint(0, 2 * padding + 1, (2, n), generator=generator).to(images.device)
    padded = functional.pad(images, (padding, padding, padding, padding))
    return windows(padded, down, right, height, width)


def jitter(images: Tensor, scale: tuple[int, int] | None, side: int, generator: torch.Generator) -> Tensor:
    """Rescale each image and cut a window of ``side`` x ``side`` pixels at a random place: (n, channels, side, side).

    Each image draws its own scale S, the length of its shorter side, uniformly from the whole numbers low … high of
    ``scale``; None leaves its size. The window's place is uniform over all that lie inside. Scales are drawn for all
    images, then rows, then columns. Cost: one resampling for each scale that was drawn.

    Raises UsageError where the window does not fit.
    """
    require_images(images)
    n, channels, height, width = images.shape
    if scale is None:
        drawn = torch.full((n,), min(height, width))
    else:
        drawn = torch.randint(scale[0], scale[1] + 1, (n,), generator=generator)
    places = torch.rand(2, n, dtype=torch.float64, generator=generator)
    cut = images.new_empty(n, channels, side, side)
    for size in sorted(set(drawn.tolist())):
        chosen = (drawn == size).nonzero().squeeze(1)
        rows = chosen.to(images.device)
        larger = rescaled(images[rows], size)
        require_room(larger.shape[2], larger.shape[3], side)
        tops, lefts = (
            (places[axis, chosen] * (larger.shape[2 + axis] - side + 1)).long().to(images.device) for axis in (0, 1)
        )
        cut[rows] = windows(larger, tops, lefts, side, side)
    return cut


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability one half. Shape (n, channels, height, width)."""
    require_images(images)
    mirrored = torch.randint(0, 2, (len(images),), generator=generator).to(images.device).bool()
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def cutout(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Set a square of ``size`` x ``size`` pixels to zero in each image. Shape (n, channels, height, width).

    The square's centre is uniform over the pixels (for an even size, the pixel below and right of the centre), so
    that it may reach beyond the border, as in the paper. Rows are drawn for all images, then columns.
    """
    require_images(images)
    n, _, height, width = images.shape
    top = torch.randint(0, height, (n,), generator=generator).to(images.device) - size // 2
    left = torch.randint(0, width, (n,), generator=generator).to(images.device) - size // 2
    rows = torch.arange(height, device=images.device) - top[:, None]
    columns = torch.arange(width, device=images.device) - left[:, None]
    hidden = ((rows >= 0) & (rows < size))[:, :, None] & ((columns >= 0) & (columns < size))[:, None, :]
    return images.masked_fill(hidden[:, None], 0)


@dataclass(frozen=True)
class Augmentation:
    """Scale and crop, then flip, colours and cutout; what is 0, None or False is left out and draws no random numbers.

    ``Augmentation(crop=4, flip=True)`` is the usual one for CIFAR, ``Augmentation(flip=True, scale=(256, 512),
    crop_to=224, colour=0.1, axes=colour_axes(images))`` that of VGG.

    ``crop`` is the padding, ``cutout`` the side of the square, ``scale`` the range of the shorter side and ``crop_to``
    the side of the images that come out, all in pixels; ``colour`` is the strength of the shift along ``axes``.

    Raises
    ------
    UsageError
        A length is out of range, ``scale`` comes without ``crop_to``, ``crop_to`` with ``crop``, ``colour`` without
        ``axes``.
    """

    crop: int = 0
    flip: bool = False
    cutout: int = 0
    scale: tuple[int, int] | None = None
    crop_to: int = 0
    colour: float = 0.0
    axes: Tensor | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("crop", "cutout", "crop_to"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name}={getattr(self, name)} must be 0 (off) or a number of pixels")
        check_scale(self.scale, self.crop_to, self.crop)
        if self.colour and self.axes is None:
            raise UsageError("colour needs axes, the colours of the data; colour_axes(images) finds them")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augmented images of the same dtype and device, and of the same shape (n, channels, height, width) but for
        ``crop_to``."""
        if self.crop:
            images = crop(images, self.crop, generator)
        if self.crop_to:
            images = jitter(images, self.scale, self.crop_to, generator)
        if self.flip:
            images = flip(images, generator)
        if self.colour and self.axes is not None:
            images = shift_colours(images, self.colour, self.axes, generator)
        if self.cutout:
            images = cutout(images, self.cutout, generator)
        return images
