"""The tasks of the fourth half: tables and digits of scikit-learn, and two kinds of sequences."""

from __future__ import annotations

from functools import cache

import torch
from sklearn.datasets import load_breast_cancer, load_digits
from torch import Tensor

from .case import Task
from .tasks import standardised

EVENTS = 3
TOKENS = 14


@cache
def tumours() -> Task:
    """The breast cancer table: 30 standardised columns, one output, targets 0 and 1."""
    table = load_breast_cancer()
    order = torch.randperm(len(table.data), generator=torch.Generator().manual_seed(41))
    columns = torch.tensor(table.data, dtype=torch.float32)[order]
    labels = torch.tensor(table.target, dtype=torch.float32)[order]
    held = 169
    columns = (columns - columns[:-held].mean(0)) / columns[:-held].std(0)
    return standardised(columns, labels[:, None], held, "binary", 2, (61.0, 229.0))


def scanned() -> tuple[Tensor, Tensor]:
    """Images of digits from zero to one, 8 x 8, and their classes in a random order."""
    data = load_digits()
    order = torch.randperm(len(data.images), generator=torch.Generator().manual_seed(42))
    return torch.tensor(data.images, dtype=torch.float32)[order] / 16, torch.tensor(data.target)[order]


@cache
def moved_digits(size: int = 11, held: int = 400) -> Task:
    """Digits at a random place of a larger noisy image."""
    images, labels = scanned()
    draw = torch.Generator().manual_seed(43)
    canvas = 0.1 * torch.rand(len(images), size, size, generator=draw)
    places = torch.randint(0, size - 8 + 1, (len(images), 2), generator=draw)
    for image, row, (top, left) in zip(images, canvas, places.tolist(), strict=True):
        row[top : top + 8, left : left + 8] += image
    return standardised(255 * canvas[:, None], labels, held, "accuracy", 10, (50.0, 78.0))


@cache
def coloured_digits(held: int = 400) -> Task:
    """Digits in a random colour on a ground of another one."""
    images, labels = scanned()
    draw = torch.Generator().manual_seed(44)
    ground = 0.4 * torch.rand(len(images), 3, 1, 1, generator=draw)
    ink = 0.6 + 0.4 * torch.rand(len(images), 3, 1, 1, generator=draw)
    colours = ground + (ink - ground) * images[:, None] + 0.05 * torch.randn(len(images), 3, 8, 8, generator=draw)
    return standardised(255 * colours, labels, held, "accuracy", 10, (110.0, 80.0))


@cache
def noisy_digits(held: int = 400) -> Task:
    """Noisy digits; targets are the 64 standardised pixels of the clean ones."""
    images, _ = scanned()
    draw = torch.Generator().manual_seed(45)
    clean = (images - images.mean()) / images.std()
    noisy = clean + 0.3 * torch.randn(clean.shape, generator=draw)
    return standardised(noisy[:, None], clean.flatten(1), held, "r2", 0, (78.0, 96.0))


@cache
def token_order(examples: int = 2000, length: int = 14) -> Task:
    """Tokens among which two places hold one of two special ones: the class is which stand there, in order."""
    draw = torch.Generator().manual_seed(46)
    tokens = torch.randint(2, TOKENS, (examples, length), generator=draw)
    first, second = torch.randint(0, 2, (2, examples), generator=draw)
    rows = torch.arange(examples)
    tokens[rows, torch.randint(1, 6, (examples,), generator=draw)] = first
    tokens[rows, torch.randint(8, length - 1, (examples,), generator=draw)] = second
    labels, held = 2 * first + second, 400
    floor = float(labels[-held:].bincount().max()) / held
    return Task(tokens[:-held], labels[:-held], tokens[-held:], labels[-held:], "accuracy", floor, 4)


@cache
def event_order(examples: int = 2400, length: int = 10, channels: int = 6) -> Task:
    """Noise with three events at random times; the class is in which of six orders they come."""
    draw = torch.Generator().manual_seed(47)
    inputs = 0.4 * torch.randn(examples, length, channels, generator=draw)
    orders = torch.tensor([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
    labels = torch.randint(0, 6, (examples,), generator=draw)
    events = torch.eye(channels)[:EVENTS] * 2.5 - torch.eye(channels)[EVENTS:] * 1.5
    for row in range(examples):
        times = torch.randperm(length, generator=draw)[:EVENTS].sort().values
        inputs[row, times] += events[orders[labels[row]]]
    return standardised(inputs, labels, 480, "accuracy", 6, (140.0, 50.0))
