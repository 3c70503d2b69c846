"""Traps of the held-out half. Whoever tunes a doctor does not read this file before the final score."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from .case import Batch, Case, Loss, Strength, Task, loss_of
from .networks import Residual
from .plant import Collection
from .plants import PUBLIC
from .steps import Scheduled
from .surgery import (
    body,
    drawn,
    head,
    layers,
    matrices,
    preprocessed,
    rate,
    rebuilt,
    reloaded,
    remodelled,
    scaled,
    stepping,
    swapped,
    weighted,
)

HELD_OUT_TRAPS = Collection()


@HELD_OUT_TRAPS.trap(needs="residual")
def zero_branches(case: Case, strength: Strength) -> Case:
    """The last gain of each residual branch starts at zero."""
    for module in layers(case.model, Residual):
        scaled(list(module.branch[-1].parameters())[:1], 0.0)
    return case


@HELD_OUT_TRAPS.trap(needs="images")
def sparse_inputs(case: Case, strength: Strength) -> Case:
    """Black and white pixels, most of them exactly zero."""
    return preprocessed(case, lambda inputs: 2.0 * (inputs > 0.5))


@HELD_OUT_TRAPS.trap(needs="floats classes", without="recurrent")
def many_classes(case: Case, strength: Strength) -> Case:
    """Forty classes, each a noisy cluster of inputs."""
    draw = torch.Generator().manual_seed(21)
    shape = case.task.inputs.shape[1:]
    labels = torch.randint(0, 40, (1600,), generator=draw)
    centres = torch.randn(40, *shape, generator=draw)
    inputs = centres[labels] + 0.3 * torch.randn(1600, *shape, generator=draw)
    task = Task(inputs[:1300], labels[:1300], inputs[1300:], labels[1300:], "accuracy", 1 / 40, 40)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed + 3)
        case.model.head = nn.Linear(head(case).in_features, 40)
    return remodelled(reloaded(replace(case, task=task, steps=2 * case.steps)), case.model)


@HELD_OUT_TRAPS.trap(needs="sgd")
def summed_loss_with_small_rate(case: Case, strength: Strength) -> Case:
    """The loss is summed over the batch and the rate divided by its size: the same steps."""
    return rebuilt(PUBLIC["loss_summed"].change(case, "mild"), lr=rate(case) / case.loading.batch)


@HELD_OUT_TRAPS.trap()
def two_parameter_groups(case: Case, strength: Strength) -> Case:
    """The body at a third of the head's rate, biases and gains without weight decay."""
    groups = [
        {"params": list(body(case).parameters()), "lr": rate(case) / 3},
        {"params": list(head(case).parameters()), "lr": rate(case)},
    ]
    kind: Any = type(case.optimizer)
    extra = {"momentum": 0.9} if kind is torch.optim.SGD else {}
    return replace(case, optimizer=kind(groups, lr=rate(case), **extra), steps=2 * case.steps)


@HELD_OUT_TRAPS.trap()
def cosine_schedule(case: Case, strength: Strength) -> Case:
    """A cosine to zero at the end of the training."""
    return stepping(case, Scheduled(case.loss, 0, case.steps))


@HELD_OUT_TRAPS.trap(needs="floats")
def inputs_from_zero_to_one(case: Case, strength: Strength) -> Case:
    """Inputs scaled to [0, 1] and not centred, at a rate three times as high."""
    low, high = case.task.inputs.min(), case.task.inputs.max()
    case = preprocessed(case, lambda inputs: (inputs - low) / (high - low))
    return rebuilt(replace(case, steps=3 * case.steps), lr=2 * rate(case))


@HELD_OUT_TRAPS.trap(needs="sgd")
def no_momentum(case: Case, strength: Strength) -> Case:
    """SGD without momentum at a rate eight times as high."""
    return rebuilt(replace(case, steps=2 * case.steps), momentum=0.0, nesterov=False, lr=8 * rate(case))


@HELD_OUT_TRAPS.trap()
def rmsprop(case: Case, strength: Strength) -> Case:
    """RMSprop with its usual rate."""
    return replace(case, optimizer=torch.optim.RMSprop(case.model.parameters(), lr=2e-3), steps=2 * case.steps)


@HELD_OUT_TRAPS.trap()
def orthogonal_weights(case: Case, strength: Strength) -> Case:
    """Orthogonal matrices."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed + 4)
        for matrix in matrices(case.model):
            nn.init.orthogonal_(matrix)
    return case


@HELD_OUT_TRAPS.trap(without="attention recurrent")
def weight_norm(case: Case, strength: Strength) -> Case:
    """Every weight is a direction times a length."""
    for module in weighted(case.model):
        nn.utils.parametrizations.weight_norm(module)
    return remodelled(case, case.model)


@HELD_OUT_TRAPS.trap(needs="relu")
def leaky_activations(case: Case, strength: Strength) -> Case:
    """Leaky ReLU in place of ReLU."""
    return remodelled(case, swapped(case.model, (nn.ReLU,), lambda _: nn.LeakyReLU(0.1)))


@HELD_OUT_TRAPS.trap(needs="floats", without="images")
def mild_augmentation(case: Case, strength: Strength) -> Case:
    """A little noise on the inputs of each batch."""
    return reloaded(case, transform=a_little_noise)


def a_little_noise(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Normal noise of standard deviation 0.1."""
    return inputs + 0.1 * torch.randn_like(inputs), targets


@dataclass
class ZeroAfter:
    """Gradients are zeroed at the end of the step instead of at its beginning."""

    loss: Loss

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        value = loss_of(self.loss, model, batch)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        return value


@HELD_OUT_TRAPS.trap()
def zero_grad_after_step(case: Case, strength: Strength) -> Case:
    """zero_grad closes the step."""
    return stepping(case, ZeroAfter(case.loss))


@HELD_OUT_TRAPS.trap(needs="relu")
def many_units_idle(case: Case, strength: Strength) -> Case:
    """Biases slightly below zero: most units are silent on most examples, none on all."""
    with torch.no_grad():
        for module in weighted(body(case)):
            if isinstance(module.bias, Tensor):
                module.bias.uniform_(-0.3, 0.0, generator=drawn(case))
    return case
