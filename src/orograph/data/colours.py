"""A random colour for each image, spread as the colours of the data are.

Source: A. Krizhevsky, I. Sutskever and G. E. Hinton, ImageNet classification with deep convolutional neural networks
(NeurIPS 2012), section 4.1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from orograph.data.scaling import require_images


def colour_axes(images: Tensor) -> Tensor:
    """The symmetric square root of the covariance of colours over all pixels, float64 of shape (channels, channels).

    Takes the training images (n, channels, height, width) in any units. The root is unique, which principal axes with
    their free signs are not, and noise made with it has the same distribution.
    """
    require_images(images)
    channels = images.shape[1]
    total, squares = torch.zeros(channels, dtype=torch.float64), torch.zeros(channels, channels, dtype=torch.float64)
    for start in range(0, len(images), 1000):  # float64 takes room
        pixels = images[start : start + 1000].detach().cpu().double().transpose(0, 1).reshape(channels, -1)
        total += pixels.sum(1)
        squares += pixels @ pixels.T
    count = images.numel() // channels
    mean = total / count
    values, vectors = torch.linalg.eigh(squares / count - mean[:, None] * mean)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root


def shift_colours(images: Tensor, strength: float, axes: Tensor, generator: torch.Generator) -> Tensor:
    """Add one random colour to all pixels of each image. Shape (n, channels, height, width).

    The colour is normal with mean 0 and ``strength``² times the covariance of the data's colours, whose square root
    is ``axes`` (see :func:`colour_axes`): along each principal axis its standard deviation is ``strength`` times the
    data's. The paper multiplies the axes by the covariance's eigenvalues, which are variances, so that the shift would
    depend on the unit of a pixel; with their roots it does not, nor on how the images were standardised.
    """
    require_images(images)
    drawn = torch.randn(len(images), len(axes), dtype=torch.float64, generator=generator)
    return images + (strength * drawn @ axes).to(images.device, images.dtype)[:, :, None, None]
