"""Small records that several results share: a named model's place in a picture, and a barrier."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


@record
@dataclass(frozen=True)
class Economy:
    """What was spared in a picture, and what error that brought.

    ``examples`` in the split and the ``tolerance`` and ``cap`` at which points stopped reading them;
    ``precision_gap``: how far the centre's loss is from its value in float32, as a share of that (None where it is no
    coarser); ``calibration_gap``: by how much the loss of the picture's middle point moves when batch-norm statistics
    come from another subset of as many training examples (None where all were used, or none).
    """

    examples: int
    tolerance: float = 0.0
    cap: float | None = None
    precision_gap: float | None = None
    calibration_gap: float | None = None

    def remarks(
        self, n_examples: NDArray[np.int64], loss_se: NDArray[np.float64], computed: NDArray[np.bool_]
    ) -> list[str]:
        """A line for each saving, with its error; the arrays are those of the picture's points."""
        lines = []
        read = int(n_examples[computed].sum())
        if self.tolerance and read:
            ratio = self.examples * int(computed.sum()) / read
            known = computed & np.isfinite(loss_se)
            worst = float(loss_se[known].max()) if known.any() else math.nan
            stopped = "" if self.cap is None else f" (above a loss of {self.cap:g} no better)"
            lines.append(
                f"sampled to a standard error of {self.tolerance:g}{stopped}: {ratio:.1f} times fewer examples than "
                f"all, standard errors up to {worst:.2g}"
            )
        if self.precision_gap is not None:
            lines.append(f"the centre's loss deviates by {self.precision_gap:.2g} of its float32 value")
        if self.calibration_gap is not None:
            gap = f"{self.calibration_gap:.2g}"
            lines.append(f"other training examples for the batch-norm statistics move the middle point's loss by {gap}")
        return lines


def policy_remarks(anchors: Iterable[Anchor]) -> list[str]:
    """A line for each given model whose loss in the picture is not its own, because of batch-norm statistics."""
    return [
        f"{anchor.name}: loss {anchor.loss:.4g} here, {anchor.loss_own:.4g} with its own batch-norm statistics"
        for anchor in anchors
        if abs(anchor.loss - anchor.loss_own) > 1e-3 * abs(anchor.loss_own)
    ]
