"""Small tasks of the third half; the same data for every seed."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from .case import Task
from .tasks import digits, standardised


@cache
def digit_attributes() -> Task:
    """The digits with four labels each: even, above four, prime, drawn with a closed loop."""
    task = digits()
    table = torch.tensor(
        [[n % 2 == 0, n > 4, n in (2, 3, 5, 7), n in (0, 6, 8, 9)] for n in range(10)], dtype=torch.float32
    )
    train, test = table[task.targets], table[task.test_targets]
    share = test.mean(0)
    floor = float(torch.maximum(share, 1 - share).mean())
    return Task(task.inputs, train, task.test_inputs, test, "binary", floor, 4, task.natural)


def grid(size: int) -> tuple[Tensor, Tensor]:
    """Rows and columns of the pixels of a square image, (1, size, size) each."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return rows[None].float(), columns[None].float()


@cache
def glyphs(examples: int = 2000, size: int = 12) -> Task:
    """Noisy grey images of one of six figures (disc, ring, square, plus, cross, bar) of any place and size."""
    draw = torch.Generator().manual_seed(31)
    labels = torch.randint(0, 6, (examples,), generator=draw)
    rows, columns = grid(size)
    centre = (size - 1) / 2 + 3 * (torch.rand(examples, 2, generator=draw) - 0.5)
    radius = (2.5 + 2 * torch.rand(examples, generator=draw))[:, None, None]
    down, right = (rows - centre[:, 0, None, None]).abs(), (columns - centre[:, 1, None, None]).abs()
    far, near, round_ = torch.maximum(down, right), torch.minimum(down, right), (down**2 + right**2).sqrt()
    figures = torch.stack(
        [
            round_ < radius,
            (round_ - radius).abs() < 0.8,
            (far - radius).abs() < 0.6,
            (near < 0.8) & (far < radius),
            ((down - right).abs() < 0.9) & (far < radius),
            (down < 0.8) & (right < radius),
        ]
    )
    images = figures[labels, torch.arange(examples)].float()
    images = images * (0.6 + 0.8 * torch.rand(examples, 1, 1, generator=draw))
    images = images + 0.3 * torch.randn(images.shape, generator=draw)
    return standardised(images[:, None], labels, examples // 5, "accuracy", 6, (60.0, 70.0))


@cache
def textures(examples: int = 1600, size: int = 10) -> Task:
    """Noisy colour images of one of six textures (stripes of four directions, checks, rings) in any two colours."""
    draw = torch.Generator().manual_seed(32)
    labels = torch.randint(0, 6, (examples,), generator=draw)
    rows, columns = grid(size)
    pitch = (1.2 + 0.8 * torch.rand(examples, generator=draw))[:, None, None]
    phase = 6.2832 * torch.rand(2, examples, 1, 1, generator=draw)
    middle = 2 + (size - 5) * torch.rand(2, examples, 1, 1, generator=draw)
    patterns = torch.stack(
        [
            (pitch * rows + phase[0]).sin(),
            (pitch * columns + phase[0]).sin(),
            (pitch * (rows + columns) * 0.71 + phase[0]).sin(),
            (pitch * (rows - columns) * 0.71 + phase[0]).sin(),
            (pitch * rows + phase[0]).sin() * (pitch * columns + phase[1]).sin() * 1.4,
            (pitch * ((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2).sqrt() + phase[0]).sin(),
        ]
    )
    pattern = patterns[labels, torch.arange(examples)][:, None]
    colours = torch.randn(2, examples, 3, 1, 1, generator=draw)
    images = colours[0] * pattern + 0.5 * colours[1]
    images = images + 0.3 * torch.randn(images.shape, generator=draw)
    return standardised(images, labels, examples // 5, "accuracy", 6, (118.0, 62.0))


PAD, NOT, GOOD, BAD, WORDS = 0, 1, range(2, 10), range(10, 18), 50


@cache
def reviews(examples: int = 2400, longest: int = 16) -> Task:
    """Sentences of 6 to 16 words, padded with zeros: bad, mixed or good, by words of praise and blame, some negated."""
    draw = torch.Generator().manual_seed(33)
    tokens = torch.randint(BAD.stop, WORDS, (examples, longest), generator=draw)
    lengths = torch.randint(6, longest + 1, (examples,), generator=draw)
    labels = torch.randint(0, 3, (examples,), generator=draw)
    tone = labels - 1
    for row in range(examples):
        count = int(torch.randint(1, 3, (1,), generator=draw)) * (2 if tone[row] == 0 else 1)
        places = 2 * torch.randperm(int(lengths[row]) // 2, generator=draw)[:count]
        for turn, place in enumerate(places.tolist()):
            wanted = int(tone[row]) if tone[row] else (1 if turn % 2 else -1)
            if turn == len(places) - 1 and tone[row] == 0 and turn % 2 == 0:
                continue
            negated = bool(torch.rand(1, generator=draw) < 0.35)
            words = GOOD if (wanted > 0) != negated else BAD
            tokens[row, place + 1] = words[int(torch.randint(0, 8, (1,), generator=draw))]
            if negated:
                tokens[row, place] = NOT
    tokens[torch.arange(longest)[None] >= lengths[:, None]] = PAD
    held = examples // 5
    floor = float(labels[-held:].bincount().max()) / held
    return Task(tokens[:-held], labels[:-held], tokens[-held:], labels[-held:], "accuracy", floor, 3)


@cache
def sensors(examples: int = 1800, length: int = 16) -> Task:
    """Three noisy sensors of an oscillator that is damped and driven; the target is where it is four steps later."""
    draw = torch.Generator().manual_seed(34)
    state = torch.randn(examples, 2, generator=draw)
    pace = 0.35 + 0.3 * torch.rand(examples, generator=draw)
    drive = torch.randn(examples, generator=draw)
    seen, after = [], []
    for time in range(length + 4):
        push = drive * (0.5 + 0.5 * torch.sin(0.4 * torch.tensor(float(time))))
        speed = 0.97 * state[:, 1] - pace**2 * state[:, 0] + 0.12 * push
        state = torch.stack([state[:, 0] + speed, speed], dim=1)
        seen.append(torch.stack([state[:, 0], 3 * speed, push], dim=1))
        after.append(state[:, 0])
    inputs = torch.stack(seen[:length], dim=1)
    inputs = inputs / inputs.std((0, 1)) + 0.1 * torch.randn(inputs.shape, generator=draw)
    targets = (after[-1] - after[-1].mean()) / after[-1].std()
    return standardised(inputs, targets[:, None], examples // 5, "r2", 0, (310.0, 45.0))


@cache
def cells(examples: int = 700, size: int = 16) -> Task:
    """Grey images with three round cells, plain or speckled, on a noisy ground; a class for each pixel."""
    draw = torch.Generator().manual_seed(35)
    rows, columns = grid(size)
    images = 0.25 * torch.randn(examples, size, size, generator=draw)
    classes = torch.zeros(examples, size, size, dtype=torch.long)
    speckles = torch.where((rows + columns) % 2 > 0, 1.3, 0.1)
    for _ in range(3):
        place = size * torch.rand(2, examples, 1, 1, generator=draw)
        radius = 2.5 + 2 * torch.rand(examples, 1, 1, generator=draw)
        inside = (rows - place[0]) ** 2 + (columns - place[1]) ** 2 < radius**2
        speckled = torch.rand(examples, 1, 1, generator=draw) < 0.5
        value = torch.where(speckled, speckles, torch.tensor(0.7))
        images = torch.where(inside, value + 0.25 * torch.randn(images.shape, generator=draw), images)
        classes = torch.where(inside, torch.where(speckled, 2, 1), classes)
    return standardised(images[:, None], classes, examples // 5, "accuracy", 3, (90.0, 55.0))
