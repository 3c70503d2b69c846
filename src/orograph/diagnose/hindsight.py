"""What a monitor's readings amount to: the same findings as the doctor's, without a proof on a copy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.losses import Loss
from orograph.diagnose.patient import Patient
from orograph.diagnose.probe import Inputs, Probe
from orograph.diagnose.proving import finding_of
from orograph.diagnose.rules_wiring import frozen, outside
from orograph.diagnose.task import Task
from orograph.diagnose.thresholds import threshold
from orograph.results.diagnosis import Evidence, Finding, Trial

if TYPE_CHECKING:
    from orograph.diagnose.monitor import Monitor

_WORDS: dict[str, tuple[str, str, str]] = {
    "A05": (
        "NaN or infinity appears",
        "look at what goes into this layer: clamp logarithms, roots and divisions, or lower the learning rate",
        "torch.log(x.clamp_min(1e-8))",
    ),
    "I04": (
        "units of a layer are dead",
        "lower the learning rate, or begin with smaller biases and weights that suit the fan in",
        "og.initialize.apply(model, 'he-normal')",
    ),
    "I05": (
        "units are saturated",
        "draw smaller weights, standardise the inputs, or lower the learning rate",
        "og.initialize.apply(model, 'glorot-uniform')",
    ),
    "O01": (
        "the learning rate is too high",
        "lower the learning rate, warm it up, or clip the gradients",
        "nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
    ),
    "O03": (
        "the network fell off a cliff",
        "clip the gradient's norm at what quiet steps have, or lower the learning rate",
        "nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
    ),
}


def hindsight(monitor: Monitor) -> list[Finding]:
    """Findings from the wiring as it is now, the turns that were noted, and the sizes of the updates."""
    chart = Chart(
        Patient(monitor.model, [], Loss("cross_entropy"), monitor.optimizer, None),
        Probe(Task("other"), float("nan"), None, [], [], Inputs()),
    )
    found: list[Suspicion] = [*outside(chart), *frozen(chart)]
    ids = dict.fromkeys(turn.id for turn in monitor.turns)
    found += [_turned(id, [turn for turn in monitor.turns if turn.id == id]) for id in ids]
    found += _slow(monitor, {one.id for one in found})
    found.sort(key=lambda one: (one.rank, -one.confidence))
    explained = {id for one in found for id in one.explains}
    return [finding_of(one, Trial(note="the monitor only watches")) for one in found if one.id not in explained]


def _turned(id: str, turns: list[Any]) -> Suspicion:
    title, prescription, code = _WORDS[id]
    first = turns[0]
    values = [turn.value for turn in turns if math.isfinite(turn.value)]
    places = list(dict.fromkeys(turn.where for turn in turns if turn.where))
    evidence = [Evidence("readings at which it was seen", len(turns))]
    if values:
        evidence.append(Evidence("largest value seen", max(values)))
    return Suspicion(
        id,
        title,
        "critical" if id == "A05" or len(turns) > 2 else "warning",
        0.8 if len(turns) > 2 else 0.6,
        f"from step {first.step} on: {first.text}",
        prescription,
        code,
        where=places[0] if places else "",
        stage=2,
        step=first.step,
        evidence=tuple(evidence),
        explains=("I04", "O03") if id == "O01" else (),
    )


def _slow(monitor: Monitor, known: set[str]) -> list[Suspicion]:
    """Steps too short to matter, where the loss does not fall."""
    sizes = [p.update_ratio for p in monitor.series.parameters if math.isfinite(p.update_ratio)]
    losses = [loss for loss in monitor.losses if math.isfinite(loss)]
    if not sizes or len(losses) < 30 or known & {"W01", "W02", "O01"}:
        return []
    tail = float(np.mean(losses[-len(losses) // 5 :]))
    if max(sizes) > 10 * threshold("update_low") or tail < 0.95 * float(np.mean(losses[:5])):
        return []
    return [
        Suspicion(
            "O02",
            "the learning rate is too low",
            "warning",
            0.7,
            f"a step changes a layer by {max(sizes):.1e} of its size at most, and the loss stands still",
            "raise the learning rate, by a factor of ten at a time",
            "lr=10 * lr",
            stage=2,
            evidence=(
                Evidence("largest median relative change", max(sizes), 10 * threshold("update_low"), "1e-3 to 2e-2"),
            ),
        )
    ]
