"""The tasks of the sixth half: three tables, images of clock hands, spectrograms and snippets of letters."""

from __future__ import annotations

from functools import cache

import torch
from sklearn.datasets import make_classification, make_friedman2, make_gaussian_quantiles
from torch import Tensor

from .case import Metric, Task
from .tasks import standardised

LETTERS = 18
LANGUAGES = 5


def table(
    columns: Tensor, targets: Tensor, held: int, metric: Metric, classes: int, natural: tuple[float, float]
) -> Task:
    """A table of which each column is standardised by the training half."""
    columns = (columns - columns[:-held].mean(0)) / columns[:-held].std(0)
    return standardised(columns, targets, held, metric, classes, natural)


@cache
def qualities(examples: int = 2000) -> Task:
    """A table of 16 columns, ten of which tell five grades apart, three of which repeat others."""
    columns, labels = make_classification(
        examples, 16, n_informative=10, n_redundant=3, n_classes=5, class_sep=1.6, flip_y=0.01, random_state=61
    )
    numbers = torch.tensor(columns, dtype=torch.float32)
    return table(numbers, torch.tensor(labels).long(), 400, "accuracy", 5, (120.0, 75.0))


@cache
def hands(examples: int = 2000, size: int = 12) -> Task:
    """Noisy images of a clock's hand that points from somewhere near the middle in one of eight directions."""
    draw = torch.Generator().manual_seed(62)
    labels = torch.randint(0, 8, (examples,), generator=draw)
    angle = 0.7854 * (labels + 0.6 * torch.rand(examples, generator=draw) - 0.3)
    centre = (size - 1) / 2 + 1.6 * torch.rand(examples, 2, generator=draw) - 0.8
    length = 4.0 + torch.rand(examples, generator=draw)
    places = torch.arange(size).float()
    grid = torch.stack(torch.meshgrid(places, places, indexing="ij"), dim=-1)
    away = grid - centre[:, None, None]
    along = away[..., 0] * angle.sin()[:, None, None] + away[..., 1] * angle.cos()[:, None, None]
    nearest = along.clamp(min=0.0).minimum(length[:, None, None])[..., None]
    way = torch.stack([angle.sin(), angle.cos()], dim=1)[:, None, None]
    distance = (away - nearest * way).square().sum(-1)
    images = (-distance / 0.6).exp() + 0.1 * torch.randn(examples, size, size, generator=draw)
    return standardised(220 * images[:, None], labels, 400, "accuracy", 8, (30.0, 60.0))


@cache
def spectrograms(examples: int = 1800, size: int = 12) -> Task:
    """Noisy spectrograms: a steady tone, a rising or falling one, two tones, a click or a burst of noise."""
    draw = torch.Generator().manual_seed(63)
    labels = torch.randint(0, 6, (examples,), generator=draw)
    time, pitch = torch.arange(size).float()[None, :], torch.arange(size).float()[:, None]
    images = 0.35 * torch.rand(examples, size, size, generator=draw)
    for image, label in zip(images, labels.tolist(), strict=True):
        low, start, slope = (float(number) for number in torch.rand(3, generator=draw))
        centre = 3.0 + 3.0 * low
        if label < 3:
            middle = centre + (0, 1, -1)[label] * (0.3 + 0.3 * slope) * (time - size / 2)
            image += (-((pitch - middle) ** 2)).exp()
        elif label == 3:
            image += (-((pitch - centre + 2) ** 2)).exp() + (-((pitch - centre - 3) ** 2)).exp()
        elif label == 4:
            image += (-((time - 2 - 7 * start) ** 2)).exp().expand(size, size)
        else:
            near = (-((time - 2 - 7 * start) ** 2 + (pitch - centre) ** 2) / 8).exp()
            image += 1.6 * near * torch.rand(size, size, generator=draw)
    return standardised(100 * images[:, None], labels, 360, "accuracy", 6, (30.0, 28.0))


@cache
def snippets(examples: int = 2200, length: int = 14) -> Task:
    """Snippets of letters in one of five languages, which differ in what letter follows what."""
    draw = torch.Generator().manual_seed(64)
    follows = torch.rand(LANGUAGES, LETTERS, LETTERS, generator=draw).pow(9)
    labels = torch.randint(0, LANGUAGES, (examples,), generator=draw)
    letters = torch.randint(0, LETTERS, (examples, length), generator=draw)
    for place in range(1, length):
        likely = follows[labels, letters[:, place - 1]]
        letters[:, place] = torch.multinomial(likely, 1, generator=draw)[:, 0]
    held = 400
    floor = float(labels[-held:].bincount().max()) / held
    return Task(letters[:-held], labels[:-held], letters[-held:], labels[-held:], "accuracy", floor, LANGUAGES)


@cache
def shells(examples: int = 2000) -> Task:
    """A table of six columns whose class is how far from the middle a row lies, three equal shells."""
    columns, labels = make_gaussian_quantiles(n_samples=examples, n_features=6, n_classes=3, random_state=65)
    numbers = torch.tensor(columns, dtype=torch.float32)
    return table(numbers, torch.tensor(labels).long(), 400, "accuracy", 3, (55.0, 18.0))


@cache
def impedances(examples: int = 1800) -> Task:
    """Regression: the impedance of a circuit (Friedman's second function) of four standardised columns."""
    columns, targets = make_friedman2(examples, noise=20.0, random_state=66)
    numbers = torch.tensor(targets, dtype=torch.float32)
    numbers = (numbers - numbers.mean()) / numbers.std()
    return table(torch.tensor(columns, dtype=torch.float32), numbers[:, None], 360, "r2", 0, (260.0, 120.0))
