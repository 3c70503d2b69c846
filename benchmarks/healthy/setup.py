"""What a training set-up is, the registry of them, and the plain loop that trains one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Step = Callable[[nn.Module, Any, Any], Tensor]
NAMED_LOSSES: dict[str, Callable[[Any, Any], Tensor]] = {"cross_entropy": F.cross_entropy, "mse": F.mse_loss}


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A model, its data, its loss and its optimiser, and how to tell that training worked.

    `loss` is a name, a callable of (outputs, targets), or a callable of (model, batch). `step`, where given, does a
    whole training step by itself and returns the loss. `score` is a held-out score, higher is better; `trivial` is
    what a constant or untrained answer scores, and `best` what a perfect learner could hope for.
    """

    name: str = ""
    model: nn.Module
    loader: Iterable[Any]
    loss: str | Callable[..., Tensor]
    optimizer: Any
    step: Step | None = None
    steps: int
    score: Callable[[nn.Module], float]
    trivial: float
    best: float = 1.0


Maker = Callable[[int], Setup]
_MAKERS: dict[str, Maker] = {}


def setup(maker: Maker) -> Maker:
    """Put a function of the seed that makes a set-up into the registry, under its own name."""
    name = maker.__name__
    if name in _MAKERS:
        raise ValueError(f"two set-ups are called {name}")
    _MAKERS[name] = maker
    return maker


def names() -> list[str]:
    """The names of all set-ups, in the order they were defined."""
    return list(_MAKERS)


def make(name: str, seed: int = 0) -> Setup:
    """Make a set-up afresh; the same seed gives the same weights, data and order."""
    torch.manual_seed(seed)
    return replace(_MAKERS[name](seed), name=name)


def batch_loss(setup: Setup, batch: Any) -> Tensor:
    """The loss of one batch, whichever way the set-up states it."""
    if isinstance(setup.loss, str):
        return NAMED_LOSSES[setup.loss](setup.model(batch[0]), batch[1])
    if takes_model(setup.loss):
        return setup.loss(setup.model, batch)
    return setup.loss(setup.model(batch[0]), batch[1])


def takes_model(loss: Callable[..., Tensor]) -> bool:
    """Whether a loss is a callable of (model, batch) rather than of (outputs, targets)."""
    target = loss.forward if isinstance(loss, nn.Module) else loss
    return list(inspect.signature(target).parameters)[:2] == ["model", "batch"]


def train(setup: Setup) -> list[float]:
    """Train a set-up for its whole budget, and return the loss of each step."""
    losses: list[float] = []
    setup.model.train()
    while len(losses) < setup.steps:
        for batch in setup.loader:
            if setup.step is not None:
                loss = setup.step(setup.model, batch, setup.optimizer)
            else:
                setup.optimizer.zero_grad()
                loss = batch_loss(setup, batch)
                loss.backward()
                setup.optimizer.step()
            losses.append(float(loss.detach()))
            if len(losses) == setup.steps:
                break
    return losses
