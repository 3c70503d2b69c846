"""One training run to be diagnosed, and how it ends when it is trained as its author would train it.

A case holds what a user would hand to a doctor (model, loader, loss, optimiser, perhaps a step of his own) and what
only the benchmark knows: whether something is wrong, what, and held-out data that show the harm.
"""

from __future__ import annotations

import copy
import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

Kind = Literal["fault", "control", "trap"]
Strength = Literal["none", "mild", "middle", "strong"]
Metric = Literal["accuracy", "binary", "r2"]
Batch = Any  # (inputs, targets) as a tuple or a list, or a dictionary with two entries
Loss = Any  # "cross_entropy", "mse", an nn.Module or function of (outputs, targets), or loss(model, batch)
Step = Callable[[nn.Module, Batch, torch.optim.Optimizer], Tensor]


@dataclass(frozen=True)
class Task:
    """Data of a case: the training half as the user prepared it, and a held-out half.

    ``natural`` is the mean and the standard deviation of the inputs before they were standardised (pixels from 0 to
    255, say), so that a fault can forget to standardise. ``floor`` is the score of a constant prediction.
    """

    inputs: Tensor
    targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor
    metric: Metric
    floor: float
    classes: int = 0
    natural: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Loading:
    """How batches are made of the training half; ``transform`` changes a finished batch ``(inputs, targets)``."""

    batch: int
    shuffle: bool = True
    form: Literal["loader", "list", "dictionary"] = "loader"
    seed: int = 0
    transform: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    keys: tuple[str, str] = ("inputs", "targets")

    def collate(self, inputs: Tensor, targets: Tensor) -> Batch:
        """One batch in the form that the user chose."""
        if self.transform is not None:
            inputs, targets = self.transform(inputs, targets)
        if self.form == "dictionary":
            return dict(zip(self.keys, (inputs, targets), strict=True))
        return inputs, targets

    def loader(self, inputs: Tensor, targets: Tensor) -> Any:
        """A DataLoader over the examples, or a list of batches drawn once."""
        generator = torch.Generator().manual_seed(self.seed)
        if self.form == "list":
            order = torch.randperm(len(inputs), generator=generator) if self.shuffle else torch.arange(len(inputs))
            return [self.collate(inputs[rows], targets[rows]) for rows in torch.split(order, self.batch)]
        return DataLoader(
            TensorDataset(inputs, targets),
            batch_size=self.batch,
            shuffle=self.shuffle,
            generator=generator,
            collate_fn=lambda pairs: self.collate(*(torch.stack(column) for column in zip(*pairs, strict=True))),
        )


@dataclass
class Case:
    """What the doctor sees (model, loader, loss, optimizer, step) and what the benchmark knows (the rest).

    ``truth`` lists the cause keys that count as right: the planted one first, then those whose patch is equivalent.
    ``silent`` marks faults whose harm the held-out score need not show. ``steps`` is the training budget.
    """

    family: str
    seed: int
    model: nn.Module
    loader: Any
    loss: Loss
    optimizer: torch.optim.Optimizer
    task: Task
    loading: Loading
    traits: frozenset[str]
    steps: int
    step: Step | None = None
    fault: str = "healthy"
    strength: Strength = "none"
    kind: Kind = "control"
    truth: tuple[str, ...] = ()
    silent: bool = False

    @property
    def name(self) -> str:
        """``family/fault/strength/seed``."""
        return f"{self.family}/{self.fault}/{self.strength}/{self.seed}"


@dataclass(frozen=True)
class Outcome:
    """How a training ended: mean loss of the first and of the last ten steps, and the held-out score."""

    first_loss: float
    final_loss: float
    score: float
    finite: bool


def loss_of(loss: Loss, model: nn.Module, batch: Batch) -> Tensor:
    """The loss of one batch, whatever form the user's loss has."""
    function: Callable[..., Tensor] = loss
    if not isinstance(loss, str | nn.Module) and next(iter(inspect.signature(loss).parameters)) == "model":
        return function(model, batch)
    inputs, targets = batch.values() if isinstance(batch, Mapping) else batch
    outputs = model(inputs)
    if loss == "cross_entropy":
        return F.cross_entropy(outputs, targets)
    if loss == "mse":
        return F.mse_loss(outputs, targets)
    return function(outputs, targets)


def plain_step(loss: Loss, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
    """The usual step: zero_grad, loss, backward, optimizer.step."""
    optimizer.zero_grad()
    value = loss_of(loss, model, batch)
    value.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return value


def endless(loader: Any) -> Iterator[Batch]:
    """Batches of one epoch after another."""
    while True:
        yield from loader


def score(model: nn.Module, task: Task) -> float:
    """Held-out accuracy or R^2 (not below -1); a prediction that is not finite scores as a constant one does."""
    model.eval()
    with torch.no_grad():
        outputs = model(task.test_inputs)
    targets = task.test_targets
    if not torch.isfinite(outputs).all():
        return task.floor
    if task.metric == "accuracy":
        return float((outputs.argmax(-1) == targets).float().mean())
    outputs = outputs.reshape(targets.shape)
    if task.metric == "binary":
        return float(((outputs > 0) == (targets > 0.5)).float().mean())
    residual = (outputs - targets).square().mean() / (targets - targets.mean(0)).square().mean()
    return max(-1.0, 1.0 - float(residual))


def train(case: Case, steps: int | None = None) -> Outcome:
    """Train deep copies for ``steps`` steps (the case's own budget by default) as the user would, and look how it ends.

    Nothing of the case changes: model, optimiser and step are copied together, the loader's generator and the global
    random state are restored. A loss that stops being finite ends the training.
    """
    generator = getattr(case.loader, "generator", None)
    before = None if generator is None else generator.get_state()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(case.seed)
        model, optimizer, step = copy.deepcopy((case.model, case.optimizer, case.step))
        losses = []
        for batch in islice(endless(case.loader), steps or case.steps):
            value = plain_step(case.loss, model, batch, optimizer) if step is None else step(model, batch, optimizer)
            losses.append(float(value))
            if not math.isfinite(losses[-1]):
                break
        reached = score(model, case.task)
    if generator is not None:
        generator.set_state(before)
    final = sum(losses[-10:]) / len(losses[-10:])
    finite = math.isfinite(final) and all(bool(torch.isfinite(p).all()) for p in model.parameters())
    return Outcome(sum(losses[:10]) / len(losses[:10]), final, reached, finite)
