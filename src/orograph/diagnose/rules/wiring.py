"""Wiring: who is trained, by which optimiser, in which mode, and whether the step does what a step does."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from orograph.basics.words import counted
from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.rules.gradients import arriving, names_of
from orograph.diagnose.rules.stepping import stepping
from orograph.diagnose.thresholds import threshold
from orograph.diagnose.untrained import looks_untrained, rotates
from orograph.initialize.slots import Slot, slots_of
from orograph.results.diagnosis import Evidence


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
        yield from stepping(chart)
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
            if all(isinstance(slot.layer, nn.Embedding) or rotates(slot) for slot in random)  # the first may be trained
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
