"""Permutation groups: which hidden units of a network may change places together without changing its function.

A group is one unfrozen factor (:mod:`orograph.connect.factors`) with every place where it occurs in a parameter or
buffer. The places are index arrays, so a group may be the channels of a convolution, one addend of a concatenation or
the heads inside a projection, all alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from orograph.basics.errors import UsageError, nearest
from orograph.basics.seeds import derive
from orograph.connect.factors import Factor, places
from orograph.connect.tracing import Tap, Trace
from orograph.results import FrozenAxis
from orograph.weights import Weights

Permutations = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Member:
    """One occurrence: row i of ``positions`` (size, m) are the entries of unit i on an axis of a tensor."""

    tensor: str
    axis: int
    positions: Tensor


@dataclass(frozen=True, eq=False)
class Place(Member):
    """An occurrence in the first result of the operation ``number``.

    ``joint``: the columns of ``positions`` permute too, being units of another group (heads, and their entries).
    """

    number: int
    joint: bool


@dataclass(frozen=True, eq=False)
class Group:
    """``size`` units that permute together; ``taps`` are places where they show as the network runs."""

    name: str
    size: int
    members: tuple[Member, ...]
    taps: tuple[Place, ...] = ()


@dataclass(frozen=True, eq=False)
class Groups:
    """All groups of a network, what is frozen, and which weights have rows without scale (batch norm follows)."""

    groups: tuple[Group, ...]
    frozen: tuple[FrozenAxis, ...] = ()
    scale_free: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.groups)

    def without(self, names: Sequence[str], reason: str) -> Groups:
        """The groups but those named, which become frozen."""
        kept = tuple(group for group in self.groups if group.name not in names)
        gone = [group for group in self.groups if group.name in names]
        more = (FrozenAxis(m.tensor, m.axis, g.size, reason) for g in gone for m in g.members)
        return Groups(kept, (*self.frozen, *more), self.scale_free)

    def random(self, seed: int) -> dict[str, NDArray[np.int64]]:
        """A permutation for each group, none of them the identity."""
        found = {}
        for group in self.groups:
            generator = np.random.default_rng(derive(seed, "permutation", group.name))
            order = generator.permutation(group.size)
            found[group.name] = np.roll(order, 1) if (order == np.arange(group.size)).all() else order
        return found

    def permuted(self, weights: Weights, permutations: Permutations) -> Weights:
        """``weights`` with unit i of each group taking the place of unit ``permutations[group][i]``, buffers too."""
        moved = weights.copy()
        tensors = moved.named_tensors()
        for group in self.groups:
            if group.name in permutations:
                permute_in_place(tensors, group, torch.from_numpy(np.asarray(permutations[group.name])))
        return moved

    def coverage(self, weights: Weights) -> float:
        """Share of the coordinates that lie in a tensor with a group."""
        covered = {member.tensor for group in self.groups for member in group.members}
        total = sum(slot.size for slot in weights.layout.slots)
        return sum(slot.size for slot in weights.layout.slots if slot.name in covered) / total if total else 0.0


def permute_in_place(tensors: Mapping[str, Tensor], group: Group, order: Tensor) -> None:
    """Apply one group's permutation to every member."""
    for member in group.members:
        tensor = tensors[member.tensor]
        positions = member.positions.to(tensor.device)
        index = torch.arange(tensor.shape[member.axis], device=tensor.device)
        index[positions.reshape(-1)] = positions[order.to(tensor.device)].reshape(-1)
        tensor.copy_(tensor.index_select(member.axis, index))


def unfolded(tensor: Tensor, member: Member) -> Tensor:
    """(size, everything else): the entries of each unit in a row."""
    positions = member.positions.to(tensor.device)
    first = tensor.movedim(member.axis, 0)
    return first[positions.reshape(-1)].reshape(positions.shape[0], -1)


def groups_of(trace: Trace) -> Groups:
    """The groups that a trace reveals."""
    members: dict[int, list[Member]] = {}
    roots: dict[int, Factor] = {}
    frozen: list[FrozenAxis] = []
    for name, axes in trace.axes.items():
        for number, axis in enumerate(axes):
            reasons: dict[str, int] = {}
            moves = False
            for factor, positions in places(axis):
                if factor.size < 2:
                    continue
                if factor.reason is not None:
                    reasons[factor.reason] = reasons.get(factor.reason, 0) + positions.size
                    continue
                moves = True
                roots[id(factor)] = factor
                members.setdefault(id(factor), []).append(Member(name, number, torch.from_numpy(positions.copy())))
            if not moves:  # of stacked projections the heads move, and only query, key and value keep their order
                frozen += [FrozenAxis(name, number, size, reason) for reason, size in reasons.items()]
    taps = _taps(trace.taps)
    names = _names(members)
    groups = [Group(names[key], roots[key].size, tuple(own), tuple(taps.get(key, ()))) for key, own in members.items()]
    return Groups(tuple(groups), tuple(frozen), frozenset(trace.scale_free))


def given_groups(groups: Groups | Mapping[str, Sequence[tuple[str, int]]], like: Weights) -> Groups:
    """Groups written by hand: for each name the (tensor, axis) pairs whose entries permute together; or found before.

    Raises UsageError where a tensor is unknown, an axis is not there, or sizes differ.
    """
    if isinstance(groups, Groups):
        return groups
    tensors = like.named_tensors()
    found = []
    for name, pairs in groups.items():
        sizes = set()
        for tensor, axis in pairs:
            if tensor not in tensors:
                raise UsageError(f"group {name!r}: the network has no tensor {tensor!r}{nearest(tensor, tensors)}")
            if not -tensors[tensor].dim() <= axis < tensors[tensor].dim():
                raise UsageError(f"group {name!r}: {tensor} has {tensors[tensor].dim()} axes, not one numbered {axis}")
            sizes.add(tensors[tensor].shape[axis])
        if len(sizes) != 1:
            raise UsageError(f"group {name!r} pairs axes of {sorted(sizes)} entries; they must be equally long")
        size = sizes.pop()
        members = tuple(Member(t, axis % tensors[t].dim(), torch.arange(size)[:, None]) for t, axis in pairs)
        found.append(Group(name, size, members))
    return Groups(tuple(found))


def _taps(taps: Sequence[Tap]) -> dict[int, list[Place]]:
    found: dict[int, list[Place]] = {}
    for tap in taps:
        for number, axis in enumerate(tap.axes):
            own = [(factor, positions) for factor, positions in places(axis) if factor.reason is None]
            for factor, positions in own:
                others = [p for f, p in own if f is not factor]
                joint = any(np.isin(positions, p).any() for p in others)
                place = Place("", number, torch.from_numpy(positions.copy()), tap.number, joint)
                found.setdefault(id(factor), []).append(place)
    return found


def _names(members: Mapping[int, Sequence[Member]]) -> dict[int, str]:
    """Each group by its first tensor, with a number where that is not enough."""
    found: dict[int, str] = {}
    counts: dict[str, int] = {}
    for key, own in members.items():
        name = own[0].tensor
        counts[name] = counts.get(name, 0) + 1
        found[key] = name if counts[name] == 1 else f"{name} ({counts[name]})"
    return found
