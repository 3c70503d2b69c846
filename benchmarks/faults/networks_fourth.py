"""The networks of the fourth half: each is a body that computes features and a linear head."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn


def pooled(channels: list[int], hidden: int, places: int) -> nn.Sequential:
    """Convolutions with ReLU and max pooling, then a hidden layer."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * places, hidden), nn.ReLU())


def pairs_of_convolutions(channels: list[int]) -> nn.Sequential:
    """Two convolutions with batch norm and ReLU for each width, max pooling behind each pair, a mean at the end."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        for inside in (before, after):
            layers += [nn.Conv2d(inside, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def denoiser(channels: int, narrow: int, wide: int) -> nn.Sequential:
    """Two convolutions of stride two, a narrow layer and a wide one."""
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(8 * channels, narrow), nn.Linear(narrow, wide), nn.ReLU(),
    )  # fmt: skip


class TokenRecurrence(nn.Module):
    """Embeddings and an LSTM; features are its output at ``place``."""

    def __init__(self, tokens: int, width: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.place = -1

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (examples, time) to features (examples, hidden)."""
        outputs: Tensor = self.lstm(self.embedding(tokens))[0]
        return outputs[:, self.place]


class Heads(nn.Module):
    """Self-attention with a matrix each for queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, inputs: Tensor) -> Tensor:
        """Sequences (examples, time, width) to sequences of the same shape."""
        parts = [part(inputs).unflatten(-1, (self.heads, -1)) for part in (self.query, self.key, self.value)]
        query, key, value = (part.transpose(1, 2) for part in parts)
        weights = (query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])).softmax(-1)
        outputs: Tensor = self.out((weights @ value).transpose(1, 2).flatten(2))
        return outputs


class Layer(nn.Module):
    """An encoder layer with the norms behind the branches, as in the first transformers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Heads(width, heads)
        self.norm1 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.norm2 = nn.LayerNorm(width)

    def forward(self, inputs: Tensor) -> Tensor:
        """Sequences (examples, time, width) to sequences of the same shape."""
        middle = self.norm1(inputs + self.attention(inputs))
        outputs: Tensor = self.norm2(middle + self.mlp(middle))
        return outputs


class SignalEncoder(nn.Module):
    """A projection of each moment, sines and cosines of its time, encoder layers, and the mean over time."""

    time: Tensor

    def __init__(self, channels: int, length: int, width: int, count: int) -> None:
        super().__init__()
        self.project = nn.Linear(channels, width)
        angles = torch.arange(length)[:, None] * torch.exp(-math.log(30.0) * torch.arange(width // 2) / (width // 2))
        self.register_buffer("time", torch.cat([angles.sin(), angles.cos()], dim=1))
        self.layers = nn.Sequential(*(Layer(width, 4) for _ in range(count)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (examples, time, channels) to features (examples, width)."""
        features: Tensor = self.layers(self.project(inputs) + self.time)
        return features.mean(1)
