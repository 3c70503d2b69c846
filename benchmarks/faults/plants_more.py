"""Further faults for the development half, from loops, losses and loaders as people write them."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from .case import Case, Strength
from .plant import Collection, pick
from .steps import Clipped, Decaying, Multiplied, NoStep
from .surgery import (
    ACTIVATIONS,
    Apply,
    before_head,
    drawn,
    followed,
    layers,
    preprocessed,
    rebuilt,
    reloaded,
    remodelled,
    scaled,
    stepping,
    swapped,
)

MORE = Collection()


@MORE.fault("optimizer-holds-other-parameters", "parameters-not-in-optimizer", strengths=("middle",))
def optimizer_of_another_model(case: Case, strength: Strength) -> Case:
    """The optimiser was made before the model was built again."""
    return rebuilt(case, copy.deepcopy(case.model).parameters())


@MORE.fault("optimizer-step-missing", "gradients-erased", strengths=("middle",))
def step_missing(case: Case, strength: Strength) -> Case:
    """optimizer.step is not called."""
    return stepping(case, NoStep(case.loss))


@MORE.fault("gradients-erased", "optimizer-step-missing", strengths=("middle",))
def zero_grad_before_step(case: Case, strength: Strength) -> Case:
    """zero_grad stands between backward and step."""
    return stepping(case, NoStep(case.loss, erase=True))


@MORE.fault("loss-maximised", strengths=("middle", "strong"))
def loss_maximised(case: Case, strength: Strength) -> Case:
    """maximize=True in the optimiser, or (strong) a minus sign in front of the loss."""
    if strength == "strong":
        return stepping(case, Multiplied(case.loss, -1.0))
    return rebuilt(case, maximize=True)


@MORE.fault("gradient-cut", "frozen-untrained-layers", strengths=("middle", "strong"), silent=True)
def features_detached(case: Case, strength: Strength) -> Case:
    """A detach between body and head, or (strong) a new tensor made of the features' values."""
    return before_head(case, Apply(Tensor.detach if strength == "middle" else copied))


def copied(features: Tensor) -> Tensor:
    """The same numbers without their history."""
    return torch.tensor(features.tolist(), dtype=features.dtype)


@MORE.fault("weight-decay-too-large")
def weight_decay_huge(case: Case, strength: Strength) -> Case:
    """Weight decay that wins against the loss, on the scale of the optimiser at hand."""
    scales = {"SGD": (0.1, 0.5, 2.0), "Adam": (0.3, 3.0, 30.0), "AdamW": (15.0, 50.0, 150.0)}
    return rebuilt(case, weight_decay=pick(strength, *scales[type(case.optimizer).__name__]))


@MORE.fault("clipping-too-tight", "learning-rate-too-low", needs="sgd")
def clipped_to_nothing(case: Case, strength: Strength) -> Case:
    """Gradients clipped to the norm 1e-2, 1e-3 or 1e-5."""
    return stepping(case, Clipped(case.loss, pick(strength, 1e-2, 1e-3, 1e-5)))


@MORE.fault("shapes-broadcast", needs="column", strengths=("middle", "strong"))
def outputs_broadcast(case: Case, strength: Strength) -> Case:
    """Targets lose their last axis: outputs (n, 1) less targets (n,) are (n, n), with and without a warning."""
    case = reloaded(case, targets=case.task.targets.squeeze(1))
    return replace(case, loss=nn.MSELoss() if strength == "middle" else squared)


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean squared difference, by hand."""
    return (outputs - targets).square().mean()


@MORE.fault("dropout-too-high")
def dropout_extreme(case: Case, strength: Strength) -> Case:
    """Dropout 0.8, 0.9 or 0.97 after each activation and before the head."""
    share = pick(strength, 0.8, 0.9, 0.97)
    swapped(case.model, ACTIVATIONS, lambda old: nn.Sequential(old, nn.Dropout(share)))
    return before_head(case, nn.Dropout(share))


@MORE.fault("bounded-output", needs="regression")
def bounded_head(case: Case, strength: Strength) -> Case:
    """A tanh, ReLU or sigmoid after the head, where targets are unbounded and of both signs."""
    return followed(case, pick(strength, nn.Tanh(), nn.ReLU(), nn.Sigmoid()))


@MORE.fault("non-finite-data", needs="floats")
def nan_in_data(case: Case, strength: Strength) -> Case:
    """One input that is NaN (mild), one that is infinite, or (strong) one example in fifty."""
    inputs = case.task.inputs.clone()
    rows = torch.randperm(len(inputs), generator=drawn(case))[: pick(strength, 1, 1, len(inputs) // 50)]
    inputs.flatten(1)[rows, 0] = float("inf") if strength == "middle" else float("nan")
    return reloaded(case, inputs=inputs)


@MORE.fault("examples-mixed", "labels-misaligned", "labels-carry-no-signal", needs="floats", strengths=("middle",))
def reshaped_across_examples(case: Case, strength: Strength) -> Case:
    """A transpose and a reshape in the forward that spread each example over the batch."""
    return remodelled(case, nn.Sequential(Apply(lambda x: x.flatten(1).T.reshape(x.shape)), case.model))


@MORE.fault("one-class-only", needs="classes", without="language")
def one_class_loaded(case: Case, strength: Strength) -> Case:
    """A filter keeps one class, and 2 % (mild), 0.5 % or none of the others."""
    draws = torch.rand(len(case.task.targets), generator=drawn(case))
    kept = (case.task.targets == 3) | (draws < pick(strength, 0.02, 0.005, 0.0))
    return reloaded(case, case.task.inputs[kept], case.task.targets[kept])


@MORE.fault("batch-repeated")
def batch_repeated(case: Case, strength: Strength) -> Case:
    """The first two batches (mild), the first one, or half of it, again and again."""
    rows = int(case.loading.batch * pick(strength, 2, 1, 0.5))
    return reloaded(case, case.task.inputs[:rows], case.task.targets[:rows])


@MORE.fault("inputs-too-small", "inputs-not-scaled", needs="floats")
def inputs_tiny(case: Case, strength: Strength) -> Case:
    """Inputs divided by 100, 3000 or 65025, as after scaling twice."""
    return preprocessed(case, lambda inputs: inputs / pick(strength, 100, 3000, 65025))


@MORE.fault("schedule-decays-at-once", "learning-rate-too-low")
def schedule_decays(case: Case, strength: Strength) -> Case:
    """The schedule of an epoch is stepped per batch: times 0.9, 0.7 or 0.1 after each."""
    return stepping(case, Decaying(case.loss, pick(strength, 0.9, 0.7, 0.1)))


@MORE.fault("normalisation-gain-zero", "initialisation-too-small", needs="norm")
def norm_gains_zero(case: Case, strength: Strength) -> Case:
    """Gains of all norm layers at 0.03, 1e-3 or zero."""
    norms = layers(case.model, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
    weights = [getattr(module, "weight", None) for module in norms]
    scaled(weights, pick(strength, 0.03, 1e-3, 0.0))
    return case


@MORE.fault("targets-not-scaled", needs="regression")
def target_offset(case: Case, strength: Strength) -> Case:
    """Targets shifted by 30, 300 or 3000 standard deviations, as years or prices are."""
    shift = pick(strength, 30.0, 300.0, 3000.0)
    task = replace(case.task, test_targets=case.task.test_targets + shift)
    return reloaded(replace(case, task=task), targets=case.task.targets + shift)


@MORE.fault("targets-not-scaled", "learning-rate-too-low", "learning-rate-too-high", needs="regression")
def target_scale(case: Case, strength: Strength) -> Case:
    """Targets 50, 500 or 1e4 times larger than standardised ones."""
    factor = pick(strength, 50.0, 500.0, 1e4)
    task = replace(case.task, test_targets=case.task.test_targets * factor)
    return reloaded(replace(case, task=task), targets=case.task.targets * factor)
