"""Healthy variants of the third half that look like faults. Whoever tunes a doctor does not read this file first."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .case import Case, Strength, endless, plain_step
from .losses_third import changed
from .networks_third import Reader
from .plant import Collection
from .steps import Clipped
from .steps_third import AverageKept, OneCycle, SharpnessAware
from .surgery import (
    ACTIVATIONS,
    before_head,
    body,
    drawn,
    features,
    head,
    layers,
    preprocessed,
    rate,
    rebuilt,
    reloaded,
    remodelled,
    stepping,
    swapped,
)

THIRD_TRAPS = Collection()


@THIRD_TRAPS.trap()
def layer_used_twice(case: Case, strength: Strength) -> Case:
    """One hidden layer is used twice in a row, its weights tied."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed + 31)
        layer = nn.Linear(features(case), features(case))
    return before_head(case, nn.Sequential(layer, nn.GELU(), layer, nn.GELU()))


@THIRD_TRAPS.trap()
def one_cycle(case: Case, strength: Strength) -> Case:
    """One cycle of the rate, from a 25th of three times the usual one and down to almost nothing."""
    case = replace(case, steps=int(1.5 * case.steps))
    return stepping(case, OneCycle(case.loss, 2 * rate(case), case.steps))


@THIRD_TRAPS.trap(needs="adam")
def clipped_in_every_step(case: Case, strength: Strength) -> Case:
    """The norm of the gradient is clipped at 0.01 in every step, which Adam does not mind."""
    return stepping(case, Clipped(case.loss, 0.01))


@THIRD_TRAPS.trap()
def average_kept(case: Case, strength: Strength) -> Case:
    """The step keeps an average of the weights in itself."""
    return stepping(case, AverageKept(case.loss))


@THIRD_TRAPS.trap()
def sharpness_aware(case: Case, strength: Strength) -> Case:
    """Sharpness-aware steps: two backward passes, and weights that move and come back."""
    return stepping(case, SharpnessAware(case.loss))


@THIRD_TRAPS.trap(needs="embedding")
def embedding_trained_before(case: Case, strength: Strength) -> Case:
    """Embeddings were trained on the task and are frozen; everything else is fresh and trains."""
    part = body(case)
    assert isinstance(part, Reader)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed + 32)
        for batch in islice(endless(case.loader), case.steps):
            plain_step(case.loss, case.model, batch, case.optimizer)
        part.layer.reset_parameters()
        head(case).reset_parameters()
    case.optimizer.zero_grad()
    part.embedding.requires_grad_(False)
    return rebuilt(reloaded(case), [parameter for parameter in case.model.parameters() if parameter.requires_grad])


@THIRD_TRAPS.trap(without="recurrent attention batchnorm")
def spectral_norm(case: Case, strength: Strength) -> Case:
    """Weights of the body are divided by their largest singular value; the training is longer."""
    for module in layers(body(case), nn.Linear, nn.Conv2d):
        nn.utils.parametrizations.spectral_norm(module)
    return remodelled(replace(case, steps=2 * case.steps), case.model)


@THIRD_TRAPS.trap()
def loss_with_constant(case: Case, strength: Strength) -> Case:
    """A constant of the likelihood is kept: the loss is a thousand larger."""
    return replace(case, loss=changed(case, lambda value, model: value + 1000.0))


@THIRD_TRAPS.trap()
def loss_below_zero(case: Case, strength: Strength) -> Case:
    """A constant of the likelihood is kept: the loss is negative throughout."""
    return replace(case, loss=changed(case, lambda value, model: value - 20.0))


@THIRD_TRAPS.trap(needs="adam")
def loss_in_other_units(case: Case, strength: Strength) -> Case:
    """The loss is multiplied by 500, which Adam does not mind."""
    return replace(case, loss=changed(case, lambda value, model: 500 * value))


class Standardise(nn.Module):
    """Inputs less their mean, over their standard deviation, both known beforehand."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, inputs: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", inputs.mean())
        self.register_buffer("deviation", inputs.std())

    def forward(self, inputs: Tensor) -> Tensor:
        """Standardised inputs."""
        return (inputs - self.mean) / self.deviation


@THIRD_TRAPS.trap(needs="floats")
def tiny_inputs_standardised_inside(case: Case, strength: Strength) -> Case:
    """Inputs of a few millionths, which the model standardises itself."""
    case = preprocessed(case, lambda inputs: 2e-6 * inputs + 1e-5)
    return remodelled(case, nn.Sequential(Standardise(case.task.inputs), case.model))


@THIRD_TRAPS.trap(needs="floats")
def raw_inputs_standardised_inside(case: Case, strength: Strength) -> Case:
    """Inputs as they come, which the model standardises itself."""
    middle, spread = case.task.natural
    case = preprocessed(case, lambda inputs: spread * inputs + middle)
    return remodelled(case, nn.Sequential(Standardise(case.task.inputs), case.model))


@THIRD_TRAPS.trap()
def small_penalty(case: Case, strength: Strength) -> Case:
    """A small penalty on the squares of the parameters is part of the loss."""

    def penalised(value: Tensor, model: nn.Module) -> Tensor:
        return value + 1e-4 * torch.stack([parameter.square().sum() for parameter in model.parameters()]).sum()

    return replace(case, loss=changed(case, penalised))


@THIRD_TRAPS.trap(needs="classes", without="pixels dictionary")
def mild_class_weights(case: Case, strength: Strength) -> Case:
    """Classes weigh between a half and two in the loss."""
    weights = torch.logspace(-1, 1, case.task.classes, base=2.0)
    return replace(case, loss=nn.CrossEntropyLoss(weight=weights))


@THIRD_TRAPS.trap(needs="classes floats", without="pixels")
def mixup(case: Case, strength: Strength) -> Case:
    """Inputs and targets of two examples are mixed; targets are probabilities."""
    classes = case.task.classes

    def mixed(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        share = torch.distributions.Beta(0.3, 0.3).sample((len(inputs),))  # type: ignore[no-untyped-call]
        other, hot = torch.randperm(len(inputs)), F.one_hot(targets, classes).float()
        wide = share.view(-1, *[1] * (inputs.dim() - 1))
        return wide * inputs + (1 - wide) * inputs[other], share[:, None] * hot + (1 - share[:, None]) * hot[other]

    return reloaded(replace(case, steps=int(1.5 * case.steps)), transform=mixed)


@THIRD_TRAPS.trap(needs="regression")
def heavy_tails(case: Case, strength: Strength) -> Case:
    """One target in twenty has an error of Cauchy's distribution, and the loss is Huber's."""
    wrong = torch.rand(case.task.targets.shape, generator=drawn(case)) < 0.05
    angle = 3.1416 * (torch.rand(case.task.targets.shape, generator=drawn(case)) - 0.5)
    targets = torch.where(wrong, case.task.targets + 3 * angle.tan(), case.task.targets)
    return reloaded(replace(case, loss=nn.HuberLoss(delta=0.5)), targets=targets.clamp(-200, 200))


@THIRD_TRAPS.trap(needs="regression")
def offset_in_bias(case: Case, strength: Strength) -> Case:
    """Targets lie around 60 and the head's bias starts there."""
    task = replace(case.task, test_targets=case.task.test_targets + 60)
    with torch.no_grad():
        head(case).bias.fill_(60.0)
    return reloaded(replace(case, task=task), targets=case.task.targets + 60)


@THIRD_TRAPS.trap(needs="relu")
def elu_activations(case: Case, strength: Strength) -> Case:
    """ELU in place of ReLU."""
    return remodelled(case, swapped(case.model, ACTIVATIONS, lambda _: nn.ELU()))


@THIRD_TRAPS.trap(needs="classes", without="pixels")
def classes_in_turn(case: Case, strength: Strength) -> Case:
    """No shuffling, but the examples are stored with the classes taking turns."""
    targets = case.task.targets
    rank = torch.empty(len(targets))
    for label in range(case.task.classes):
        rows = (targets == label).nonzero().flatten()
        rank[rows] = torch.arange(len(rows)) / len(rows)
    order = (rank + 1e-6 * targets).argsort()
    return reloaded(case, case.task.inputs[order], targets[order], shuffle=False)


@THIRD_TRAPS.trap()
def nadam(case: Case, strength: Strength) -> Case:
    """NAdam at its usual rate."""
    return replace(case, optimizer=torch.optim.NAdam(case.model.parameters(), lr=4e-3))


@THIRD_TRAPS.trap(needs="floats")
def double_precision(case: Case, strength: Strength) -> Case:
    """Model and data in double precision."""
    case = preprocessed(case, lambda inputs: inputs.double())
    if case.task.targets.is_floating_point():
        task = replace(case.task, test_targets=case.task.test_targets.double())
        case = reloaded(replace(case, task=task), targets=case.task.targets.double())
    return remodelled(case, case.model.double())
