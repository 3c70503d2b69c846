"""``align``: permute the hidden units of one network so that they match another's.

A network computes the same function however its hidden units are ordered, so two trained networks may be farther apart
than they need be. The groups of units are found by overhearing a pass (:mod:`orograph.connect.tracing`) and proved on
the network itself (:mod:`orograph.connect.proof`). Sources: Ainsworth et al. 2023; Jordan et al. 2023 (REPAIR). Cost: a
few passes over a few examples; matching by activations adds one pass of each network over the matching examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from orograph.basics.errors import ModelError, UsageError
from orograph.connect.activations import match_activations
from orograph.connect.groups import Groups, given_groups, groups_of
from orograph.connect.matching import Match, match_weights
from orograph.connect.proof import TOLERANCE, Proof, function_change, prove
from orograph.connect.repair import Repair
from orograph.connect.tracing import trace_network
from orograph.landscape.barrier import barrier_on
from orograph.landscape.points import Point, family
from orograph.objective import Objective
from orograph.objective.batchnorm import tracking_layers
from orograph.objective.example import inputs_of
from orograph.objective.workspace import Workspace
from orograph.results import Alignment, Barrier, Cost, Provenance
from orograph.weights import Weights

Method = Literal["weights", "activations"]
_BARRIER_POINTS = 25


def align(
    model: nn.Module,
    a: Point,
    b: Point,
    *,
    example: Any,
    method: Method = "weights",
    groups: Groups | Mapping[str, Sequence[tuple[str, int]]] | None = None,
    attempts: int = 1,
    examples: int = 1024,
    objective: Objective | None = None,
    names: Sequence[str] | None = None,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> Alignment:
    """Permute the units of ``b`` to match those of ``a``; the aligned network is in ``.weights`` of the result.

    Parameters
    ----------
    example : real inputs: a tensor, a batch, or examples such as ``data.train`` (never test data, by which the
        alignment would be chosen); eight serve for the proof, and by activations up to ``examples`` for matching
    method : "weights" or "activations"
    groups : permutation groups by hand, ``{"hidden": [("fc1.weight", 0), ("fc1.bias", 0), ("fc2.weight", 1)]}``;
        default: found in the network
    attempts : descents of the method "weights", of which the best is kept
    objective : where given, the barriers of the straight line are measured before and after
    tolerance : largest change of an output under a random permutation, as a share of the largest output

    Raises
    ------
    ModelError
        The network cannot be traced, or its groups do not stand the proof (the message names the operation).
    UsageError, WeightsError
        Nothing can be permuted; the networks are of different architectures, or hold NaN.
    """
    if method not in ("weights", "activations"):
        raise UsageError(f"method is weights or activations, not {method!r}")
    if attempts < 1 or examples < 1:
        raise UsageError(f"matching takes at least one attempt and one example, not {attempts} and {examples}")
    began = Cost() if objective is None else objective.cost
    (first, second), labels = family([a, b], names)
    proof = find_groups(model, second, example, groups=groups, tolerance=tolerance, seed=seed)
    found = proof.groups
    if not found.groups:
        reasons = ", ".join(sorted({axis.reason for axis in found.frozen})) or "there are no hidden units"
        raise UsageError(f"no units of this network can be permuted ({reasons}); give groups= by hand")
    match, used = _match(found, model, first, second, example, method, attempts, examples, seed)
    aligned = found.permuted(second, match.permutations)
    change = function_change(model, second, aligned, example)
    if change > max(tolerance, TOLERANCE):
        raise ModelError(f"alignment changed the network's output by {change:.1e} of the largest one; please report it")
    barriers = {} if objective is None else _barriers(objective, model, first, second, aligned, example)
    moved = [int((match.permutations[g.name] != np.arange(g.size)).sum()) for g in found.groups]
    return Alignment(
        names=(labels[0], labels[1]),
        method=method,
        groups=tuple(group.name for group in found.groups),
        sizes=np.array([group.size for group in found.groups], dtype=np.int64),
        moved=np.array(moved, dtype=np.int64),
        score_before=match.before,
        score_after=match.after,
        permutations=match.permutations,
        distance_before=first.distance(second),
        distance_after=first.distance(aligned),
        coverage=found.coverage(first),
        parameters=len(first),
        frozen=found.frozen,
        largest_change=max(proof.largest_change, change),
        unproven=proof.unproven,
        sweeps=match.sweeps,
        attempts=attempts if method == "weights" else 1,
        examples=used,
        barriers=barriers,
        weights=aligned,
        provenance=Provenance(
            method="alignment",
            options={"method": method, "attempts": attempts, "groups": "given" if groups else "found"},
            seeds={"alignment": seed},
            model=type(model).__name__,
            citations=("ainsworth2023" if method == "weights" else "li2016", *(("jordan2023",) if barriers else ())),
            cost=Cost(forward=2 * used) if objective is None else Cost(forward=2 * used) + objective.cost - began,
        ),
    )


def find_groups(
    model: nn.Module,
    weights: Weights,
    example: Any,
    *,
    groups: Groups | Mapping[str, Sequence[tuple[str, int]]] | None = None,
    count: int = 8,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> Proof:
    """The permutation groups of ``model``, found in it or ``given``, proved at ``weights``."""
    if groups is not None:
        found = given_groups(groups, weights)
    else:
        device = weights.vector.device
        with Workspace(model, weights.layout, device, weights.layout.dtype) as workspace:
            workspace.put(weights)
            found = groups_of(trace_network(model, inputs_of(example, 2, device, weights.layout.dtype)))
    return prove(model, found, weights, example, count=count, seed=seed, tolerance=tolerance)


def permuted_copy(model: nn.Module, weights: Weights, example: Any, *, seed: int = 0) -> Weights:
    """The same function at another point: all groups of units permuted at random."""
    proof = find_groups(model, weights, example, seed=seed)
    return proof.groups.permuted(weights, proof.groups.random(seed))


def _match(
    found: Groups,
    model: nn.Module,
    a: Weights,
    b: Weights,
    example: Any,
    method: Method,
    attempts: int,
    examples: int,
    seed: int,
) -> tuple[Match, int]:
    if method == "activations":
        if not any(group.taps for group in found.groups):
            raise UsageError("groups given by hand have no activations to match by; use method='weights'")
        return match_activations(found, model, a, b, example, count=examples)
    return match_weights(found, a, b, attempts=attempts, seed=seed), 0


def _barriers(
    objective: Objective, model: nn.Module, a: Weights, b: Weights, aligned: Weights, example: Any
) -> dict[str, Barrier]:
    """Barriers of the line before and after; with batch norm both with interpolated and re-estimated statistics."""
    ts = np.linspace(0.0, 1.0, _BARRIER_POINTS)
    normalised = bool(tracking_layers(model))
    frozen = objective.with_settings(batchnorm="frozen")
    found = {}
    for name, end in (("naive", b), ("aligned", aligned)):
        found[name] = barrier_on(frozen, a, end, ts, None, None, at=partial(blend, a, end))
        if normalised and objective.settings.batchnorm == "recalibrate":
            found[f"{name}, batch norm re-estimated"] = barrier_on(objective, a, end, ts, None, None)
    if not normalised:
        repair = Repair(model, a, aligned, example)
        if repair.layers:
            found["aligned, repaired"] = barrier_on(frozen, a, aligned, ts, None, None, at=repair.at)
    objective.cost += frozen.cost
    return found


def blend(a: Weights, b: Weights, t: float) -> Weights:
    """The point at ``t`` of the straight line, floating-point buffers included: what averaging two files gives."""
    if t in (0.0, 1.0):
        return b if t else a

    def mixed(one: Tensor, other: Tensor) -> Tensor:
        return torch.lerp(one, other.to(one.device), t) if one.is_floating_point() else one

    buffers = {name: mixed(tensor, b.buffers[name]) for name, tensor in a.buffers.items()}
    return replace(a.with_vector(torch.lerp(a.vector, b.vector, t)), buffers=buffers)
