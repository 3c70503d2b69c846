"""The tasks of the fifth half: a table, two kinds of images, signals, tokens, sets of points and a robot arm."""

from __future__ import annotations

from functools import cache

import torch
from sklearn.datasets import load_wine

from .case import Task
from .tasks import standardised
from .tasks_fourth import scanned

VALUES = 5
WORDS = 14


@cache
def wines(held: int = 60) -> Task:
    """The wine table: 13 standardised columns, three growers."""
    table = load_wine()
    order = torch.randperm(len(table.data), generator=torch.Generator().manual_seed(51))
    columns = torch.tensor(table.data, dtype=torch.float32)[order]
    columns = (columns - columns[:-held].mean(0)) / columns[:-held].std(0)
    return standardised(columns, torch.tensor(table.target)[order], held, "accuracy", 3, (69.0, 215.0))


@cache
def spots(examples: int = 2000, size: int = 12) -> Task:
    """Noisy images with one to five spots of about the same brightness; the class is how many there are."""
    draw = torch.Generator().manual_seed(52)
    labels = torch.randint(0, 5, (examples,), generator=draw)
    places = torch.arange(size)
    images = 0.06 * torch.randn(examples, size, size, generator=draw)
    for image, label in zip(images, labels.tolist(), strict=True):
        for cell in torch.randperm(9, generator=draw)[: label + 1].tolist():
            shift, light = torch.rand(2, generator=draw), 0.8 + 0.4 * float(torch.rand(1, generator=draw))
            row, column = 1 + 4 * (cell // 3) + float(shift[0]), 1 + 4 * (cell % 3) + float(shift[1])
            image += light * (-((places[:, None] - row) ** 2 + (places - column) ** 2) / 0.9).exp()
    return standardised(200 * images[:, None], labels, 400, "accuracy", 5, (18.0, 48.0))


@cache
def crossed_digits(held: int = 400) -> Task:
    """Scanned digits with one row or column crossed out and a little noise."""
    images, labels = scanned()
    draw = torch.Generator().manual_seed(53)
    images = images + 0.05 * torch.randn(images.shape, generator=draw)
    for image, line in zip(images, torch.randint(0, 16, (len(images),), generator=draw).tolist(), strict=True):
        (image if line < 8 else image.T)[line % 8] = 0.8
    return standardised(255 * images[:, None], labels, held, "accuracy", 10, (100.0, 96.0))


@cache
def heartbeats(examples: int = 2000, length: int = 40) -> Task:
    """Noisy signals of beats: regular, with a beat missing, with a beat too early, or with a wide beat."""
    draw = torch.Generator().manual_seed(54)
    labels = torch.randint(0, 4, (examples,), generator=draw)
    time = torch.arange(length)
    signals = 0.15 * torch.randn(examples, length, generator=draw)
    for signal, label in zip(signals, labels.tolist(), strict=True):
        period = 6.5 + 1.5 * float(torch.rand(1, generator=draw))
        beats = float(3 * torch.rand(1, generator=draw)) + 1 + period * torch.arange(5)
        chosen = int(torch.randint(1, 4, (1,), generator=draw))
        widths = torch.full((5,), 1.0)
        if label == 2:
            beats[chosen] -= 0.45 * period
        if label == 3:
            widths[chosen] = 2.2
        kept = [beat for beat in range(5) if not (label == 1 and beat == chosen)]
        for beat in kept:
            signal += (-(((time - beats[beat]) / widths[beat]) ** 2)).exp()
    return standardised(signals[:, None], labels, 400, "accuracy", 4, (70.0, 35.0))


@cache
def registers(examples: int = 2400, length: int = 14) -> Task:
    """Tokens of which some write a value and the others do nothing; the class is the value that was written last."""
    draw = torch.Generator().manual_seed(55)
    tokens = torch.randint(VALUES + 1, WORDS, (examples, length), generator=draw)
    tokens[torch.rand(examples, length, generator=draw) < 0.2] = 0  # the token of padding
    writes = torch.rand(examples, length, generator=draw) < 0.25
    writes[torch.arange(examples), torch.randint(0, length, (examples,), generator=draw)] = True
    values = torch.randint(0, VALUES, (examples, length), generator=draw)
    tokens = torch.where(writes, values + 1, tokens)
    last = (writes * torch.arange(1, length + 1)).argmax(1)
    labels, held = values[torch.arange(examples), last], 480
    floor = float(labels[-held:].bincount().max()) / held
    return Task(tokens[:-held], labels[:-held], tokens[-held:], labels[-held:], "accuracy", floor, VALUES)


@cache
def point_sets(examples: int = 2000, points: int = 20) -> Task:
    """Sets of points in the plane: a segment, a circle, two clusters, a disc or a cross, turned, moved and noisy."""
    draw = torch.Generator().manual_seed(56)
    labels = torch.randint(0, 5, (examples,), generator=draw)
    along = 2 * torch.rand(examples, points, generator=draw) - 1
    angle = 6.2832 * torch.rand(examples, points, generator=draw)
    side = torch.randint(0, 2, (examples, points), generator=draw)
    zero, radius = torch.zeros_like(along), torch.rand(examples, points, generator=draw).sqrt()
    shapes = torch.stack(
        [
            torch.stack([1.4 * along, zero], dim=2),
            torch.stack([angle.cos(), angle.sin()], dim=2),
            torch.stack([2.0 * side - 1, zero], dim=2),
            torch.stack([radius * angle.cos(), radius * angle.sin()], dim=2),
            1.2 * torch.stack([along * side, along * (1 - side)], dim=2),
        ]
    )
    chosen = shapes[labels, torch.arange(examples)]
    turn = 6.2832 * torch.rand(examples, generator=draw)
    turned = torch.stack([torch.stack([turn.cos(), turn.sin()], 1), torch.stack([-turn.sin(), turn.cos()], 1)], 1)
    moved = chosen @ turned + 0.2 * torch.randn(examples, 1, 2, generator=draw)
    moved = moved + 0.05 * torch.randn(moved.shape, generator=draw)
    return standardised(moved, labels, 400, "accuracy", 5, (320.0, 110.0))


@cache
def robot_arm(examples: int = 2000) -> Task:
    """Regression: four joint angles of an arm; the three targets are where its hand is, standardised."""
    draw = torch.Generator().manual_seed(57)
    angles = 2.4 * torch.rand(examples, 4, generator=draw) - 1.2
    base, first, second, third = angles.T
    bend = torch.stack([first, first + second, first + second + third])
    lengths = torch.tensor([[1.0], [0.8], [0.4]])
    reach, height = (lengths * bend.cos()).sum(0), (lengths * bend.sin()).sum(0)
    targets = torch.stack([reach * base.cos(), reach * base.sin(), height], dim=1)
    targets = (targets - targets.mean(0)) / targets.std(0)
    return standardised(angles, targets, 400, "r2", 0, (180.0, 40.0))
