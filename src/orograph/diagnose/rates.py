"""The learning-rate range test: the rate rises from step to step on a copy, and the loss says where it is of use."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from orograph.basics.seeds import generator, reseed
from orograph.diagnose.patient import Copy, Patient
from orograph.results.provenance import Provenance
from orograph.results.signals import RateRange

_LOW, _HIGH = 1e-7, 10.0
_SMOOTH = 0.85
_WORSE = 5.0


def range_test(
    patient: Patient, *, steps: int = 100, orders: int = 2, seed: int = 0, own_step: bool = True
) -> RateRange:
    """Raise the rate from 1e-7 to 10 in ``steps`` steps, from the same weights in each of ``orders`` orders of batches.

    Groups keep the ratios of their rates. A run ends where the smoothed loss is five times its best, or not finite.
    """
    optimizer = patient.optimizer
    assert optimizer is not None
    used = max(float(group["lr"]) for group in optimizer.param_groups)
    rates = np.geomspace(_LOW, _HIGH, steps)
    rows = []
    for order in range(orders):
        batches = list(patient.batches)
        if order:
            shuffled = torch.randperm(len(batches), generator=generator(seed, "order", order))
            batches = [batches[int(index)] for index in shuffled]
        with patient.copy(own_step=own_step and not patient.bound) as made, torch.enable_grad():
            rows.append(_risen(made, batches, rates, used, seed))
    found = [one for row in rows if (one := _suggested(rates, row)) is not None]
    middles = [float(np.exp(np.mean(np.log(column)))) for column in zip(*found, strict=True)] if found else []
    names = dict(zip(("steepest", "valley", "tenth"), middles, strict=False)) if len(found) > orders / 2 else {}
    return RateRange(
        rates=rates,
        losses=np.stack([_smoothed(row) for row in rows]),
        lr=used,
        provenance=Provenance(method="learning-rate range test", options={"orders": orders}, seeds={"seed": seed}),
        **names,
    )


def _risen(made: Copy, batches: Sequence[Any], rates: NDArray[np.float64], used: float, seed: int) -> list[float]:
    """Losses of a run whose rate rises."""
    now = [rates[0]]
    shares = [float(group["lr"]) / used if used > 0 else 1.0 for group in made.optimizer.param_groups]

    def before(optimizer: Any, args: Any, kwargs: Any) -> None:
        for group, share in zip(optimizer.param_groups, shares, strict=True):
            group["lr"] = now[0] * share

    made.handles.append(made.optimizer.register_step_pre_hook(before))
    device = next(made.model.parameters()).device.type
    losses: list[float] = []
    smooth, best = float("nan"), float("inf")
    for step, rate in enumerate(rates):
        now[0] = float(rate)
        reseed(seed + step, device)
        loss = made.train(batches[step % len(batches)], step)
        if not math.isfinite(loss):
            break
        losses.append(loss)
        smooth = loss if math.isnan(smooth) else _SMOOTH * smooth + (1 - _SMOOTH) * loss
        best = min(best, smooth)
        if step > len(rates) / 4 and smooth > best + (_WORSE - 1) * abs(best):
            break
    return losses + [float("nan")] * (len(rates) - len(losses))


def _smoothed(losses: Sequence[float]) -> NDArray[np.float64]:
    """Exponential means, without the bias to the first loss."""
    found, mean, weight = [], 0.0, 0.0
    for loss in losses:
        mean, weight = _SMOOTH * mean + (1 - _SMOOTH) * loss, _SMOOTH * weight + (1 - _SMOOTH)
        found.append(mean / weight)
    return np.array(found)


def _suggested(rates: NDArray[np.float64], losses: Sequence[float]) -> tuple[float, float, float] | None:
    """Steepest, valley and a tenth of the lowest loss's rate; None where no rate lowers the loss beyond its noise."""
    smooth = _smoothed(losses)
    known = int(np.isfinite(smooth).sum())
    quiet = max(len(rates) // 4, 5)  # rates too small to do anything
    if known <= quiet:
        return None
    lowest = int(np.nanargmin(smooth))
    start = float(np.median(smooth[:quiet]))
    noise = statistics.pstdev(smooth[5:quiet]) if quiet > 6 else 0.0
    if start - float(smooth[lowest]) <= max(0.03 * abs(start), 3 * noise) or lowest < quiet:
        return None
    # Before the loss leaves its first level for good there is only noise, whose slopes are no suggestions.
    level = start - 0.1 * (start - float(smooth[lowest]))
    begin = int(np.flatnonzero(smooth[: lowest + 1] >= level)[-1]) if bool((smooth[: lowest + 1] >= level).any()) else 0
    slopes = np.diff(smooth[begin : lowest + 1])
    first, last = _fall(smooth[:known])
    return (
        float(rates[begin + 1 + int(slopes.argmin())]),
        float(rates[int(first + (last - first) * 2 / 3)]),
        float(rates[lowest]) / 10,
    )


def _fall(losses: NDArray[np.float64]) -> tuple[int, int]:
    """Where the longest falling subsequence begins and ends."""
    lengths, before = [1] * len(losses), [-1] * len(losses)
    for i in range(1, len(losses)):
        for j in range(i):
            if losses[i] < losses[j] and lengths[j] + 1 > lengths[i]:
                lengths[i], before[i] = lengths[j] + 1, j
    last = first = int(np.argmax(lengths))
    while before[first] >= 0:
        first = before[first]
    return first, last
