"""The networks of the sixth half: each is a body that computes features and a linear head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .networks import Block


def hidden_after_convolutions(narrow: int, wide: int, hidden: int) -> nn.Sequential:
    """A wide kernel with stride, a convolution, a mean over pairs and a hidden layer, for images of 12 x 12 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, narrow, 5, stride=2, padding=2), nn.ReLU(),
        nn.Conv2d(narrow, wide, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(9 * wide, hidden), nn.ReLU(),
    )  # fmt: skip


class Preactivated(nn.Module):
    """A residual block with norm and ReLU before each convolution; a projection where the width changes."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.around: nn.Module = nn.Identity()
        if stride > 1 or before != after:
            self.around = nn.Conv2d(before, after, 1, stride, bias=False)
        self.branch = nn.Sequential(
            nn.BatchNorm2d(before), nn.ReLU(), nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after), nn.ReLU(), nn.Conv2d(after, after, 3, 1, 1, bias=False),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """Images (examples, channels, height, width) to images."""
        outputs: Tensor = self.around(images) + self.branch(images)
        return outputs


def preactivated(first: int, second: int) -> nn.Sequential:
    """A convolution, two residual blocks, a last norm and a mean over the image."""
    return nn.Sequential(
        nn.Conv2d(1, first, 3, padding=1, bias=False), Preactivated(first, first, 1), Preactivated(first, second, 2),
        nn.BatchNorm2d(second), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


class Columns(nn.Module):
    """A transformer over the columns of a table: each number becomes a vector; features are those of a class token."""

    def __init__(self, columns: int, width: int, blocks: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(columns, width) / width**0.5)
        self.bias = nn.Parameter(torch.randn(columns, width) / width**0.5)
        self.token = nn.Parameter(torch.randn(1, 1, width) / width**0.5)
        self.blocks = nn.Sequential(*(Block(width, 4, causal=False) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)

    def forward(self, rows: Tensor) -> Tensor:
        """Rows (examples, columns) to features (examples, width)."""
        vectors = rows[:, :, None] * self.weight + self.bias
        features: Tensor = self.norm(self.blocks(torch.cat([self.token.expand(len(rows), -1, -1), vectors], 1))[:, 0])
        return features


class Around(nn.Module):
    """A norm, a wider layer with SiLU and one back, around which the input passes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features to features of the same width."""
        outputs: Tensor = features + self.branch(features)
        return outputs


def residual_perceptron(columns: int, width: int, blocks: int) -> nn.Sequential:
    """A linear layer, residual blocks and a last norm."""
    return nn.Sequential(
        nn.Linear(columns, width), *(Around(width) for _ in range(blocks)), nn.LayerNorm(width), nn.SiLU()
    )
