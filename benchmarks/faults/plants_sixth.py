"""Faults of the sixth half alone. Whoever tunes a doctor does not read this file before the final score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .case import Batch, Case, Loss, Strength, loss_of
from .networks_sixth import Columns
from .plant import Collection, pick
from .plants_fifth import of_outputs
from .steps_sixth import Adversarial, BestRestored, ScheduleMadeAnew
from .surgery import before_head, body, drawn, features, layers, reloaded, remodelled, stepping, weighted

SIXTH = Collection()
TWO: tuple[Strength, ...] = ("mild", "strong")
ONE: tuple[Strength, ...] = ("middle",)


# ---------------------------------------------------------------------------------------------------- data and targets


def last_in_buffer(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Each input of the batch is the last one."""
    return inputs[-1:].expand_as(inputs).clone(), targets


@SIXTH.fault(
    "buffer-overwritten", "inputs-carry-no-signal", "labels-misaligned", "labels-carry-no-signal", strengths=ONE
)
def buffer_overwritten(case: Case, strength: Strength) -> Case:
    """Examples are read into one array that is put into the batch without a copy: all show the last one."""
    return reloaded(case, transform=last_in_buffer)


@SIXTH.fault("target-among-inputs", needs="table", strengths=ONE)
def target_among_inputs(case: Case, strength: Strength) -> Case:
    """The first column of the training table is the standardised target, which is not known and zero later on."""
    targets = case.task.targets.float().flatten()
    inputs, test = case.task.inputs.clone(), case.task.test_inputs.clone()
    inputs[:, 0] = (targets - targets.mean()) / targets.std()
    test[:, 0] = 0.0
    return reloaded(replace(case, task=replace(case.task, test_inputs=test)), inputs=inputs)


@SIXTH.fault("labels-filled-in", "one-class-only", "labels-carry-no-signal", strengths=TWO)
def labels_filled_in(case: Case, strength: Strength) -> Case:
    """Three quarters of the targets, or 95 %, are missing and were filled in with zeros."""
    missing = torch.rand(len(case.task.targets), generator=drawn(case)) < pick(strength, 0.75, 0.95, 0.95)
    targets = case.task.targets.clone()
    targets[missing] = 0
    return reloaded(case, targets=targets)


@SIXTH.fault("target-outliers", "targets-not-scaled", needs="regression", strengths=("mild",))
def targets_in_mixed_units(case: Case, strength: Strength) -> Case:
    """One target in ten is in another unit: 100 times as large."""
    other = torch.rand(len(case.task.targets), generator=drawn(case)) < 0.1
    factor = torch.where(other, 100.0, 1.0)
    return reloaded(case, targets=case.task.targets * factor[:, None])


# --------------------------------------------------------------------------------------------------------------- loss


def each(case: Case) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of each example of a batch."""
    if "regression" in case.traits:
        return lambda outputs, targets: F.mse_loss(outputs, targets, reduction="none").mean(1)
    return lambda outputs, targets: F.cross_entropy(outputs, targets, reduction="none")


def selected(case: Case, share: float, largest: bool) -> Loss:
    """The mean loss of the share of a batch whose losses are largest or smallest."""
    losses = each(case)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        kept = losses(outputs, targets).topk(max(1, int(share * len(targets))), largest=largest)
        return kept.values.mean()

    return of_outputs(case, loss)


@SIXTH.fault("loss-keeps-easy-examples", strengths=("mild",))
def easiest_kept(case: Case, strength: Strength) -> Case:
    """Hard examples were to be mined, and the sort is the wrong way round: the easiest fifth counts."""
    return replace(case, loss=selected(case, 0.2, largest=False))


@SIXTH.fault("loss-clamped", "loss-not-connected", "gradient-cut", strengths=ONE)
def loss_clamped(case: Case, strength: Strength) -> Case:
    """The loss is clamped to a half at most, so that no batch may spoil the training."""
    losses = each(case)
    return replace(case, loss=of_outputs(case, lambda outputs, targets: losses(outputs, targets).mean().clamp(max=0.5)))


def of_itself(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the classes that the network predicts."""
    return F.cross_entropy(outputs, outputs.argmax(-1))


@SIXTH.fault("targets-are-predictions", "loss-not-connected", needs="classes", strengths=ONE)
def targets_overwritten(case: Case, strength: Strength) -> Case:
    """The predicted classes were given the name of the targets before the loss is computed."""
    return replace(case, loss=of_outputs(case, of_itself))


# -------------------------------------------------------------------------------------- architecture and initial values


class Variational(nn.Module):
    """A random bottleneck: ``divergence`` is how far the features are from a normal distribution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean = nn.Linear(width, width)
        self.spread = nn.Linear(width, width)
        self.divergence: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """A draw while training, the mean afterwards."""
        mean, logarithm = self.mean(inputs), self.spread(inputs) - 3.0
        self.divergence = 0.5 * (mean.square() + logarithm.exp() - logarithm - 1).sum(-1).mean()
        outputs: Tensor = mean + torch.randn_like(mean) * (0.5 * logarithm).exp() if self.training else mean
        return outputs

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "divergence": None}


def bottlenecked(case: Case, factor: float) -> Case:
    """The case with a random bottleneck before the head and ``factor`` times its divergence in the loss."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed + 91)
        part = Variational(features(case))

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        value = loss_of(case.loss, model, batch)
        return value + factor * sum(layer.divergence for layer in layers(model, Variational))

    return before_head(replace(case, loss=loss), part)


@SIXTH.fault("posterior-collapsed", "penalty-too-large", strengths=ONE)
def bottleneck_tight(case: Case, strength: Strength) -> Case:
    """A variational bottleneck whose divergence counts ten times."""
    return bottlenecked(case, 10.0)


class Masked(nn.Module):
    """Weights times a fixed mask of zeros and ones."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        """The weights that are left."""
        return weight * self.mask


def pruned(case: Case, share: float) -> Case:
    """The case with a share of the weights of each layer, the smallest, set to zero for good."""
    for layer in weighted(body(case)):
        size = layer.weight.detach().abs()
        mask = (size > size.flatten().quantile(share)).to(size.dtype)
        nn.utils.parametrize.register_parametrization(layer, "weight", Masked(mask))
    return remodelled(case, case.model)


@SIXTH.fault("pruned-too-much", "initialisation-too-small", without="recurrent attention", strengths=TWO)
def almost_all_pruned(case: Case, strength: Strength) -> Case:
    """The share to keep was given as the share to prune: 97 % or 99.5 % of the body's weights are masked."""
    return pruned(case, pick(strength, 0.97, 0.995, 0.995))


@SIXTH.fault("attention-mask-wrong", "inputs-carry-no-signal", needs="attention", strengths=ONE)
def mask_inverted(case: Case, strength: Strength) -> Case:
    """A padding mask that is the wrong way round: all that may be looked at is the class token."""
    part = body(case)
    assert isinstance(part, Columns)
    seen = torch.zeros(1, len(part.weight) + 1, dtype=torch.bool)
    seen[:, 0] = True
    for block in part.blocks:
        block.attention.mask = seen
    return case


# --------------------------------------------------------------------------------------------------- optimiser and loop


@SIXTH.fault("optimizer-state-stale", "learning-rate-too-low", without="sgd", strengths=TWO)
def state_of_another_run(case: Case, strength: Strength) -> Case:
    """The optimiser was resumed from a run whose gradients were 300 or 1e5 in size."""
    size = pick(strength, 300.0, 1e5, 1e5)
    adaptive = isinstance(case.optimizer, torch.optim.Adam)
    for parameter in case.model.parameters():
        squares = torch.full_like(parameter, size**2)
        state: dict[str, Tensor] = {"step": torch.tensor(5000.0)}
        if adaptive:
            state |= {"exp_avg": torch.zeros_like(parameter), "exp_avg_sq": squares}
        else:
            state |= {"square_avg": squares}
        case.optimizer.state[parameter] = state
    return case


@SIXTH.fault("schedule-decays-at-once", "learning-rate-too-low", strengths=ONE)
def schedule_made_in_loop(case: Case, strength: Strength) -> Case:
    """The warm-up is made anew for each batch, and each time it begins with a third of the rate it finds."""
    return stepping(case, ScheduleMadeAnew(case.loss))


@SIXTH.fault("weights-reset", strengths=ONE)
def best_restored(case: Case, strength: Strength) -> Case:
    """The best weights are loaded again whenever the loss of a batch is no new minimum."""
    return stepping(case, BestRestored(case.loss))


@SIXTH.fault("adversarial-step-too-large", "augmentation-destroys-inputs", needs="floats", strengths=("mild",))
def adversarial_step_large(case: Case, strength: Strength) -> Case:
    """Adversarial training with a step of pixels from 0 to 255 on standardised inputs: 1.5."""
    return stepping(case, Adversarial(case.loss, 1.5))
