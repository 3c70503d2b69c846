"""What a learned initialisation found: a scale for each tensor, how it got there, and what simpler means reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from orograph.basics.words import counted
from orograph.results.comparison import Comparison, Series
from orograph.results.result import Result, record

_PLURAL = {"weight": "weights", "gain": "gains", "bias": "biases"}


@record
@dataclass(frozen=True)
class Control:
    """A simpler set of scales and what it reaches: the ``loss`` after one step of the optimiser and the ``norm`` of the
    gradient before it, both means over the same batches; ``scale`` is the one number it multiplies by (NaN: none)."""

    name: str
    scale: float
    loss: float
    norm: float


@dataclass(frozen=True, eq=False, kw_only=True)
class LearnedScales(Result):
    """Scales learned for a network's initial tensors.

    Attributes
    ----------
    method : ``gradinit``, ``metainit`` or ``metainit-gradinit``
    tensors : names of T parameters that have a scale, tied ones once; ``roles`` : weight, gain or bias
    scales : (T,) what they were multiplied by
    left_alone : names of the other parameters and why, as pairs
    path : (I + 1, T) the scales before each of I iterations, and at the end
    value : (I,) what was minimised: the loss after one step of the optimiser (NaN in a step back into the constraint),
        or MetaInit's gradient quotient
    loss, norm : (I,) loss and gradient norm at the scales before the iteration
    constraint : (I,) whether it was a step back into the constraint
    skipped : iterations that had no finite loss or gradient, and changed nothing
    gamma : the longest gradient allowed; infinity for MetaInit
    iterations_worth : cost in plain training iterations of the same batch, counted in passes: a pass backward is worth
        two forward, differentiating a gradient another four
    measured_worth : the same in processor time, measured between plain iterations in the same run; NaN if not asked for
    controls : simpler scales, judged on the same batches
    applied : whether the network was changed
    """

    method: str
    tensors: tuple[str, ...]
    roles: tuple[str, ...]
    scales: NDArray[np.float64]
    left_alone: tuple[tuple[str, str], ...]
    path: NDArray[np.float64]
    value: NDArray[np.float64]
    loss: NDArray[np.float64]
    norm: NDArray[np.float64]
    constraint: NDArray[np.bool_]
    gamma: float
    iterations_worth: float
    measured_worth: float = float("nan")
    skipped: int = 0
    controls: tuple[Control, ...] = field(default_factory=tuple)
    applied: bool = True

    title: ClassVar[str] = "learned scales"

    @property
    def constraint_share(self) -> float:
        """The share of iterations spent on the constraint; NaN for no iterations."""
        return float(self.constraint.mean()) if len(self.constraint) else float("nan")

    @property
    def geometric_mean(self) -> float:
        """The one scale that the scales of weights and gains amount to; NaN where one of them is 0."""
        found = self.scales[[role != "bias" for role in self.roles]]
        return float(np.exp(np.log(found).mean())) if len(found) and (found > 0).all() else float("nan")

    def compared(self) -> Comparison:
        """The learned scales, tensor by tensor in the order of the network."""
        numbers = np.arange(1, len(self.tensors) + 1, dtype=np.float64)
        series = {}
        for role in dict.fromkeys(self.roles):
            chosen = np.array([one == role for one in self.roles])
            names = tuple(name for name, one in zip(self.tensors, self.roles, strict=True) if one == role)
            series[_PLURAL[role]] = Series(numbers[chosen], self.scales[None, chosen], joined=False, labels=names)
        series["as it was"] = Series(numbers, np.ones((1, len(numbers))))
        return Comparison(
            across="tensor, in the order of the network",
            quantities=("scale",),
            series=series,
            logarithmic=("scale",) if (self.scales > 0).all() else (),
            provenance=self.provenance,
        )

    def summary(self) -> str:
        verb = "scaled" if self.applied else "would scale"
        lines = [f"{self.method} {verb} {counted(len(self.tensors), 'tensor')} in {len(self.value)} iterations"]
        for role in dict.fromkeys(self.roles):
            found = self.scales[[one == role for one in self.roles]]
            lines.append(f"{_PLURAL[role]} by {found.min():.3g} to {found.max():.3g} (median {np.median(found):.3g})")
        cost = f"cost: {self.iterations_worth:.0f} plain training iterations by the count of passes"
        if np.isfinite(self.measured_worth):
            cost += f", {self.measured_worth:.0f} by processor time"
        if np.isfinite(self.gamma) and len(self.constraint):
            cost += f"; {self.constraint_share:.0%} of the iterations went to the constraint |g| <= {self.gamma:.3g}"
        lines.append(cost + (f"; {self.skipped} were not finite and skipped" if self.skipped else ""))
        if self.controls:
            lines.append("on the same batches, loss after one step (gradient norm before it):")
            lines += [
                f"  {one.name}{'' if np.isnan(one.scale) else f' {one.scale:.3g}'}: {one.loss:.4g} ({one.norm:.3g})"
                for one in self.controls
            ]
        return "\n".join(lines)
