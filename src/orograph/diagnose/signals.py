"""Measurements that cost something, each taken when it is first asked for, and what they say in words."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

import torch

from orograph.data.structure import batch_length
from orograph.diagnose.chart import Chart
from orograph.diagnose.overfitting import Overfit, overfit
from orograph.diagnose.rates import range_test
from orograph.diagnose.sharpness import Edge, edge_of_stability
from orograph.diagnose.steadiness import Cliff, cliffs, descent, oscillation
from orograph.diagnose.thresholds import threshold
from orograph.initialize.variance import gradient_variance
from orograph.results.gradient_variance import GradientVariance
from orograph.results.signals import RateRange, Signal

_BATCHES = 8
_NUMBERS = 100_000_000  # of gradients that are held at once
_Found = TypeVar("_Found")


class Signals:
    """The tests of one patient. What cannot be measured on this network is None, and the doctor goes on without it.

    ``seconds`` bounds the range test; ``orders`` is how many orders of the batches it takes.
    """

    def __init__(self, chart: Chart, *, seed: int, seconds: float, orders: int = 1) -> None:
        self._chart, self._seed, self._seconds, self._orders = chart, seed, seconds, orders

    @cached_property
    def noise(self) -> GradientVariance | None:
        """Gradients of the first batches at the start."""
        patient, sizes = self._chart.patient, [batch_length(batch) for batch in self._chart.patient.batches]
        numbers = sum(p.numel() for p in patient.model.parameters() if p.requires_grad)
        batches = [b for b, size in zip(patient.batches, sizes, strict=True) if size == sizes[0]][:_BATCHES]
        batches = batches[: patient.epoch]
        if len(batches) < 3 or not numbers or numbers * len(batches) > _NUMBERS or patient.optimizer is None:
            return None

        def measured() -> GradientVariance:
            with patient.copy(own_step=False) as made:
                loss = made.loss
                return gradient_variance(made.model, batches, loss=lambda model, batch: loss(model, batch))

        return _tried(measured)

    @cached_property
    def rates(self) -> RateRange | None:
        """The learning-rate range."""
        run, patient = self._chart.run, self._chart.patient
        if patient.optimizer is None or run is None or not run.losses:
            return None
        each = max(run.seconds / len(run.losses), 1e-6)
        steps = max(min(100, int(self._seconds / (each * self._orders))), 40)
        return _tried(lambda: range_test(patient, steps=steps, orders=self._orders, seed=self._seed))

    @cached_property
    def edge(self) -> Edge | None:
        """The largest eigenvalue of the Hessian against the rate."""
        patient = self._chart.patient
        return None if patient.optimizer is None else _tried(lambda: edge_of_stability(patient, seed=self._seed))

    @cached_property
    def overfit(self) -> Overfit:
        """The one-batch overfit test."""
        return overfit(self._chart, seed=self._seed)

    @cached_property
    def cliffs(self) -> list[Cliff]:
        """Jumps of the loss in the shadow run."""
        run, baseline = self._chart.run, self._chart.probe.task.baseline
        if run is None or not run.losses:
            return []
        unit = baseline if math.isfinite(baseline) and baseline > 0 else abs(run.start)
        return cliffs(run.losses, run.changes, unit) if len(run.updates) and len(run.changes) == len(run.losses) else []

    def told(self, everything: bool) -> tuple[Signal, ...]:
        """All that was measured, in words; ``everything``: what was not yet, too."""
        found = [*_of_run(self)]
        for name, words in (("noise", _of_noise), ("edge", _of_edge), ("rates", _of_rates), ("overfit", _of_overfit)):
            if everything or name in vars(self):
                found += words(getattr(self, name))
        return tuple(found)

    @property
    def chart(self) -> Chart:
        """The patient's chart."""
        return self._chart


def _tried(measure: Callable[[], _Found]) -> _Found | None:
    try:
        with torch.enable_grad():
            return measure()
    except Exception:  # no second derivative, losses that are not finite, a network of the user's own kind
        return None


def _of_run(signals: Signals) -> list[Signal]:
    run = signals.chart.run
    if run is None or len(run.losses) < 10:
        return []
    began = descent(run.losses)
    quiet, later = run.losses[:began], run.losses[began:] if began is not None else []
    found = [
        Signal("step at which the loss begins to fall", math.nan if began is None else began, "",
               "it never did" if began is None else ""),
        Signal("swing of the loss before it falls (change from step to step over its mean)", oscillation(quiet),
               "below that afterwards"),
    ]  # fmt: skip
    if later:
        found.append(Signal("swing of the loss afterwards", oscillation(later)))
    for one in signals.cliffs:
        back = "it never came back" if one.back is None else f"back after {one.back} steps: a catapult"
        found.append(Signal(f"cliff at step {one.step}, height", one.height, "", back))
    return found


def _of_noise(found: GradientVariance | None) -> list[Signal]:
    if found is None:
        return []
    norm, inner, across = found.tests
    scale = found.noise_scale
    says = "no signal above the noise of so few batches" if math.isinf(scale) else ""
    return [
        Signal("gradient noise scale, in batches", scale, "0.1 to 10 at the start", says),
        Signal("norm test of the batch size", norm, "below 0.9 for a batch that is large enough"),
        Signal("inner-product test", inner, "below 0.9"),
        Signal("orthogonality test", across, "below 5.84"),
    ]


def _of_edge(found: Edge | None) -> list[Signal]:
    if found is None:
        return []
    over = found.product > found.limit
    reading = "past the edge of stability" if over else "stable in a quadratic"
    return [
        Signal(
            "largest eigenvalue of the Hessian times the learning rate",
            found.product,
            f"below {found.limit:.3g} at the start",
            reading + ("" if found.converged else ", not converged"),
        )
    ]


def _of_rates(found: RateRange | None) -> list[Signal]:
    if found is None:
        return []
    if found.flat:
        return [Signal("learning rate that the range test suggests", math.nan, "", "no rate lowers the loss")]
    factor = found.lr / found.tenth
    low, high = threshold("rate_below"), threshold("rate_above")
    says = "the rate in use is far above it" if factor > high else "the rate in use is far below it"
    return [
        Signal("learning rate that the range test suggests (a tenth of the lowest loss's)", found.tenth),
        Signal("learning rate in use over the suggested", factor, f"{low:.2g} to {high:.2g}",
               says if not low <= factor <= high else ""),
    ]  # fmt: skip


def _of_overfit(found: Overfit) -> list[Signal]:
    rows = []
    for name, run in (("as it is run", found.as_run), ("without dropout", found.quiet),
                      ("from weights drawn anew", found.redrawn)):  # fmt: skip
        if run is not None and run.glances and (name == "as it is run" or run is not found.as_run):
            before = run.start
            share = run.end / before if before else math.nan
            rows.append(Signal(f"loss left of 32 examples after learning them by heart, {name}", share, "below 0.5"))
    return rows
