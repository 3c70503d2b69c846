"""The proof that permutation groups are right, on the user's own network and examples, in float64.

A random permutation of all groups must leave every output as it was, to rounding. If it does not, each group is tried
alone and those that fail are frozen. And permuting a single member of a group must change something: where it does
not, the examples or weights given cannot tell, and the group counts as unproven. Cost: about two passes over the
examples and two over a pair of them for each group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from orograph.basics.errors import ModelError
from orograph.basics.seeds import reseed
from orograph.connect.groups import Group, Groups, permute_in_place
from orograph.objective.example import inputs_of, outputs_in, run
from orograph.objective.workspace import Workspace
from orograph.weights import Weights

TOLERANCE = 1e-9
_NOTICEABLE = 1e-7
_FAILED = "the proof: permuting it changed the output"
_PAIR = 2


@dataclass(frozen=True)
class Proof:
    """The groups that stand, the largest change of an output as a share of the largest output, and those of which
    nothing could be told."""

    groups: Groups
    largest_change: float
    unproven: tuple[str, ...]


def prove(
    model: nn.Module,
    groups: Groups,
    weights: Weights,
    example: Any,
    *,
    count: int = 8,
    seed: int = 0,
    tolerance: float = TOLERANCE,
) -> Proof:
    """Prove ``groups`` at ``weights`` on up to ``count`` examples.

    Raises ModelError where outputs change beyond ``tolerance`` whatever is frozen, or are not finite.
    """
    device = weights.vector.device if weights.vector.device.type != "mps" else torch.device("cpu")
    workspace = Workspace(model, weights.layout, device, torch.float64)
    with workspace, torch.no_grad():
        judge = _Judge(model, workspace, weights, inputs_of(example, count, device, torch.float64))
        permutations = groups.random(seed)
        change = judge.change(groups.permuted(weights, permutations))
        if change > tolerance:
            bad = [g.name for g in groups.groups if judge.change(_alone(g, weights, permutations)) > tolerance]
            groups = groups.without(bad, _FAILED)
            change = judge.change(groups.permuted(weights, permutations))
        if change > tolerance:
            raise ModelError(
                f"the permutation groups found in this network change its output by {change:.1e} of the largest one, "
                "so it cannot be aligned; give groups= by hand (a path needs no alignment)"
            )
        few = _Judge(model, workspace, weights, inputs_of(example, min(count, _PAIR), device, torch.float64))
        unproven = tuple(g.name for g in groups.groups if not few.notices(g, weights, permutations[g.name]))
    return Proof(groups, change, unproven)


def function_change(model: nn.Module, given: Weights, other: Weights, example: Any, *, count: int = 8) -> float:
    """The largest difference between the outputs of two networks on up to ``count`` examples, in float64, as a share
    of the largest output of the ``given`` one."""
    device = given.vector.device if given.vector.device.type != "mps" else torch.device("cpu")
    workspace = Workspace(model, given.layout, device, torch.float64)
    with workspace, torch.no_grad():
        return _Judge(model, workspace, given, inputs_of(example, count, device, torch.float64)).change(other)


class _Judge:
    """Compares outputs at other weights with those at the given ones."""

    def __init__(self, model: nn.Module, workspace: Workspace, weights: Weights, inputs: Any) -> None:
        self.model, self.workspace, self.inputs = model, workspace, inputs
        self.outputs = self._at(weights)
        self.scale = max((float(output.abs().max()) for output in self.outputs if output.numel()), default=0.0)
        if not all(bool(torch.isfinite(output).all()) for output in self.outputs):
            raise ModelError(
                "the network's outputs are not finite on these examples, so nothing can be aligned on them"
            )

    def change(self, weights: Weights) -> float:
        """The largest change of an output, as a share of the largest output."""
        found = self._at(weights)
        pairs = zip(self.outputs, found, strict=True)
        return max((float((a - b).abs().max()) for a, b in pairs if a.numel()), default=0.0) / max(self.scale, 1e-300)

    def notices(self, group: Group, weights: Weights, permutation: Any) -> bool:
        """Whether some member, permuted alone, changes an output; the largest tensors are tried first."""
        sizes = {slot.name: slot.size for slot in weights.layout.slots}
        members = sorted(group.members, key=lambda member: -sizes.get(member.tensor, 0))
        return any(
            self.change(_alone(replace(group, members=(m,)), weights, {group.name: permutation})) > _NOTICEABLE
            for m in members[:3]
        )

    def _at(self, weights: Weights) -> Sequence[Tensor]:
        self.workspace.put(weights)
        reseed(0)
        found = [output for output in outputs_in(run(self.model, self.inputs)) if output.is_floating_point()]
        return [output.clone() for output in found]


def _alone(group: Group, weights: Weights, permutations: Any) -> Weights:
    moved = weights.copy()
    permute_in_place(moved.named_tensors(), group, torch.from_numpy(permutations[group.name]))
    return moved
