"""Small records that several results share: a named model's place in a picture, and a barrier."""

from __future__ import annotations

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

    ``height`` = max over t in [0, 1] of L(t) - ((1 - t) L(0) + t L(1)), in nats per example and never negative;
    ``at`` is the t of the maximum after refinement; ``se`` is the paired standard error of the height. Not
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
