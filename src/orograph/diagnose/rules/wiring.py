"""Wiring: who is trained, by which optimiser, in which mode, and whether the step does what a step does."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence

from torch import nn

from orograph.basics.words import counted
from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.rules.gradients import arriving, lost, names_of, stale
from orograph.diagnose.run import Run
from orograph.diagnose.thresholds import threshold
from orograph.diagnose.untrained import looks_untrained
from orograph.initialize.slots import Slot, slots_of
from orograph.results.diagnosis import Evidence

_LEAST_STEPS = 10
_STEPS_OF_EPOCH = 4  # below which accumulation leaves too few of them
_RESETS = 2  # fewer may be a network that is loaded once within the loop


def wiring(chart: Chart) -> Iterator[Suspicion]:
    """What is wrong with the wiring."""
    yield from outside(chart)
    yield from frozen(chart)
    yield from arriving(chart)
    if chart.run is not None and chart.run.error:
        yield Suspicion(
            "W14",
            f"the training step raises an error in step {len(chart.run.losses)}",
            "critical",
            1.0,
            chart.run.error,
            "mend this first; everything else comes after it",
            stage=2,
            step=len(chart.run.losses),
            explains=("O00", "A00", "W06", "O01"),
        )
    if chart.run is not None:
        yield from _step(chart)
        yield from _norms(chart)


def outside(chart: Chart) -> Iterator[Suspicion]:
    """Parameters that the optimiser should hold, and others that it does."""
    patient = chart.patient
    if patient.optimizer is None or patient.assumed:
        return
    held = {id(p) for group in patient.optimizer.param_groups for p in group["params"]}
    own = dict(patient.model.named_parameters())
    trainable = {name: p for name, p in own.items() if p.requires_grad}
    moved = chart.run.moved if chart.run is not None else set()  # by another optimiser of the step
    missing = [name for name, p in trainable.items() if id(p) not in held and name not in moved]
    strangers = held - {id(p) for p in own.values()}
    total = sum(p.numel() for p in trainable.values())
    if trainable and len(missing) == len(trainable):
        yield Suspicion(
            "W02",
            "the optimiser belongs to another network",
            "critical",
            0.99,
            f"none of the network's {len(trainable)} trainable parameters is in the optimiser, so no step changes it",
            "make the optimiser after the network, from its own parameters",
            "optimizer = torch.optim.SGD(model.parameters(), lr=…)   # after model = …",
            evidence=(Evidence("parameters of other networks in the optimiser", len(strangers), 0.0),),
            explains=("W01", "W06", "O02", "I01", "O00"),
            limits="a step that updates the weights without this optimiser",
            edit=edits.all_parameters(),
        )
    elif missing:
        share = sum(trainable[name].numel() for name in missing) / max(total, 1)
        yield Suspicion(
            "W01",
            f"{counted(len(missing), 'trainable parameter')} not in the optimiser",
            "critical",
            0.97,
            f"{names_of(missing)} {'has' if len(missing) == 1 else 'have'} gradients and never a step",
            "give the optimiser all parameters of the network",
            "optimizer = torch.optim.SGD(model.parameters(), lr=…)",
            where=missing[0],
            evidence=(Evidence("share of the trainable numbers that no step changes", share, 0.0, "0"),),
            explains=("O02", "I01", "O00"),
            limits="parameters that are meant to stay; freeze them with requires_grad_(False)",
            edit=edits.all_parameters(),
        )
    if strangers and not (trainable and len(missing) == len(trainable)):
        yield Suspicion(
            "W02",
            "the optimiser holds parameters that the network does not have",
            "info" if not missing else "warning",
            0.6,
            f"{len(strangers)} of its parameters are not the network's (layers replaced after it was made?)",
            "make the optimiser anew after changing layers",
            "optimizer = torch.optim.SGD(model.parameters(), lr=…)",
            limits="one optimiser for several networks",
            edit=edits.all_parameters(),
        )


def frozen(chart: Chart) -> Iterator[Suspicion]:
    """Layers that cannot change, and look as if they were never trained."""
    model = chart.patient.model
    slots = list(slots_of(model))
    total = sum(slot.parameter.numel() for slot in slots)
    still = [slot for slot in slots if not slot.parameter.requires_grad]
    if still and len(still) == len(slots):
        yield Suspicion(
            "W13",
            "everything is frozen",
            "critical",
            1.0,
            "no parameter of the network has requires_grad, so nothing can be trained",
            "unfreeze what is to be trained",
            "model.requires_grad_(True)",
            explains=("W03", "W06", "L08", "O00"),
            edit=edits.all_parameters(),
        )
        return
    moved = chart.run.moved if chart.run is not None else set()
    kernels = [slot for slot in still if slot.parts and slot.name not in moved]  # a teacher is moved by the step
    random = [slot for slot in kernels if looks_untrained(slot)]
    share = _numbers(random) / max(total, 1)
    # One layer among trained ones may look as if it were drawn.
    if random and share > threshold("frozen_share") / 5 and _numbers(random) > 0.5 * _numbers(kernels):
        yield Suspicion(
            "W03",
            "layers are frozen at random initial values",
            "question"
            if all(isinstance(slot.layer, nn.Embedding) for slot in random)  # trained ones may look as if drawn
            else "critical"
            if share > threshold("frozen_share")
            else "warning",
            0.9,
            f"{names_of([slot.name for slot in random])} cannot change, and look as they were drawn",
            "unfreeze them, or load trained weights before freezing",
            "model.requires_grad_(True)   # and give the optimiser all parameters",
            where=random[0].name,
            evidence=(
                Evidence(
                    "share of all numbers that are frozen and look untrained", share, threshold("frozen_share") / 5
                ),
            ),
            limits="random features that are meant to be",
            edit=edits.all_parameters(),
        )


def _numbers(slots: list[Slot]) -> int:
    return sum(slot.parameter.numel() for slot in slots)


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


def _step(chart: Chart) -> Iterator[Suspicion]:
    run = chart.run
    assert run is not None
    if run.error or not run.losses:
        return
    yield from _forgetful(run)
    yield from _seldom(chart)
    changed = any(before != after for before, after in run.norms.values())
    if not any(run.taken):
        if not changed and not chart.patient.assumed:
            yield Suspicion(
                "W06",
                "the optimiser never takes a step",
                "critical",
                0.97,
                "in the whole run optimizer.step() was not called, and no weight changed",
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


def _norms(chart: Chart) -> Iterator[Suspicion]:
    run = chart.run
    assert run is not None
    layers = dict(chart.patient.model.named_modules())
    fresh = [
        name
        for name in sorted(run.frozen_norms)
        if isinstance(layer := layers.get(name), nn.modules.batchnorm._NormBase)
        and any(p.requires_grad for p in layer.parameters())
        and _untouched(layer)
    ]
    if fresh:
        yield Suspicion(
            "W07",
            "batch norm trains in evaluation mode",
            "warning",
            0.9,
            f"{names_of(fresh)} normalises by running statistics that were never estimated (mean 0, variance 1)",
            "put the network into training mode before the loop, and back into it after every evaluation",
            "model.train()",
            where=fresh[0],
            stage=2,
            evidence=(Evidence("batch-norm layers in evaluation mode during steps", len(fresh), 0.0, "0"),),
            explains=("I02", "O01", "I01", "I04", "O00"),
            limits="fine-tuning with frozen statistics that were trained",
            edit=edits.training_mode(),
        )


def _untouched(layer: nn.Module) -> bool:
    tracked = getattr(layer, "num_batches_tracked", None)
    mean, var = getattr(layer, "running_mean", None), getattr(layer, "running_var", None)
    if tracked is not None and int(tracked) > 0:
        return False
    return mean is not None and var is not None and not bool(mean.any()) and bool((var == 1).all())


def _median(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return statistics.median(finite) if finite else 0.0
