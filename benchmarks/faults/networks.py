"""The networks of the families: each is a body that computes features and a linear head."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Network(nn.Module):
    """A body that turns inputs into features and a head that turns features into outputs."""

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.head = head

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of the head."""
        outputs: Tensor = self.head(self.body(inputs))
        return outputs


def perceptron(sizes: list[int], activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers, each followed by an activation, on flattened inputs."""
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers)


def convolutions(channels: list[int], norm: bool) -> nn.Sequential:
    """Convolutions of width three, every second one with stride two, flattened at the end."""
    layers: list[nn.Module] = []
    for place, (before, after) in enumerate(pairwise(channels)):
        layers.append(nn.Conv2d(before, after, 3, stride=1 + place % 2, padding=1, bias=not norm))
        layers += [nn.BatchNorm2d(after)] if norm else []
        layers.append(nn.ReLU())
    return nn.Sequential(*layers, nn.Flatten())


def convolutions_in_time(channels: list[int]) -> nn.Sequential:
    """One-dimensional convolutions of width five with group norm and SiLU, averaged over time."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv1d(before, after, 5, stride=2, padding=2), nn.GroupNorm(4, after), nn.SiLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten())


class Recurrent(nn.Module):
    """A recurrent layer; its features are its last output."""

    def __init__(self, layer: nn.GRU | nn.LSTM) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (examples, time, channels) to features (examples, hidden)."""
        outputs: Tensor = self.layer(inputs)[0][:, -1]
        return outputs


class Attention(nn.Module):
    """Self-attention with several heads; ``mask`` is added to what ``causal`` forbids."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.mask: Tensor | None = None
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, inputs: Tensor) -> Tensor:
        """Sequences (examples, time, width) to sequences of the same shape."""
        examples, time, width = inputs.shape
        parts = self.project(inputs).view(examples, time, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        causal = self.causal and self.mask is None
        mixed = F.scaled_dot_product_attention(parts[0], parts[1], parts[2], attn_mask=self.mask, is_causal=causal)
        outputs: Tensor = self.out(mixed.transpose(1, 2).reshape(examples, time, width))
        return outputs


class Block(nn.Module):
    """A transformer block with the norms before the branches."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads, causal)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, inputs: Tensor) -> Tensor:
        """Sequences (examples, time, width) to sequences of the same shape."""
        middle = inputs + self.attention(self.norm1(inputs))
        outputs: Tensor = middle + self.mlp(self.norm2(middle))
        return outputs


class Tokens(nn.Module):
    """Embeddings of tokens and places, blocks and a last norm; averaged over time unless ``causal``."""

    def __init__(self, vocabulary: int, length: int, width: int, blocks: int, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.embedding: nn.Module = nn.Embedding(vocabulary, width)
        self.place = nn.Parameter(0.02 * torch.randn(length, width))
        self.blocks = nn.Sequential(*(Block(width, 4, causal) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (examples, time) to features (examples, width), or (examples, time, width) when causal."""
        features: Tensor = self.norm(self.blocks(self.embedding(tokens) + self.place))
        return features if self.causal else features.mean(1)


class Residual(nn.Module):
    """Two convolutions with batch norm around which the input passes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.after = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        """Images (examples, channels, height, width) to images of the same shape."""
        outputs: Tensor = self.after(inputs + self.branch(inputs))
        return outputs


def residual_body(channels: int, blocks: int) -> nn.Sequential:
    """A stem with stride two, residual blocks, and what is left flattened."""
    stem = [nn.Conv2d(1, channels, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
    return nn.Sequential(*stem, *(Residual(channels) for _ in range(blocks)), nn.AvgPool2d(2), nn.Flatten())
