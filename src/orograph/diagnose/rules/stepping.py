"""The step: whether it is taken, with which gradients, by an optimiser that remembers, and what else moves weights."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence

from orograph.basics.words import counted
from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.rules.gradients import lost, stale
from orograph.diagnose.run import Run
from orograph.diagnose.thresholds import threshold
from orograph.results.diagnosis import Evidence

_LEAST_STEPS = 10
_STEPS_OF_EPOCH = 4  # below which accumulation leaves too few of them
_RESETS = 2  # fewer may be a network that is loaded once within the loop


def _forgetful(run: Run) -> Iterator[Suspicion]:
    """An optimiser that begins anew in every step."""
    steps = len(run.losses)
    times = max(run.forgot, run.others - 1)
    if steps < _LEAST_STEPS or times < threshold("forgets") * (sum(run.taken) or steps):
        return
    yield Suspicion(
        "W24",
        "the optimiser forgets everything after each step",
        "critical",
        0.95,
        f"{counted(times, 'time')} in {steps} steps its averages were gone, or another one stepped in its place: it is "
        "made anew, or its state cleared, within the loop",
        "make the optimiser once, before the loop",
        "optimizer = torch.optim.Adam(model.parameters(), lr=…)   # before the loop\nfor batch in loader: …",
        stage=2,
        evidence=(Evidence("times that its state was gone", times, math.nan, "0"),),
        explains=("O01", "O02", "O00", "W00", "W06"),
        edit=edits.ordinary_step(),
    )


def steps_seldom(chart: Chart) -> int:
    """In how many batches there is one step, where an epoch holds only a few of these; else 0."""
    run, epoch = chart.run, chart.patient.epoch
    if run is None or len(run.losses) < _LEAST_STEPS or not any(run.taken):
        return 0
    every = round(len(run.losses) / sum(run.taken))
    seldom = every >= threshold("seldom") and _STEPS_OF_EPOCH * every > epoch
    return every if seldom and (epoch < len(chart.patient.batches) or every > 100) else 0


def _seldom(chart: Chart) -> Iterator[Suspicion]:
    if every := steps_seldom(chart):
        yield Suspicion(
            "W06",
            f"the optimiser steps once in about {every} batches",
            "warning",
            0.85,
            f"gradients of so many batches are gathered before each step that an epoch of {chart.patient.epoch} "
            "batches has hardly any",
            "step after each batch, or after a few",
            "loss.backward()\noptimizer.step()\noptimizer.zero_grad()",
            stage=2,
            evidence=(Evidence("batches for each step", every, threshold("seldom"), "1 to 8"),),
            explains=("O02", "O00", "W00"),
            limits="large batches on purpose",
            edit=edits.ordinary_step(),
            needs="proof",
        )


def in_turns(run: Run | None) -> bool:
    """Whether parts of the network are updated in turns, so that each has fewer steps than the run."""
    rows = [] if run is None else [row[len(row) // 2 :] for row in run.updates.values() if len(row) >= _LEAST_STEPS]
    share = threshold("in_turns")
    return sum(share < sum(one == 0 for one in row) / len(row) < 1 - share for row in rows) > len(rows) / 2


def stepping(chart: Chart) -> Iterator[Suspicion]:
    """What is wrong with the step."""
    run = chart.run
    assert run is not None
    if run.error or not run.losses:
        return
    yield from _forgetful(run)
    yield from _seldom(chart)
    changed = any(before != after for before, after in run.norms.values())
    if not any(run.taken):
        if not changed:
            own = chart.patient.assumed  # the step may have an optimiser of its own
            yield Suspicion(
                "W06",
                "the training step changes no weight" if own else "the optimiser never takes a step",
                "critical",
                0.97,
                "in the whole run " + ("" if own else "optimizer.step() was not called, and ") + "no weight changed",
                "call optimizer.step() after backward()",
                "loss.backward()\noptimizer.step()",
                stage=2,
                explains=("W05", "O02", "O00"),
                edit=edits.ordinary_step(),
            )
        return
    fresh, given = _median(run.raw), _median(run.given)
    if fresh > 0 and given == 0:
        yield Suspicion(
            "W06",
            "gradients are cleared before the step",
            "critical",
            0.97,
            "backward() makes gradients, and they are zero or gone when optimizer.step() is called",
            "call zero_grad() before backward(), not between backward() and step()",
            "optimizer.zero_grad()\nloss.backward()\noptimizer.step()",
            stage=2,
            evidence=(Evidence("median norm of fresh gradients", fresh), Evidence("of what the step gets", given)),
            explains=("O02", "O00"),
            edit=edits.ordinary_step(),
        )
        return
    yield from lost(chart)
    flows = any(p.gradient_norm > 0 for p in chart.probe.parameters if math.isfinite(p.gradient_norm))
    if run.resets >= _RESETS:
        yield Suspicion(
            "W16",
            "the weights are set back to where they began",
            "critical",
            0.95,
            f"{counted(run.resets, 'time')} in {len(run.losses)} steps the step found the initial weights again, which "
            "the one before had changed",
            "load weights once, before the loop; look for load_state_dict, a model that is built anew, or an "
            "initialisation within the step",
            "model.load_state_dict(state)   # before the loop\nfor batch in loader: …",
            stage=2,
            evidence=(Evidence("times that the weights were back", run.resets, _RESETS, "0"),),
            explains=("O02", "O00", "I00", "O01", "I01"),
            edit=edits.ordinary_step(),
        )
    if not any(run.raw) and not changed and flows and run.backwards:
        yield Suspicion(
            "L08",
            "backward() reaches no parameter",
            "critical",
            0.95,
            "the step calls backward(), on something that no longer knows how it came from the weights",
            "call it on the loss itself: no detach(), item(), torch.tensor(loss) or requires_grad_() in between",
            "loss = criterion(model(x), y)\nloss.backward()",
            stage=2,
            evidence=(Evidence("calls of backward()", run.backwards),),
            explains=("O02", "O00", "W06"),
            edit=edits.ordinary_step(),
        )
        return
    if not any(run.raw) and not changed and flows:
        yield Suspicion(
            "W06",
            "no backward pass is made before the step",
            "critical",
            0.9,
            "the optimiser steps without gradients: backward() is missing, or works on another loss",
            "call loss.backward() before optimizer.step()",
            "loss.backward()\noptimizer.step()",
            stage=2,
            explains=("O02", "O00"),
            edit=edits.ordinary_step(),
        )
        return
    yield from _meddled(chart)
    yield from stale(chart)


def _meddled(chart: Chart) -> Iterator[Suspicion]:
    run = chart.run
    assert run is not None
    if len(run.meddled) < 10 or run.resets >= _RESETS:
        return
    share = statistics.median(run.meddled)
    if share > 0.5:
        yield Suspicion(
            "W16",
            "something changes the weights between the steps",
            "critical",
            0.85,
            f"{share:.0%} of the numbers are not what the optimiser left, step after step: they are clamped, averaged "
            "or set back",
            "keep averages of weights beside the network, and let the optimiser alone change it",
            "averaged = torch.optim.swa_utils.AveragedModel(model)   # beside it, not written back",
            stage=2,
            evidence=(Evidence("share of the numbers that are changed between steps (median)", share, 0.5, "0"),),
            explains=("O02", "O00", "I00", "O01", "I01", "W00", "A00", "I06", "O05"),
            limits="weights that have to stay within bounds",
            edit=edits.ordinary_step(),
            needs="proof",
        )


def _median(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return statistics.median(finite) if finite else 0.0
