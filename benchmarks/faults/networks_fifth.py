"""The networks of the fifth half: each is a body that computes features and a linear head."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Excited(nn.Module):
    """Squeeze and excite: channels times a gate that is computed of their means."""

    def __init__(self, channels: int, narrow: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(channels, narrow), nn.ReLU(), nn.Linear(narrow, channels))

    def forward(self, images: Tensor) -> Tensor:
        """Images (examples, channels, height, width) to images of the same shape."""
        outputs: Tensor = images * self.gate(images.mean((2, 3))).sigmoid()[:, :, None, None]
        return outputs


def excited(narrow: int, wide: int) -> nn.Sequential:
    """Convolutions without norm, one of them dilated, with squeeze and excite; averaged over the image."""
    return nn.Sequential(
        nn.Conv2d(1, narrow, 3, padding=1), nn.ReLU(),
        nn.Conv2d(narrow, narrow, 3, padding=2, dilation=2), nn.ReLU(), Excited(narrow, 6),
        nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.ReLU(), Excited(wide, 8),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


class Inverted(nn.Module):
    """An inverted bottleneck: wider, depthwise, narrower; the input passes around it where the shapes allow."""

    def __init__(self, before: int, after: int, stride: int = 1, factor: int = 3) -> None:
        super().__init__()
        wide = factor * before
        self.around = before == after and stride == 1
        self.branch = nn.Sequential(
            nn.Conv2d(before, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU(),
            nn.Conv2d(wide, after, 1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """Images (examples, channels, height, width) to images, of the same shape if the stride is one."""
        outputs: Tensor = self.branch(images)
        return images + outputs if self.around else outputs


def inverted(first: int, second: int, wide: int) -> nn.Sequential:
    """A stem, inverted bottlenecks and a wide layer, averaged over the image."""
    return nn.Sequential(
        nn.Conv2d(1, first, 3, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU(),
        Inverted(first, first), Inverted(first, second, 2), Inverted(second, second),
        nn.Conv2d(second, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


class Dilated(nn.Module):
    """A dilated convolution in time with group norm and GELU around which the input passes."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation), nn.GroupNorm(4, channels), nn.GELU()
        )

    def forward(self, signals: Tensor) -> Tensor:
        """Signals (examples, channels, time) to signals of the same shape."""
        outputs: Tensor = signals + self.branch(signals)
        return outputs


def temporal(channels: int, dilations: tuple[int, ...]) -> nn.Sequential:
    """A convolution in time and dilated ones, the largest value of each channel."""
    blocks = [Dilated(channels, dilation) for dilation in dilations]
    first = [nn.Conv1d(1, channels, 5, padding=2), nn.GroupNorm(4, channels), nn.GELU()]
    return nn.Sequential(*first, *blocks, nn.AdaptiveMaxPool1d(1), nn.Flatten())


class SharedKeys(nn.Module):
    """Attention with several heads of queries and one of keys and values; scores are multiplied by ``scale``."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width // heads)
        self.value = nn.Linear(width, width // heads)
        self.out = nn.Linear(width, width)

    def forward(self, asking: Tensor, asked: Tensor) -> Tensor:
        """Sequences (examples, places, width) and what they look at, to sequences of the shape of the first."""
        queries = self.query(asking).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        scores = self.scale * queries @ self.key(asked)[:, None].transpose(-2, -1)
        mixed = scores.softmax(-1) @ self.value(asked)[:, None]
        outputs: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return outputs


class Among(nn.Module):
    """A transformer block with shared keys and the norms before the branches."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = SharedKeys(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, inputs: Tensor) -> Tensor:
        """Sequences (examples, places, width) to sequences of the same shape."""
        seen = self.norm1(inputs)
        middle = inputs + self.attention(seen, seen)
        outputs: Tensor = middle + self.mlp(self.norm2(middle))
        return outputs


class PointSet(nn.Module):
    """Attention among the points of a set, and one learnt query that gathers them."""

    def __init__(self, coordinates: int, width: int, blocks: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(coordinates, width), nn.GELU())
        self.blocks = nn.Sequential(*(Among(width, 4) for _ in range(blocks)))
        self.query = nn.Parameter(torch.randn(1, 1, width))
        self.gather = SharedKeys(width, 4)
        self.norm = nn.LayerNorm(width)

    def forward(self, points: Tensor) -> Tensor:
        """Sets (examples, points, coordinates) to features (examples, width)."""
        seen = self.blocks(self.project(points))
        gathered = self.gather(self.query.expand(len(points), -1, -1), seen)
        features: Tensor = self.norm(gathered[:, 0])
        return features
