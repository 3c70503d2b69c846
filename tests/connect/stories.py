"""Small networks and data that the tests of paths and alignment share."""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import orograph as og
from orograph.data import Data
from orograph.train import Recipe, fit
from orograph.weights import Weights


class Stack(nn.Module):
    """Ten numbers in three tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 3), nn.Parameter(torch.zeros(1))


def cloud(count: int, seed: int = 0) -> list[Weights]:
    """Random points of a small space."""
    origin = Weights.of(Stack())
    generator = torch.Generator().manual_seed(seed)
    return [origin.with_vector(torch.randn(len(origin), generator=generator)) for _ in range(count)]


class PreNorm(nn.Module):
    """A pre-norm transformer with attention heads, written by hand over one projection of queries, keys and values."""

    def __init__(self, width: int = 16, heads: int = 4, layers: int = 2, vocabulary: int = 12, length: int = 6) -> None:
        super().__init__()
        self.heads = heads
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Parameter(0.1 * torch.randn(length, width))
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary)

    def forward(self, x: Tensor) -> Tensor:
        y = self.tokens(x) + self.places
        for block in self.blocks:
            y = block(y)
        return self.head(self.norm(y).mean(1))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = (
            part.view(n, length, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).chunk(3, -1)
        )
        weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


def shaken(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random values in every parameter and buffer, so that no two units are alike; variances stay positive."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            fan = max(tensor[0].numel(), 1) if tensor.dim() > 1 else 1
            if "var" in name:
                tensor.copy_(noise.abs() + 0.5)
            elif tensor.dim() > 1:
                tensor.copy_(noise * (2 / fan) ** 0.5)
            else:
                tensor.copy_((1 if name.endswith("weight") else 0) + 0.3 * noise)
    return model


@cache
def digits() -> Data:
    return og.data.load("digits", train_size=600)


@cache
def trained(name: str, seed: int, **options: object) -> Weights:
    """A small network trained for a few epochs on digits."""
    data = digits()
    network = og.models.build(name, data, seed=seed, **options)
    recipe = Recipe(epochs=6, lr=0.05, schedule="hold-decay", batch_size=50)
    weights: Weights = fit(network, data, recipe, seed=seed, test=False).final.weights
    return weights
