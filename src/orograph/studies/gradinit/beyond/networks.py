"""Small convolutional networks for images of any size: an autoencoder, and a GAN's generator and discriminator.

Nothing in them is normalised, so that initial scales matter.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

LATENT = 16


class Encoder(nn.Module):
    """Images (n, channels, height, width) to ``outputs`` numbers: three convolutions, two of which halve the map."""

    def __init__(self, shape: tuple[int, int, int], outputs: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.first = nn.Conv2d(channels, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.third = nn.Conv2d(32, 32, 3, stride=2, padding=1)
        self.last = nn.Linear(32 * _quarter(height) * _quarter(width), outputs)

    def forward(self, images: Tensor) -> Tensor:
        states = images
        for layer in (self.first, self.second, self.third):
            states = F.leaky_relu(layer(states), 0.1)
        found: Tensor = self.last(states.flatten(1))
        return found


class Decoder(nn.Module):
    """``LATENT`` numbers to images of ``shape``: a linear layer, and three convolutions on maps that grow."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = shape
        half = ((height + 1) // 2, (width + 1) // 2)
        self.sizes = (half, (height, width))
        self.small = (32, _quarter(height), _quarter(width))
        self.first = nn.Linear(LATENT, 32 * self.small[1] * self.small[2])
        self.second = nn.Conv2d(32, 32, 3, padding=1)
        self.third = nn.Conv2d(32, 16, 3, padding=1)
        self.last = nn.Conv2d(16, channels, 3, padding=1)

    def forward(self, codes: Tensor) -> Tensor:
        states = F.leaky_relu(self.first(codes), 0.1).view(len(codes), *self.small)
        for layer, size in zip((self.second, self.third), self.sizes, strict=True):
            states = F.leaky_relu(layer(F.interpolate(states, size=size)), 0.1)
        found: Tensor = self.last(states)
        return found


class Autoencoder(nn.Module):
    """Images to images through ``LATENT`` numbers."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(shape, LATENT), Decoder(shape)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.decoder(self.encoder(images))
        return found


def _quarter(side: int) -> int:
    """What two layers of stride 2 leave of a side."""
    return (side + 3) // 4
