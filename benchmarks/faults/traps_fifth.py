"""Healthy variants of the fifth half that look like faults. Whoever tunes a doctor does not read this file first."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .case import Case, Strength, endless, plain_step
from .plant import Collection
from .plants_fifth import of_outputs, taught, uncertain
from .steps_fifth import AnnealedNoise, Echoed
from .surgery import ACTIVATIONS, drawn, features, remodelled, stepping, swapped

FIFTH_TRAPS = Collection()


@FIFTH_TRAPS.trap()
def taught_by_trained(case: Case, strength: Strength) -> Case:
    """Half of the loss is the distance from the outputs of a network that was trained on the task."""
    teacher = copy.deepcopy(case.model)
    optimizer = torch.optim.Adam(teacher.parameters(), lr=4e-3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed + 81)
        for batch in islice(endless(case.loading.loader(case.task.inputs, case.task.targets)), 2 * case.steps):
            plain_step(case.loss, teacher, batch, optimizer)
    return replace(case, loss=taught(case, teacher, 0.5))


@FIFTH_TRAPS.trap(needs="classes")
def entropy_bonus_small(case: Case, strength: Strength) -> Case:
    """A bonus of a twentieth of the entropy of the predictions."""
    return replace(case, loss=of_outputs(case, uncertain(0.05)))


@FIFTH_TRAPS.trap(needs="relu")
def prelu_activations(case: Case, strength: Strength) -> Case:
    """PReLU in place of ReLU: each has one slope that is trained."""
    return remodelled(case, swapped(case.model, ACTIVATIONS, lambda _: nn.PReLU()))


@FIFTH_TRAPS.trap()
def radam(case: Case, strength: Strength) -> Case:
    """RAdam, whose first steps are small, for somewhat longer."""
    optimizer = torch.optim.RAdam(case.model.parameters(), lr=8e-3)
    return replace(case, optimizer=optimizer, steps=int(1.5 * case.steps))


@FIFTH_TRAPS.trap()
def batches_of_any_size(case: Case, strength: Strength) -> Case:
    """A list of batches of which each has a size of its own, from a third of the usual one to twice that."""
    size, draw, loader = case.loading.batch, drawn(case), []
    rows = torch.randperm(len(case.task.inputs), generator=draw)
    while len(rows) > size // 3:
        count = int(torch.randint(size // 3, 2 * size + 1, (1,), generator=draw))
        loader.append(case.loading.collate(case.task.inputs[rows[:count]], case.task.targets[rows[:count]]))
        rows = rows[count:]
    return replace(case, loader=loader)


@FIFTH_TRAPS.trap()
def batches_echoed(case: Case, strength: Strength) -> Case:
    """Two steps on each batch."""
    return stepping(case, Echoed(case.loss))


class Cosines(nn.Linear):
    """Cosines of features and weights, sixteen times."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs between -16 and 16."""
        return 16 * F.linear(F.normalize(inputs, dim=-1), F.normalize(self.weight, dim=-1))


@FIFTH_TRAPS.trap(needs="classes")
def cosine_head(case: Case, strength: Strength) -> Case:
    """The head is that of face recognition: scaled cosines."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed + 82)
        case.model.head = Cosines(features(case), case.task.classes, bias=False)
    return remodelled(case, case.model)


@FIFTH_TRAPS.trap()
def annealed_noise(case: Case, strength: Strength) -> Case:
    """Noise on the gradients that fades."""
    return stepping(case, AnnealedNoise(case.loss, 0.02))
