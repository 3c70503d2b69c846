"""The networks of the third half: each is a body that computes features and a linear head."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def perceptron_with_dropout(sizes: list[int], rate: float) -> nn.Sequential:
    """Linear layers, each followed by ReLU, and dropout behind the first."""
    layers: list[nn.Module] = [nn.Flatten()]
    for place, (before, after) in enumerate(pairwise(sizes)):
        layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
        layers += [nn.Dropout(rate)] if place == 0 else []
    return nn.Sequential(*layers)


def lenet() -> nn.Sequential:
    """Two convolutions with max pooling, a hidden layer and a little dropout, for images of 12 x 12 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(144, 48), nn.ReLU(), nn.Dropout(0.1),
    )  # fmt: skip


def separable(channels: list[int]) -> nn.Sequential:
    """A convolution and depthwise separable ones, all with batch norm, averaged over the image."""
    layers: list[nn.Module] = [nn.Conv2d(3, channels[0], 3, padding=1, bias=False)]
    layers += [nn.BatchNorm2d(channels[0]), nn.ReLU()]
    for place, (before, after) in enumerate(pairwise(channels)):
        layers.append(nn.Conv2d(before, before, 3, stride=1 + place % 2, padding=1, groups=before, bias=False))
        layers += [nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Reader(nn.Module):
    """Embeddings and a recurrent layer in both directions; features are its mean over what is no padding.

    With ``pool`` at "last" they are its output at the last place instead.
    """

    def __init__(self, words: int, width: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width, padding_idx=0)
        self.layer = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
        self.pool = "mean"

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (examples, time) to features (examples, 2 hidden)."""
        outputs: Tensor = self.layer(self.embedding(tokens))[0]
        if self.pool == "last":
            return outputs[:, -1]
        there = (tokens != 0).unsqueeze(-1).to(outputs.dtype)
        return (outputs * there).sum(1) / there.sum(1).clamp(min=1)


class Forecaster(nn.Module):
    """Two layers of GRU; features are the last output of the second and the mean of all its outputs."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.layer = nn.GRU(channels, hidden, num_layers=2, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (examples, time, channels) to features (examples, 2 hidden)."""
        outputs: Tensor = self.layer(inputs)[0]
        return torch.cat([outputs[:, -1], outputs.mean(1)], dim=1)


class Encoder(nn.Module):
    """A transformer block of torch's own attention, with the norms before the branches."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, inputs: Tensor) -> Tensor:
        """Sequences (examples, patches, width) to sequences of the same shape."""
        seen = self.norm1(inputs)
        middle = inputs + self.attention(seen, seen, seen, need_weights=False)[0]
        outputs: Tensor = middle + self.mlp(self.norm2(middle))
        return outputs


class Patches(nn.Module):
    """A small vision transformer: features are those of a class token after some blocks."""

    def __init__(self, size: int, patch: int, width: int, blocks: int) -> None:
        super().__init__()
        self.patch = patch
        self.project = nn.Linear(patch * patch, width)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.place = nn.Parameter(0.02 * torch.randn(1, (size // patch) ** 2 + 1, width))
        self.blocks = nn.Sequential(*(Encoder(width, 4) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)

    def forward(self, images: Tensor) -> Tensor:
        """Images (examples, 1, size, size) to features (examples, width)."""
        patches = self.project(F.unfold(images, self.patch, stride=self.patch).transpose(1, 2))
        sequence = torch.cat([self.token.expand(len(images), -1, -1), patches], dim=1) + self.place
        features: Tensor = self.norm(self.blocks(sequence))[:, 0]
        return features


def pair(before: int, after: int) -> nn.Sequential:
    """A convolution with batch norm and ReLU."""
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


class Hourglass(nn.Module):
    """A U-Net of two levels below the first; features are those of each pixel, channels last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down1 = pair(1, channels)
        self.down2 = pair(channels, 2 * channels)
        self.bottom = pair(2 * channels, 2 * channels)
        self.up2 = pair(4 * channels, channels)
        self.up1 = pair(2 * channels, channels)

    def forward(self, images: Tensor) -> Tensor:
        """Images (examples, 1, height, width) to features (examples, height, width, channels)."""
        first = self.down1(images)
        second = self.down2(F.max_pool2d(first, 2))
        third = self.bottom(F.max_pool2d(second, 2))
        second = self.up2(torch.cat([second, F.interpolate(third, scale_factor=2)], dim=1))
        first = self.up1(torch.cat([first, F.interpolate(second, scale_factor=2)], dim=1))
        features: Tensor = first.permute(0, 2, 3, 1)
        return features
