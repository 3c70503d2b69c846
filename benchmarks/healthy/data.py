"""Small data sets, loaders and scores that the set-ups share."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn import datasets
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from .setup import Setup, Step


class Data(NamedTuple):
    """Inputs and targets to train on, and those held out."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor


def split(x: Tensor, y: Tensor, seed: int, held_out: float = 0.25) -> Data:
    """Hold out a random part of the examples."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    cut = int(len(x) * held_out)
    return Data(x[order[cut:]], y[order[cut:]], x[order[:cut]], y[order[:cut]])


def standardised(x: np.ndarray, y: np.ndarray, seed: int, regression: bool = False) -> Data:
    """A table with every column scaled by the training part; real targets are scaled as well."""
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, random_state=seed)
    mean, deviation = x_train.mean(0), x_train.std(0) + 1e-8
    tensors = [torch.tensor((part - mean) / deviation, dtype=torch.float32) for part in (x_train, x_test)]
    if regression:
        middle, spread = y_train.mean(0), y_train.std(0)
        targets = [torch.tensor((part - middle) / spread, dtype=torch.float32) for part in (y_train, y_test)]
        targets = [part.reshape(len(part), -1) for part in targets]
    else:
        targets = [torch.tensor(part, dtype=torch.long) for part in (y_train, y_test)]
    return Data(tensors[0], targets[0], tensors[1], targets[1])


def table(name: str, seed: int) -> Data:
    """One of scikit-learn's built-in classification tables."""
    bunch = getattr(datasets, f"load_{name}")()
    return standardised(bunch.data, bunch.target, seed)


def diabetes(seed: int) -> Data:
    """scikit-learn's diabetes table, a regression of which about half the variance can be explained."""
    bunch = datasets.load_diabetes()
    return standardised(bunch.data, bunch.target, seed, regression=True)


def digits(seed: int, flat: bool = False) -> Data:
    """The 8 by 8 digits, centred and scaled to about unit variance."""
    bunch = datasets.load_digits()
    images = torch.tensor(bunch.images, dtype=torch.float32) / 16
    images = (images - images.mean()) / images.std()
    images = images.flatten(1) if flat else images.unsqueeze(1)
    return split(images, torch.tensor(bunch.target), seed)


def batches(*tensors: Tensor, seed: int, size: int = 64, **options: Any) -> DataLoader:
    """A shuffling loader over tensors, in an order of its own."""
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(TensorDataset(*tensors), batch_size=size, shuffle=True, generator=generator, **options)


def predict(model: nn.Module, *inputs: Any) -> Any:
    """The outputs in evaluation mode, without gradients; the model is left as it was found."""
    mode = model.training
    model.eval()
    with torch.no_grad():
        outputs = model(*inputs)
    model.train(mode)
    return outputs


def agreement(predictions: Tensor, targets: Tensor) -> float:
    """The part of predictions that equal their targets."""
    return (predictions == targets).float().mean().item()


def accuracy(x: Any, y: Tensor, read: Callable[[Any], Tensor] | None = None) -> Callable[[nn.Module], float]:
    """A score: the accuracy on held-out examples; `read` turns outputs into labels."""
    reading = read or (lambda outputs: outputs.argmax(1))
    return lambda model: agreement(reading(predict(model, x)), y)


def majority(y: Tensor) -> float:
    """The accuracy of always answering the commonest label."""
    return y.flatten().bincount().max().item() / y.numel()


def explained(outputs: Tensor, y: Tensor) -> float:
    """The part of the variance of the targets that the outputs explain."""
    return 1 - ((outputs - y).square().mean() / (y - y.mean(0)).square().mean()).item()


def determination(x: Any, y: Tensor, read: Callable[[Any], Tensor] | None = None) -> Callable[[nn.Module], float]:
    """A score: the coefficient of determination on held-out examples."""
    reading = read or (lambda outputs: outputs)
    return lambda model: explained(reading(predict(model, x)), y)


def classification(
    data: Data,
    seed: int,
    model: nn.Module,
    optimizer: Any,
    steps: int,
    size: int = 64,
    loss: Any = "cross_entropy",
    step: Step | None = None,
    read: Callable[[Any], Tensor] | None = None,
    best: float = 1.0,
    **options: Any,
) -> Setup:
    """A set-up that classifies tensors and is scored by held-out accuracy."""
    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed, size=size, **options),
        loss=loss,
        optimizer=optimizer,
        step=step,
        steps=steps,
        score=accuracy(data.test_x, data.test_y, read),
        trivial=majority(data.test_y),
        best=best,
    )


def regression(
    data: Data,
    seed: int,
    model: nn.Module,
    optimizer: Any,
    steps: int,
    size: int = 64,
    loss: Any = "mse",
    step: Step | None = None,
    read: Callable[[Any], Tensor] | None = None,
    best: float = 1.0,
    **options: Any,
) -> Setup:
    """A set-up that regresses tensors and is scored by the held-out coefficient of determination."""
    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed, size=size, **options),
        loss=loss,
        optimizer=optimizer,
        step=step,
        steps=steps,
        score=determination(data.test_x, data.test_y, read),
        trivial=0.0,
        best=best,
    )


def perceptron(*widths: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers of the given widths with an activation between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


def scheduled(loss: Callable[[Any, Any], Tensor], scheduler: Any = None, clip: float | None = None) -> Step:
    """A usual training step, with the gradient's norm clipped and a scheduler moved on after every step."""

    def step(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
        inputs, targets = batch
        optimizer.zero_grad()
        value = loss(model(inputs), targets)
        value.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        return value

    return step
