"""The seventh part's own traps: sound but unusual choices that train as well as the control."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .case import Case, Strength
from .families import adam
from .plant import Collection
from .steps_seventh import Changed, Looking, Mixup, Restarting, Sharpness, SlowCopy, TwoOptimizers
from .surgery import (
    Apply,
    before_head,
    body,
    drawn,
    features,
    head,
    rebuilt,
    reloaded,
    remodelled,
    scaled,
    stepping,
    weighted,
)

SEVENTH_TRAPS = Collection()


class Again(nn.Module):
    """A body that is computed a second time for backward, to save memory."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, inputs: Tensor) -> Tensor:
        """What the part gives."""
        outputs: Tensor = checkpoint(self.part, inputs, use_reentrant=False)
        return outputs


@SEVENTH_TRAPS.trap()
def cosine_restarts(case: Case, strength: Strength) -> Case:
    """The rate falls to nothing and jumps back five times; the loss curve is a saw."""
    return stepping(case, Restarting(case.loss, case.steps // 5))


@SEVENTH_TRAPS.trap()
def two_optimizers(case: Case, strength: Strength) -> Case:
    """The body has the optimiser of the case, the head an Adam of its own; the loop steps both."""
    case = rebuilt(case, body(case).parameters())
    return stepping(case, TwoOptimizers(case.loss, adam(3e-3)(head(case).parameters())))


@SEVENTH_TRAPS.trap(needs="classes", without="pixels masked")
def mixup_of_pairs(case: Case, strength: Strength) -> Case:
    """Mixup at 0.3: the training loss never comes near zero."""
    return replace(case, loss=Mixup(0.3), steps=2 * case.steps)


@SEVENTH_TRAPS.trap(needs="regression", without="variational")
def logarithm_of_loss(case: Case, strength: Strength) -> Case:
    """The logarithm of the squared error, as a Gaussian likelihood with its best variance has: it falls below zero."""
    return replace(case, loss=Changed(case.loss, logarithm=True))


@SEVENTH_TRAPS.trap(needs="adaptive")
def loss_in_thousands(case: Case, strength: Strength) -> Case:
    """The loss is given in another unit, 2000 times as large: an adaptive optimiser does not care."""
    return replace(case, loss=Changed(case.loss, factor=2000.0))


@SEVENTH_TRAPS.trap()
def constant_term(case: Case, strength: Strength) -> Case:
    """A constant of 30 in the loss, which hides how much it falls."""
    return replace(case, loss=Changed(case.loss, offset=30.0))


@SEVENTH_TRAPS.trap()
def fixed_order(case: Case, strength: Strength) -> Case:
    """Examples are not shuffled, for they were drawn in a random order anyway."""
    return reloaded(case, shuffle=False)


@SEVENTH_TRAPS.trap()
def every_example_twice(case: Case, strength: Strength) -> Case:
    """Each example stands in the data twice, one directly after the other."""
    task = case.task
    return reloaded(case, task.inputs.repeat_interleave(2, 0), task.targets.repeat_interleave(2, 0))


@SEVENTH_TRAPS.trap()
def half_of_the_data(case: Case, strength: Strength) -> Case:
    """Little data: every second example."""
    return reloaded(case, case.task.inputs[::2].clone(), case.task.targets[::2].clone())


@SEVENTH_TRAPS.trap()
def sharpness_aware(case: Case, strength: Strength) -> Case:
    """Two passes and a detour of the weights in each step."""
    return stepping(case, Sharpness(case.loss, 0.02))


@SEVENTH_TRAPS.trap()
def look_ahead(case: Case, strength: Strength) -> Case:
    """Every fifth step the weights go half the way back to slow ones."""
    return stepping(replace(case, steps=2 * case.steps), SlowCopy(case.loss, 0.5, 5))


@SEVENTH_TRAPS.trap(without="recurrent")
def adadelta_at_one(case: Case, strength: Strength) -> Case:
    """Adadelta at its customary rate of one."""
    optimizer = torch.optim.Adadelta(case.model.parameters(), lr=1.0)
    return stepping(replace(case, optimizer=optimizer, steps=2 * case.steps), Looking(case.loss))


@SEVENTH_TRAPS.trap(without="attention recurrent")
def weight_norm(case: Case, strength: Strength) -> Case:
    """Layers in polar form: a direction and a length for each unit."""
    for module in weighted(case.model):
        nn.utils.parametrizations.weight_norm(module)
    return remodelled(case, case.model)


@SEVENTH_TRAPS.trap(needs="classes")
def huge_features_normed(case: Case, strength: Strength) -> Case:
    """Features in the hundreds, which a layer norm takes back before the head."""
    return before_head(case, nn.Sequential(Apply(lambda inputs: 300 * inputs), nn.LayerNorm(features(case))))


@SEVENTH_TRAPS.trap()
def fixed_rotation(case: Case, strength: Strength) -> Case:
    """A frozen random rotation stands between body and head on purpose: nothing is lost by it."""
    turn = nn.Linear(features(case), features(case), bias=False)
    turn.weight.data.copy_(torch.linalg.qr(torch.randn(turn.weight.shape, generator=drawn(case)))[0])
    return before_head(case, turn.requires_grad_(False))


@SEVENTH_TRAPS.trap(needs="classes")
def fixed_head(case: Case, strength: Strength) -> Case:
    """The head is a frozen orthogonal matrix and the body learns to fit it."""
    start = torch.linalg.qr(torch.randn(features(case), case.task.classes, generator=drawn(case)))[0]
    head(case).weight.data.copy_(2 * start.T)
    scaled([head(case).bias], 0.0)
    head(case).requires_grad_(False)
    return rebuilt(case, body(case).parameters())


@SEVENTH_TRAPS.trap()
def branch_without_use(case: Case, strength: Strength) -> Case:
    """A second head for a task that is not trained now: the optimiser holds it and it gets no gradient."""
    case.model.spare = nn.Linear(features(case), 7)
    return remodelled(case, case.model)


@SEVENTH_TRAPS.trap()
def small_penalty(case: Case, strength: Strength) -> Case:
    """The sum of all absolute weights times 2e-5 belongs to the loss."""
    return replace(case, loss=Changed(case.loss, penalty=2e-5))


def margin_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """How much the right class lacks to a lead of one: exactly zero, and without a gradient, once it has it."""
    return F.multi_margin_loss(outputs, targets)


def focal_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy that leaves out what is right already, so that it is small from the start."""
    each = F.cross_entropy(outputs, targets, reduction="none")
    return ((1 - (-each).exp()).square() * each).mean()


@SEVENTH_TRAPS.trap(needs="classes", without="pixels")
def margins(case: Case, strength: Strength) -> Case:
    """A hinge loss over classes."""
    return replace(case, loss=margin_loss)


@SEVENTH_TRAPS.trap(needs="classes", without="pixels")
def focal(case: Case, strength: Strength) -> Case:
    """A focal loss."""
    return replace(case, loss=focal_loss)


@SEVENTH_TRAPS.trap(needs="light")
def one_batch_an_epoch(case: Case, strength: Strength) -> Case:
    """All examples are one batch, so that every step sees the same data."""
    return reloaded(case, batch=len(case.task.inputs))


@SEVENTH_TRAPS.trap(without="masked")
def computed_twice(case: Case, strength: Strength) -> Case:
    """Activations of the body are thrown away and computed again for backward."""
    case.model.body = Again(body(case))
    return case


@SEVENTH_TRAPS.trap(needs="floats")
def double_precision(case: Case, strength: Strength) -> Case:
    """Model and data in 64 bits."""
    task, change = case.task, {"test_inputs": case.task.test_inputs.double()}
    if not case.task.classes or "binary" in case.traits:
        change |= {"targets": task.targets.double(), "test_targets": task.test_targets.double()}
    changed: Any = replace(task, **change)
    case = replace(case, task=changed, model=case.model.double())
    return reloaded(rebuilt(case), inputs=task.inputs.double())


@SEVENTH_TRAPS.trap(needs="classes", without="pixels")
def classes_in_reserve(case: Case, strength: Strength) -> Case:
    """A head with 40 outputs for the few classes that occur so far."""
    case.model.head = nn.Linear(features(case), 40)
    return remodelled(case, case.model)
