"""Healthy variants of the sixth half that look like faults. Whoever tunes a doctor does not read this file first."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from .case import Case, Strength, endless, plain_step
from .plant import Collection
from .plants_fifth import of_outputs
from .plants_sixth import bottlenecked, pruned, selected
from .steps_sixth import Adversarial, InTurns, Milestones
from .surgery import ACTIVATIONS, drawn, reloaded, remodelled, stepping, swapped

SIXTH_TRAPS = Collection()


@SIXTH_TRAPS.trap(needs="floats")
def adversarial_step_small(case: Case, strength: Strength) -> Case:
    """Adversarial training with a step of a twentieth."""
    return stepping(case, Adversarial(case.loss, 0.05))


@SIXTH_TRAPS.trap()
def bottleneck_loose(case: Case, strength: Strength) -> Case:
    """A variational bottleneck whose divergence counts little; the features are noisy while training."""
    return bottlenecked(case, 1e-3)


@SIXTH_TRAPS.trap()
def drawn_with_replacement(case: Case, strength: Strength) -> Case:
    """Examples are drawn with replacement: some come twice in an epoch and a third of them never."""
    data = TensorDataset(case.task.inputs, case.task.targets)
    generator = torch.Generator().manual_seed(case.loading.seed)
    loading = case.loading
    loader = DataLoader(
        data,
        batch_size=loading.batch,
        sampler=RandomSampler(data, replacement=True, generator=generator),
        generator=generator,
        collate_fn=lambda pairs: loading.collate(*(torch.stack(column) for column in zip(*pairs, strict=True))),
    )
    return replace(case, loader=loader)


@SIXTH_TRAPS.trap()
def in_turns(case: Case, strength: Strength) -> Case:
    """Head and body are updated in turns, for more steps."""
    return stepping(replace(case, steps=2 * case.steps), InTurns(case.loss))


@SIXTH_TRAPS.trap()
def adagrad(case: Case, strength: Strength) -> Case:
    """Adagrad at a rate of 0.02, for somewhat longer."""
    optimizer = torch.optim.Adagrad(case.model.parameters(), lr=0.02)
    return replace(case, optimizer=optimizer, steps=int(1.5 * case.steps))


@SIXTH_TRAPS.trap()
def hardest_half(case: Case, strength: Strength) -> Case:
    """The loss is that of the hardest half of each batch."""
    return replace(case, loss=selected(case, 0.5, largest=True))


@SIXTH_TRAPS.trap(without="recurrent attention")
def half_pruned(case: Case, strength: Strength) -> Case:
    """Half of the body's weights are masked from the beginning."""
    return pruned(case, 0.5)


@SIXTH_TRAPS.trap(needs="relu")
def mish_activations(case: Case, strength: Strength) -> Case:
    """Mish in place of ReLU."""
    return remodelled(case, swapped(case.model, ACTIVATIONS, lambda _: nn.Mish()))


@SIXTH_TRAPS.trap(needs="floats")
def a_few_unreadable(case: Case, strength: Strength) -> Case:
    """One training input in fifty could not be read and is blank."""
    inputs = case.task.inputs.clone()
    inputs[torch.rand(len(inputs), generator=drawn(case)) < 0.02] = 0.0
    return reloaded(case, inputs=inputs)


@SIXTH_TRAPS.trap()
def milestones(case: Case, strength: Strength) -> Case:
    """A tenth of the rate from half of the training on, a hundredth from four fifths on."""
    return stepping(case, Milestones(case.loss, (case.steps // 2, 4 * case.steps // 5)))


def generalised(outputs: Tensor, targets: Tensor) -> Tensor:
    """The generalised cross-entropy with the exponent 0.4, which is bounded."""
    likely = F.softmax(outputs, dim=-1).gather(-1, targets[:, None])
    return ((1 - likely**0.4) / 0.4).mean()


@SIXTH_TRAPS.trap(needs="classes")
def generalised_cross_entropy(case: Case, strength: Strength) -> Case:
    """A bounded loss for noisy labels, for somewhat longer."""
    return replace(case, loss=of_outputs(case, generalised), steps=int(1.5 * case.steps))


@SIXTH_TRAPS.trap()
def resumed(case: Case, strength: Strength) -> Case:
    """The training goes on from a checkpoint of model and optimiser after one training: the loss starts low."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed + 92)
        for batch in islice(endless(case.loader), case.steps):
            plain_step(case.loss, case.model, batch, case.optimizer)
    case.optimizer.zero_grad()
    return reloaded(case)
