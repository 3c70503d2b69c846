"""Small tasks that a small network learns within a few hundred steps; the same data for every seed."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

import orograph as og

from .case import Metric, Task


def standardised(
    inputs: Tensor, targets: Tensor, held: int, metric: Metric, classes: int, natural: tuple[float, float]
) -> Task:
    """The last ``held`` rows become the held-out half; inputs are centred and scaled by the training half."""
    train, test = inputs[:-held], inputs[-held:]
    middle, spread = train.mean(), train.std()
    floor = 0.0
    if metric == "accuracy":
        floor = float(targets[-held:].flatten().bincount().max()) / targets[-held:].numel()
    elif metric == "binary":
        floor = max(float(targets[-held:].mean()), 1 - float(targets[-held:].mean()))
    return Task(
        (train - middle) / spread,
        targets[:-held],
        (test - middle) / spread,
        targets[-held:],
        metric,
        floor,
        classes,
        natural,
    )


@cache
def digits() -> Task:
    """Images of 8 x 8 pixels in ten classes."""
    data = og.data.load("digits")
    assert data.train.targets is not None
    assert data.test.targets is not None
    images = torch.cat([data.train.inputs, data.test.inputs])
    labels = torch.cat([data.train.targets, data.test.targets])
    pixels = 255 * (images - images.min()) / (images.max() - images.min())
    natural = (float(pixels.mean()), float(pixels.std()))
    return standardised(pixels, labels, len(data.test), "accuracy", 10, natural)


@cache
def digit_rows() -> Task:
    """The digits as sequences of eight rows of eight pixels."""
    task = digits()
    return Task(
        task.inputs.squeeze(1),
        task.targets,
        task.test_inputs.squeeze(1),
        task.test_targets,
        "accuracy",
        task.floor,
        10,
        task.natural,
    )


@cache
def digit_copies() -> Task:
    """The digits as their own targets, 64 numbers each."""
    task = digits()
    return Task(
        task.inputs,
        task.inputs.flatten(1),
        task.test_inputs,
        task.test_inputs.flatten(1),
        "r2",
        0.0,
        natural=task.natural,
    )


@cache
def frequent_tokens(examples: int = 2400, length: int = 12, vocabulary: int = 20, classes: int = 6) -> Task:
    """Sequences of tokens; the class is the one of the first six tokens that occurs most often."""
    draw = torch.Generator().manual_seed(11)
    tokens = torch.randint(classes, vocabulary, (examples, length), generator=draw)
    labels = torch.randint(0, classes, (examples,), generator=draw)
    for row in range(examples):
        places = torch.randperm(length, generator=draw)
        tokens[row, places[:3]] = labels[row]
        tokens[row, places[3:5]] = (labels[row] + 1 + torch.randint(0, classes - 1, (2,), generator=draw)) % classes
    # Two distractors of one kind leave the planted token, which occurs three times, the most frequent.
    held = examples // 5
    floor = float(labels[-held:].bincount().max()) / held
    return Task(tokens[:-held], labels[:-held], tokens[-held:], labels[-held:], "accuracy", floor, classes)


@cache
def chain_text(examples: int = 1600, length: int = 16, vocabulary: int = 16) -> Task:
    """A Markov chain: three times in four a token is followed by its one successor; targets are the next tokens."""
    draw = torch.Generator().manual_seed(12)
    successor = torch.randperm(vocabulary, generator=draw)
    text = torch.randint(0, vocabulary, (examples, length + 1), generator=draw)
    for place in range(length):
        follows = torch.rand(examples, generator=draw) < 0.75
        text[follows, place + 1] = successor[text[follows, place]]
    held = examples // 5
    inputs, targets = text[:, :-1], text[:, 1:]
    floor = float(targets[-held:].flatten().bincount().max()) / targets[-held:].numel()
    return Task(inputs[:-held], targets[:-held], inputs[-held:], targets[-held:], "accuracy", floor, vocabulary)


@cache
def frequencies(examples: int = 1800, length: int = 16) -> Task:
    """Two noisy channels of a wave with a random phase; the class is which of four frequencies it has."""
    draw = torch.Generator().manual_seed(13)
    labels = torch.randint(0, 4, (examples,), generator=draw)
    phase = 6.2832 * torch.rand(examples, 1, generator=draw)
    angle = 6.2832 * torch.tensor([1.0, 2.0, 3.0, 4.5])[labels][:, None] * torch.arange(length) / length + phase
    waves = torch.stack([angle.sin(), angle.cos()], dim=2)
    waves = waves + 0.2 * torch.randn(waves.shape, generator=draw)
    return standardised(waves, labels, examples // 5, "accuracy", 4, (150.0, 60.0))


@cache
def shapes(examples: int = 1800, length: int = 32) -> Task:
    """One noisy channel: the class is the shape of the wave (sine, square, sawtooth, pulse, two pulses)."""
    draw = torch.Generator().manual_seed(14)
    labels = torch.randint(0, 5, (examples,), generator=draw)
    place = torch.arange(length) / length + torch.rand(examples, 1, generator=draw)
    turn = place % 1
    waves = torch.stack(
        [
            (6.2832 * place).sin(),
            (6.2832 * place).sin().sign(),
            2 * turn - 1,
            2.0 * (turn < 0.2) - 0.4,
            2.0 * ((2 * turn % 1) < 0.2) - 0.4,
        ]
    )
    chosen = waves[labels, torch.arange(examples)]
    chosen = chosen + 0.2 * torch.randn(chosen.shape, generator=draw)
    return standardised(chosen[:, None], labels, examples // 5, "accuracy", 5, (120.0, 70.0))


@cache
def waves(examples: int = 2000) -> Task:
    """Regression: y = sin(2 x1) + x2 x3 / 2 + x4 of six normal inputs, standardised."""
    draw = torch.Generator().manual_seed(15)
    inputs = torch.randn(examples, 6, generator=draw)
    targets = (2 * inputs[:, 0]).sin() + inputs[:, 1] * inputs[:, 2] / 2 + inputs[:, 3]
    targets = (targets - targets.mean()) / targets.std()
    return standardised(inputs, targets[:, None], examples // 5, "r2", 0, (80.0, 30.0))


@cache
def friedman(examples: int = 1800) -> Task:
    """Regression: Friedman's first function of ten uniform inputs with noise of standard deviation one."""
    draw = torch.Generator().manual_seed(16)
    inputs = torch.rand(examples, 10, generator=draw)
    x = inputs.T
    targets = 10 * (3.1416 * x[0] * x[1]).sin() + 20 * (x[2] - 0.5) ** 2 + 10 * x[3] + 5 * x[4]
    targets = targets + torch.randn(examples, generator=draw)
    targets = (targets - targets.mean()) / targets.std()
    return standardised(inputs, targets[:, None], examples // 5, "r2", 0, (500.0, 290.0))


@cache
def moons(examples: int = 1500) -> Task:
    """Two interlocking half circles in the plane, one output, targets 0 and 1."""
    draw = torch.Generator().manual_seed(17)
    labels = torch.randint(0, 2, (examples,), generator=draw).float()
    angle = 3.1416 * torch.rand(examples, generator=draw)
    sign = 1 - 2 * labels
    points = torch.stack([labels + sign * angle.cos(), labels / 2 + sign * angle.sin()], dim=1)
    points = points + 0.12 * torch.randn(points.shape, generator=draw)
    return standardised(points, labels[:, None], examples // 5, "binary", 2, (40.0, 25.0))
