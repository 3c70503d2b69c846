"""Loops: optimisers, schedules, precision, accumulation, averaging and samplers of every usual kind."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from sklearn import datasets
from torch import Tensor, nn
from torch.optim.lr_scheduler import (
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    ReduceLROnPlateau,
    SequentialLR,
)
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, WeightedRandomSampler

from .data import (
    accuracy,
    agreement,
    classification,
    diabetes,
    digits,
    majority,
    perceptron,
    predict,
    regression,
    scheduled,
    standardised,
    table,
)
from .setup import Setup, setup


def digits_perceptron(seed: int, kind: type[torch.optim.Optimizer], steps: int = 300, **options: Any) -> Setup:
    """A perceptron of digits under a given optimiser."""
    model = perceptron(64, 96, 48, 10)
    return classification(digits(seed, flat=True), seed, model, kind(model.parameters(), **options), steps)


@setup
def digits_rmsprop(seed: int) -> Setup:
    """A perceptron of digits with RMSprop and momentum."""
    return digits_perceptron(seed, torch.optim.RMSprop, lr=5e-4, momentum=0.9)


@setup
def digits_adagrad(seed: int) -> Setup:
    """A perceptron of digits with Adagrad."""
    return digits_perceptron(seed, torch.optim.Adagrad, lr=0.02)


@setup
def digits_nadam(seed: int) -> Setup:
    """A perceptron of digits with NAdam."""
    return digits_perceptron(seed, torch.optim.NAdam, lr=2e-3)


@setup
def digits_radam(seed: int) -> Setup:
    """A perceptron of digits with rectified Adam."""
    return digits_perceptron(seed, torch.optim.RAdam, lr=3e-3)


@setup
def digits_adafactor(seed: int) -> Setup:
    """A perceptron of digits with Adafactor."""
    return digits_perceptron(seed, torch.optim.Adafactor, lr=0.02)


@setup
def digits_amsgrad(seed: int) -> Setup:
    """A perceptron of digits with the AMSGrad form of Adam."""
    return digits_perceptron(seed, torch.optim.Adam, lr=2e-3, amsgrad=True)


@setup
def digits_adamax(seed: int) -> Setup:
    """A perceptron of digits with Adamax."""
    return digits_perceptron(seed, torch.optim.Adamax, lr=4e-3)


@setup
def cancer_lbfgs_whole_batch(seed: int) -> Setup:
    """Logistic regression by L-BFGS on the whole table at once, through a closure."""
    data = table("breast_cancer", seed)
    model = nn.Linear(30, 2)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=5, line_search_fn="strong_wolfe")

    def penalised(model: nn.Module, batch: list[Tensor]) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1]) + 1e-3 * model.weight.square().sum()

    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.LBFGS) -> Tensor:
        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = penalised(model, batch)
            loss.backward()
            return loss

        return optimizer.step(closure)

    return classification(data, seed, model, optimizer, 12, size=len(data.x), loss=penalised, step=step)


@setup
def diabetes_tanh_float64(seed: int) -> Setup:
    """A small tanh network in double precision."""
    data = diabetes(seed)
    data = type(data)(*(part.double() for part in data))
    model = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 1)).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, weight_decay=1e-3)
    return regression(data, seed, model, optimizer, 150, best=0.5)


@setup
def digits_autocast(seed: int) -> Setup:
    """A convolutional network under bfloat16 autocast."""
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 64), nn.ReLU()
    ).append(nn.Linear(64, 10))

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return F.cross_entropy(model(batch[0]), batch[1])

    return classification(digits(seed), seed, model, torch.optim.AdamW(model.parameters(), lr=2e-3), 250, loss=loss)


@setup
def cancer_accumulated_momentum(seed: int) -> Setup:
    """Gradients of batches of eight summed over six of them, the loss divided beforehand, under SGD with momentum."""
    data = table("breast_cancer", seed)
    model = nn.Sequential(nn.Linear(30, 48), nn.LayerNorm(48), nn.GELU(), nn.Linear(48, 2))
    parts, gathered = 6, 0

    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        nonlocal gathered
        loss = F.cross_entropy(model(batch[0]), batch[1]) / parts
        loss.backward()
        gathered += 1
        if gathered == parts:
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            optimizer.zero_grad()
            gathered = 0
        return loss * parts

    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return classification(data, seed, model, optimizer, 600, size=8, step=step)


class WithAverage(nn.Module):
    """A model that answers by its moving average when it is evaluated."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.model = model
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay)).requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        """The live answer while training, the average's afterwards."""
        return self.model(inputs) if self.training else self.average(inputs)


@setup
def digits_moving_average(seed: int) -> Setup:
    """An exponential moving average of the weights, followed after every step and used for the answers."""
    model = WithAverage(perceptron(64, 96, 10), 0.97)

    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        model.average.update_parameters(model.model)
        return loss

    optimizer = torch.optim.SGD(model.model.parameters(), lr=0.1, momentum=0.9)
    return classification(digits(seed, flat=True), seed, model, optimizer, 300, step=step)


@setup
def digits_lookahead(seed: int) -> Setup:
    """Lookahead: every five steps the slow weights move half of the way to the fast ones."""
    model = perceptron(64, 96, 10)
    slow = copy.deepcopy(list(model.parameters()))
    count = 0

    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        nonlocal count
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        count += 1
        if count % 5 == 0:
            with torch.no_grad():
                for kept, fast in zip(slow, model.parameters(), strict=True):
                    kept.lerp_(fast, 0.5)
                    fast.copy_(kept)
        return loss

    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classification(digits(seed, flat=True), seed, model, optimizer, 300, step=step)


@setup
def digits_sharpness_aware(seed: int) -> Setup:
    """Sharpness-aware minimisation: the gradient is taken a short way uphill."""
    model = perceptron(64, 96, 10)

    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        loss = F.cross_entropy(model(batch[0]), batch[1])
        weights = list(model.parameters())
        slopes = torch.autograd.grad(loss, weights)
        scale = 0.05 / (torch.cat([slope.flatten() for slope in slopes]).norm() + 1e-12)
        with torch.no_grad():
            for weight, slope in zip(weights, slopes, strict=True):
                weight.add_(slope, alpha=float(scale))
        optimizer.zero_grad()
        F.cross_entropy(model(batch[0]), batch[1]).backward()
        with torch.no_grad():
            for weight, slope in zip(weights, slopes, strict=True):
                weight.sub_(slope, alpha=float(scale))
        optimizer.step()
        return loss

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return classification(digits(seed, flat=True), seed, model, optimizer, 250, step=step)


@setup
def digits_plateau(seed: int) -> Setup:
    """The rate is halved when the mean loss of an epoch stops falling."""
    model = perceptron(64, 64, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
    recent: list[float] = []

    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        recent.append(loss.item())
        if len(recent) == 22:
            scheduler.step(sum(recent) / len(recent))
            recent.clear()
        return loss

    return classification(digits(seed, flat=True), seed, model, optimizer, 400, step=step)


@setup
def digits_warm_restarts(seed: int) -> Setup:
    """Cosine annealing with warm restarts."""
    model = perceptron(64, 96, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    step = scheduled(F.cross_entropy, CosineAnnealingWarmRestarts(optimizer, 50, 2))
    return classification(digits(seed, flat=True), seed, model, optimizer, 350, step=step)


@setup
def digits_warm_up_then_decay(seed: int) -> Setup:
    """A linear warm-up followed by exponential decay, by SequentialLR, with clipped gradients."""
    model = perceptron(64, 96, 10, activation=nn.GELU)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.05)
    parts = [LinearLR(optimizer, 0.1, total_iters=30), ExponentialLR(optimizer, 0.99)]
    step = scheduled(F.cross_entropy, SequentialLR(optimizer, parts, [30]), clip=1.0)
    return classification(digits(seed, flat=True), seed, model, optimizer, 300, step=step)


@setup
def digits_large_batch(seed: int) -> Setup:
    """Batches of 512 with a rate scaled up to match and a warm-up."""
    model = nn.Sequential(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.4, momentum=0.9)
    rate = LambdaLR(optimizer, lambda done: min(1.0, (done + 1) / 15) * 0.5 * (1 + math.cos(math.pi * done / 120)))
    step = scheduled(F.cross_entropy, rate)
    return classification(digits(seed, flat=True), seed, model, optimizer, 120, size=512, step=step)


@setup
def digits_tiny_batch(seed: int) -> Setup:
    """Batches of four with a small rate, and group norm since batch norm would be noisy."""
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.GroupNorm(4, 16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 10),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9)
    return classification(digits(seed), seed, model, optimizer, 1000, size=4)


@setup
def digits_sgd_and_adam_groups(seed: int) -> Setup:
    """A convolutional body with a lower rate than its head, by parameter groups, and no decay of the biases."""
    body = nn.Sequential(nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    model = nn.Sequential(body, nn.Linear(384, 10))
    groups = [
        {"params": body.parameters(), "lr": 1e-3, "weight_decay": 1e-2},
        {"params": [model[1].weight], "lr": 3e-3, "weight_decay": 1e-2},
        {"params": [model[1].bias], "lr": 3e-3, "weight_decay": 0.0},
    ]
    return classification(digits(seed), seed, model, torch.optim.AdamW(groups), 300)


class Endless(IterableDataset):
    """An endless stream of examples of a table in random order."""

    def __init__(self, x: Tensor, y: Tensor, seed: int) -> None:
        self.x, self.y, self.seed = x, y, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            for row in torch.randperm(len(self.x), generator=generator).tolist():
                yield self.x[row], self.y[row]


@setup
def digits_streamed(seed: int) -> Setup:
    """Digits from an endless iterable data set."""
    data = digits(seed, flat=True)
    model = perceptron(64, 96, 10)
    made = classification(data, seed, model, torch.optim.Adam(model.parameters(), lr=2e-3), 300)
    return Setup(**{**vars(made), "loader": DataLoader(Endless(data.x, data.y, seed), batch_size=50)})


@setup
def faults_weighted_sampler(seed: int) -> Setup:
    """Four kinds of fault, two of them rare, drawn evenly by a weighted sampler and scored by the mean recall."""
    x, y = datasets.make_classification(
        3000,
        14,
        n_informative=9,
        n_classes=4,
        n_clusters_per_class=1,
        weights=[0.6, 0.28, 0.07, 0.05],
        random_state=seed,
    )
    data = standardised(x, y, seed)
    model = perceptron(14, 64, 4)
    weights = (1 / data.y.bincount().float())[data.y]
    sampler = WeightedRandomSampler(weights.tolist(), len(weights), generator=torch.Generator().manual_seed(seed))

    def score(model: nn.Module) -> float:
        guess = predict(model, data.test_x).argmax(1)
        return sum(agreement(guess[data.test_y == kind], data.test_y[data.test_y == kind]) for kind in range(4)) / 4

    return Setup(
        model=model,
        loader=DataLoader(TensorDataset(data.x, data.y), 64, sampler=sampler),
        loss="cross_entropy",
        optimizer=torch.optim.Adam(model.parameters(), lr=2e-3),
        steps=400,
        score=score,
        trivial=0.25,
    )


@setup
def wine_whole_batch(seed: int) -> Setup:
    """The whole small table in every step, plain gradient descent, a list for a loader."""
    data = table("wine", seed)
    model = perceptron(13, 16, 3, activation=nn.Tanh)
    return Setup(
        model=model,
        loader=[(data.x, data.y)],
        loss=nn.CrossEntropyLoss(),
        optimizer=torch.optim.SGD(model.parameters(), lr=0.3),
        steps=150,
        score=accuracy(data.test_x, data.test_y),
        trivial=majority(data.test_y),
    )
