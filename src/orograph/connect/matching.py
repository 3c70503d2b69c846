r"""Matching units by the weights: coordinate descent over assignments (Ainsworth et al. 2023, Git Re-Basin).

Permutations P of the second network's groups that maximise :math:`\langle w_A, P w_B \rangle`, which is to minimise
:math:`\|w_A - P w_B\|`. With all other groups held, a group's best permutation solves a linear assignment over

.. math:: S = \sum_{m} M_A^{(m)} {M_B^{(m)}}^T

where M is a member tensor unfolded along its units. Groups are visited again until none gains. The first visit goes
outward from the fixed axes (inputs and outputs) and looks only at members whose other axes are settled: so a permuted
copy of a network is recognised at once. Running statistics ride along and have no say; rows that batch norm makes free
of scale are compared at equal length. Cost: no forward passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from orograph.basics.seeds import derive
from orograph.connect.groups import Group, Groups, Member, permute_in_place, unfolded
from orograph.weights import Weights

_GAIN = 1e-12
_SWEEPS = 100


@dataclass(frozen=True)
class Match:
    """Permutations by group, what was maximised per group before and after, and the sweeps it took."""

    permutations: dict[str, NDArray[np.int64]]
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    sweeps: int = 0


def match_weights(groups: Groups, a: Weights, b: Weights, *, attempts: int = 1, seed: int = 0) -> Match:
    """The best of ``attempts`` descents: the first outward from the fixed axes, others in random orders."""
    found = [_Descent(groups, a, b).run(seed, attempt) for attempt in range(max(attempts, 1))]
    return max(found, key=lambda match: float(match.after.sum()))


class _Descent:
    def __init__(self, groups: Groups, a: Weights, b: Weights) -> None:
        self.groups = [group for group in groups.groups if any(_counts(m, a) for m in group.members)]
        self.everything = groups.groups
        names = {member.tensor for group in self.groups for member in group.members if _counts(member, a)}
        self.own, self.other = (_comparable(one, a, names, groups.scale_free) for one in (a, b))
        self.members = {g.name: [m for m in g.members if m.tensor in names] for g in self.groups}
        self.touching: dict[str, set[str]] = {name: set() for name in names}
        for group in self.groups:
            for member in self.members[group.name]:
                self.touching[member.tensor].add(group.name)
        self.orders = {group.name: np.arange(group.size) for group in groups.groups}

    def run(self, seed: int, attempt: int) -> Match:
        before = self._scores()
        settled: set[str] = set()
        if attempt == 0:
            for group in self._outward():
                known = [m for m in self.members[group.name] if self.touching[m.tensor] - {group.name} <= settled]
                self._improve(group, known or self.members[group.name])
                settled.add(group.name)
        sweeps = 0
        while sweeps < _SWEEPS:
            shuffled = np.random.default_rng(derive(seed, "sweep", attempt, sweeps)).permutation(len(self.groups))
            sweeps += 1
            if not sum([self._improve(g, self.members[g.name]) for g in (self.groups[i] for i in shuffled)]):
                break
        return Match(self.orders, before, self._scores(), sweeps)

    def _outward(self) -> list[Group]:
        """Each time the group with the largest share of entries in tensors whose other groups are placed already."""
        left, placed, order = list(self.groups), set[str](), []
        while left:
            best = max(left, key=lambda group: self._known(group, placed))
            left.remove(best)
            placed.add(best.name)
            order.append(best)
        return order

    def _known(self, group: Group, placed: set[str]) -> float:
        members = self.members[group.name]
        known = sum(self.own[m.tensor].numel() for m in members if self.touching[m.tensor] - {group.name} <= placed)
        return known / max(sum(self.own[m.tensor].numel() for m in members), 1)

    def _improve(self, group: Group, members: Sequence[Member]) -> bool:
        """Give the group its best permutation, by the members looked at; whether something was gained."""
        scores = torch.zeros(group.size, group.size, dtype=torch.float64)
        for member in members:
            scores += unfolded(self.own[member.tensor], member) @ unfolded(self.other[member.tensor], member).T
        table = scores.numpy()
        _, order = linear_sum_assignment(table, maximize=True)
        gain = table[np.arange(group.size), order].sum() - np.trace(table)
        if gain <= _GAIN * max(np.abs(table).max(), 1e-300):
            return False
        # Where a tensor has the group on two axes, the assignment saw each with the other held: look before leaping.
        twice = len({member.tensor for member in members}) < len(members)
        touched = {member.tensor for member in self.members[group.name]}
        height = self._agreement(touched) if twice else 0.0
        self._permute(group, order)
        if twice and self._agreement(touched) <= height:
            self._permute(group, np.argsort(order))
            return False
        self.orders[group.name] = self.orders[group.name][order]
        return True

    def _permute(self, group: Group, order: NDArray[np.int64]) -> None:
        members = tuple(self.members[group.name])
        permute_in_place(self.other, Group(group.name, group.size, members), torch.from_numpy(order))

    def _agreement(self, names: set[str]) -> float:
        return sum(float((self.own[name] * self.other[name]).sum()) for name in names)

    def _scores(self) -> NDArray[np.float64]:
        tensors = [{m.tensor for m in self.members.get(g.name, ())} for g in self.everything]
        return np.array([self._agreement(names) for names in tensors])


def _counts(member: Member, weights: Weights) -> bool:
    return member.tensor not in weights.buffers


def _comparable(weights: Weights, like: Weights, names: set[str], scale_free: frozenset[str]) -> dict[str, Tensor]:
    """Float64 copies on the processor; rows without scale at the root mean square length of those of ``like``."""
    tensors, others = weights.named_tensors(), like.named_tensors()
    found = {}
    for name in names:
        tensor = tensors[name].detach().cpu().to(torch.float64, copy=True)
        if name in scale_free:
            lengths = tensor.flatten(1).norm(dim=1)
            usual = others[name].detach().cpu().double().flatten(1).norm(dim=1).square().mean().sqrt()
            factors = torch.where(lengths > 0, usual / lengths, torch.ones_like(lengths))
            tensor *= factors.view(-1, *([1] * (tensor.dim() - 1)))
        found[name] = tensor
    return found
