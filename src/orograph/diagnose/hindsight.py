"""What a monitor's readings amount to: findings in the doctor's words, as far as watching can tell, without a proof."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.losses import Loss
from orograph.diagnose.order import finding_of
from orograph.diagnose.patient import Patient
from orograph.diagnose.probe import Inputs, Probe
from orograph.diagnose.rules.wiring import frozen, outside
from orograph.diagnose.run import Run
from orograph.diagnose.task import Task
from orograph.diagnose.thresholds import threshold
from orograph.diagnose.turning import EXPLAINS, Turn, stands_still
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
    "I06": (
        "gradients vanish before they reach the first layer",
        "use ReLU, normalisation or residual connections, and weights that suit the fan in",
        "nn.Sequential(nn.Linear(…), nn.LayerNorm(…), nn.ReLU(), …)",
    ),
    "W05": (
        "old gradients are never cleared",
        "call optimizer.zero_grad() before every backward pass",
        "optimizer.zero_grad()\nloss.backward()\noptimizer.step()",
    ),
    "W06": (
        "the optimiser never takes a step",
        "clear gradients, make new ones and take a step, in this order",
        "optimizer.zero_grad()\nloss.backward()\noptimizer.step()",
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

_LIMITS = {
    "W05": "an optimiser that is given gradients on purpose",
    "W06": "weights that something else than this optimiser changes",
    "I06": "a loss that stands still for another reason",
}
# What a turn's value is, the name of its threshold, and what is usual.
_MEASURES = {
    "I04": ("largest share of units that are zero on the whole batch", "dead_units", "below 0.3"),
    "I05": ("largest share of saturated outputs", "saturated", "below 0.1"),
    "I06": ("first over last layer's gradient norm, lowest", "gradient_ratio", "0.1 to 10"),
    "W05": ("norm of what the step gets over the fresh gradient's", "stale_growth", "1"),
    "O01": ("largest relative change of a layer in a step", "", "1e-3 to 2e-2"),
    "O03": ("lowest of the last losses", "", ""),
}
_NEAR = 10  # readings within which long steps account for numbers that are not finite


def hindsight(monitor: Monitor, moved: set[str]) -> list[Finding]:
    """Findings from the wiring as it is now, the turns that were noted, and the sizes of the updates.

    ``moved``: parameters that the optimiser does not train and that change all the same.
    """
    found: list[Suspicion] = []
    try:
        chart = Chart(
            Patient(monitor.model, [], Loss("cross_entropy"), monitor.optimizer, None),
            Probe(Task("other"), float("nan"), None, [], [], Inputs()),
            Run(moved=moved),
        )
        found = [*outside(chart), *frozen(chart)]
    except Exception:  # parameters without values: what was read is told all the same
        found = []
    noted = _standing(monitor)
    ids = dict.fromkeys(turn.id for turn in noted)
    found += [_turned(id, [turn for turn in noted if turn.id == id], _explained(id, noted, monitor)) for id in ids]
    found += _slow(monitor, {one.id for one in found})
    found.sort(key=lambda one: (one.rank, -one.confidence))
    explained = {id for one in found for id in one.explains}
    return [finding_of(one, Trial(note="the monitor only watches")) for one in found if one.id not in explained]


def _standing(monitor: Monitor) -> list[Turn]:
    """The turns that still hold: a first step may have come late, and a loss that stood still have fallen."""
    gone = set()
    if monitor.step:
        gone |= {turn for turn in monitor.turns if turn.id == "W06" and not turn.step}
    if not stands_still(monitor.losses):
        gone |= {turn for turn in monitor.turns if turn.id == "I06"}
    return [turn for turn in monitor.turns if turn not in gone]


def _explained(id: str, noted: Sequence[Turn], monitor: Monitor) -> tuple[str, ...]:
    """What a finding accounts for. Of steps that are too long and numbers that are not finite the earlier one does."""
    first = min((turn.step for turn in noted if turn.id == "A05"), default=None)
    long = [turn.step for turn in noted if turn.id == "O01" and math.isfinite(turn.value)]
    known = EXPLAINS.get(id, ())
    if first is None or id not in ("A05", "O01"):
        return known
    before = [step for step in monitor.series.steps if step < first][-_NEAR:]
    if any(before[0] <= step < first for step in long if before):
        return (*known, "A05") if id == "O01" else known
    return (*known, "O01") if id == "A05" and not any(step < first for step in long) else known


def _turned(id: str, turns: list[Turn], explains: tuple[str, ...]) -> Suspicion:
    title, prescription, code = _WORDS[id]
    first = turns[0]
    values = [turn.value for turn in turns if math.isfinite(turn.value)]
    places = list(dict.fromkeys(turn.where for turn in turns if turn.where))
    sure = id in ("W05", "W06")
    evidence = [] if sure else [Evidence("readings at which it was seen", len(turns))]
    if values and id in _MEASURES:
        what, name, usual = _MEASURES[id]
        limit = threshold(name) if name else float("nan")
        evidence.append(Evidence(what, min(values) if id == "I06" else max(values), limit, usual))
    return Suspicion(
        id,
        first.title or title,
        "critical" if sure or "A05" in (id, *explains) or len(turns) > 2 else "warning",
        0.95 if sure else 0.8 if len(turns) > 2 else 0.6,
        f"from step {first.step} on: {first.text}" if first.step else first.text,
        prescription,
        code,
        where=places[0] if places else "",
        stage=2,
        step=first.step,
        evidence=tuple(evidence),
        explains=explains,
        limits=_LIMITS.get(id, ""),
    )


def _slow(monitor: Monitor, known: set[str]) -> list[Suspicion]:
    """Steps too short to matter, where the loss does not fall."""
    sizes = [p.update_ratio for p in monitor.series.parameters if math.isfinite(p.update_ratio)]
    losses = [loss for loss in monitor.losses if math.isfinite(loss)]
    if not sizes or len(losses) < 30 or known & {"W01", "W02", "W05", "W06", "O01"}:
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
