"""Small records that several results share: a named model's place in a picture, and a barrier."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from orograph.results.result import record


@record
@dataclass(frozen=True)
class Anchor:
    """A given model in a picture: its name, its coordinates, and its loss by itself and under the picture's policy.

    ``loss_own`` uses the model's own batch-norm statistics; ``loss`` those of the picture's batch-norm policy. A gap
    between the two is the price of the policy at this model, in nats per example. Accuracies are fractions.
    """

    name: str
    coordinates: tuple[float, ...]
    loss: float
    loss_own: float
    accuracy: float | None = None
    accuracy_own: float | None = None


@record
@dataclass(frozen=True)
class Barrier:
    """How far the loss rises above the straight chord between two models (Frankle et al. 2020).

    ``height`` = max over t in [0, 1] of L(t) - ((1 - t) L(0) + t L(1)), never negative, in ``unit``: nats per example,
    or "" for a loss that is no log-probability. ``at`` is the t of the maximum after refinement; ``se`` is the paired
    standard error of the height. Not
    ``resolved`` means within two standard errors of zero. ``error_height`` is the same for the error rate
    (a fraction), with its own argmax ``error_at``.
    """

    height: float
    at: float
    loss_at: float
    loss_start: float
    loss_end: float
    se: float
    resolved: bool
    grid_height: float
    grid_at: float
    n_examples: int
    error_height: float | None = None
    error_at: float | None = None
    evaluations: int = 0
    unit: str = "nats"

    def __str__(self) -> str:
        if not self.height:
            return "no barrier: the loss never rises above the chord"
        if math.isinf(self.height):
            return f"infinite barrier: the loss is not finite at t = {self.at:.3f}"
        unit = f" {self.unit}" if self.unit else ""
        if math.isnan(self.se):
            return f"barrier {self.height:.3g}{unit} (standard error unknown) at t = {self.at:.3f}"
        verdict = "" if self.resolved else " (not resolved: within 2 standard errors of 0)"
        return f"barrier {self.height:.3g} ± {self.se:.2g}{unit} at t = {self.at:.3f}{verdict}"


def policy_remarks(anchors: Iterable[Anchor]) -> list[str]:
    """A line for each given model whose loss in the picture is not its own, because of batch-norm statistics."""
    return [
        f"{anchor.name}: loss {anchor.loss:.4g} here, {anchor.loss_own:.4g} with its own batch-norm statistics"
        for anchor in anchors
        if abs(anchor.loss - anchor.loss_own) > 1e-3 * abs(anchor.loss_own)
    ]
