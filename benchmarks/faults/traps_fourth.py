"""Healthy variants of the fourth half that look like faults. Whoever tunes a doctor does not read this file first."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .case import Case, Strength
from .plant import Collection
from .steps_fourth import LookAhead, Restarting
from .surgery import ACTIVATIONS, body, features, rate, rebuilt, reloaded, remodelled, stepping, swapped

FOURTH_TRAPS = Collection()


@FOURTH_TRAPS.trap(needs="classes", without="dictionary")
def margin_loss(case: Case, strength: Strength) -> Case:
    """A loss of margins: it and its gradients are exactly zero for what is clearly right."""
    return replace(case, loss=nn.MultiMarginLoss())


class Spare(nn.Module):
    """A body beside which stands a head of another task that is not used here."""

    def __init__(self, used: nn.Module, width: int) -> None:
        super().__init__()
        self.used = used
        self.spare = nn.Sequential(nn.Linear(width, 12), nn.ReLU(), nn.Linear(12, 3))

    def forward(self, inputs: Tensor) -> Tensor:
        """The features; the spare head is not asked."""
        outputs: Tensor = self.used(inputs)
        return outputs


@FOURTH_TRAPS.trap()
def spare_head(case: Case, strength: Strength) -> Case:
    """The model has a small head for another task, which gets no gradient here."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed + 61)
        case.model.body = Spare(body(case), features(case))
    return remodelled(case, case.model)


@FOURTH_TRAPS.trap()
def large_batches(case: Case, strength: Strength) -> Case:
    """Batches four times as large with the rate doubled: few steps make an epoch."""
    return rebuilt(reloaded(case, batch=4 * case.loading.batch), lr=2 * rate(case))


@FOURTH_TRAPS.trap()
def adadelta(case: Case, strength: Strength) -> Case:
    """Adadelta at its default rate of one."""
    return replace(case, optimizer=torch.optim.Adadelta(case.model.parameters()), steps=2 * case.steps)


@FOURTH_TRAPS.trap()
def warm_restarts(case: Case, strength: Strength) -> Case:
    """A cosine schedule that restarts three times."""
    return stepping(replace(case, steps=4 * (case.steps // 3)), Restarting(case.loss, case.steps // 3))


@FOURTH_TRAPS.trap(needs="classes", without="dictionary")
def one_hot_targets(case: Case, strength: Strength) -> Case:
    """Cross-entropy of targets that are one-hot rows of real numbers."""
    classes = case.task.classes

    def one_hot(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return inputs, F.one_hot(targets, classes).float()

    return reloaded(replace(case, loss=nn.CrossEntropyLoss()), transform=one_hot)


@FOURTH_TRAPS.trap()
def examples_thrice(case: Case, strength: Strength) -> Case:
    """A third of the examples, each of which is in the data set three times."""
    rows = torch.arange(len(case.task.inputs)) // 3 + len(case.task.inputs) // 3
    return reloaded(case, case.task.inputs[rows], case.task.targets[rows])


@FOURTH_TRAPS.trap()
def look_ahead(case: Case, strength: Strength) -> Case:
    """Every five steps the weights go half the way back."""
    return stepping(replace(case, steps=int(1.5 * case.steps)), LookAhead(case.loss))


@FOURTH_TRAPS.trap(needs="relu")
def hardswish_activations(case: Case, strength: Strength) -> Case:
    """Hardswish in place of ReLU."""
    return remodelled(case, swapped(case.model, ACTIVATIONS, lambda _: nn.Hardswish()))


@FOURTH_TRAPS.trap(needs="regression")
def absolute_error(case: Case, strength: Strength) -> Case:
    """The mean absolute error: its gradients keep their length up to the end."""
    return replace(case, loss=nn.L1Loss())
