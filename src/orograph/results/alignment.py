"""The second of two networks with its hidden units in the order of the first one's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from orograph.results.points import Barrier
from orograph.results.result import Result, record


@record
@dataclass(frozen=True)
class FrozenAxis:
    """An axis of a tensor whose entries keep their order, and the operation that asks for it."""

    tensor: str
    axis: int
    size: int
    reason: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Alignment(Result):
    """A matching of hidden units between two networks of one architecture.

    Attributes
    ----------
    names : names of the networks; method : "weights" or "activations"
    groups : (g,) names of the groups of units that permute together, each after its first tensor; sizes : (g,) units
    moved : (g,) how many units are not where they were
    score_before, score_after : (g,) what the method maximises, per group: inner product of the weights or sum of the
        correlations
    permutations : by group, (units,) int; unit i of the aligned network is unit ``permutations[g][i]`` of the given one
    distance_before, distance_after : weight-space length between the networks
    coverage : share of the trainable parameters in tensors with a group; parameters : how many there are
    frozen : axes that no group covers, with the operation responsible
    largest_change : largest change of an output under a random permutation of all groups, over the largest output, in
        float64: the proof that the groups are right
    unproven : groups whose single members can be permuted alone without any effect, so that the proof says nothing
    sweeps : passes over all groups in the best attempt; attempts : how many were made
    examples : how many training examples the matching used (0 for weights)
    barriers : of the straight line, by what was done: "naive", "aligned", and where they apply "aligned, batch norm
        re-estimated" and "aligned, repaired"; empty where no objective was given
    weights : the aligned second network, :class:`orograph.weights.Weights` (not saved)
    """

    names: tuple[str, str]
    method: str
    groups: tuple[str, ...]
    sizes: NDArray[np.int64]
    moved: NDArray[np.int64]
    score_before: NDArray[np.float64]
    score_after: NDArray[np.float64]
    permutations: dict[str, NDArray[np.int64]]
    distance_before: float
    distance_after: float
    coverage: float
    parameters: int
    frozen: tuple[FrozenAxis, ...]
    largest_change: float
    unproven: tuple[str, ...] = ()
    sweeps: int = 0
    attempts: int = 1
    examples: int = 0
    barriers: dict[str, Barrier] = field(default_factory=dict)
    weights: Any = field(default=None, repr=False, metadata={"saved": False, "compared": False})

    title: ClassVar[str] = "alignment"

    def summary(self) -> str:
        groups = f"{len(self.groups)} group{'s' * (len(self.groups) != 1)}"
        lines = [
            f"aligned {self.names[1]} to {self.names[0]} by {self.method}: {int(self.moved.sum())} of "
            f"{int(self.sizes.sum())} units in {groups} moved, {100 * self.coverage:.2f} % of the parameters covered",
            f"distance {self.distance_before:.4g} before, {self.distance_after:.4g} after",
            f"proof: a random permutation changes no output by more than {self.largest_change:.1e} of the largest",
        ]
        lines += [f"line, {what}: {barrier}" for what, barrier in self.barriers.items()]
        if self.unproven:
            lines.append(f"not proven, for want of effect: {', '.join(self.unproven)}")
        reasons: dict[str, list[str]] = {}
        for axis in self.frozen:
            reasons.setdefault(axis.reason, []).append(f"{axis.tensor} axis {axis.axis}")
        for reason, places in reasons.items():
            others = f" and {len(places) - 2} more" if len(places) > 2 else ""
            lines.append(f"kept in order by {reason}: {', '.join(places[:2])}{others}")
        return "\n".join(lines)
