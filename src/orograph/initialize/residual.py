r"""Schemes for networks with residual branches: each branch begins as zero, so that a block begins as its shortcut.

``zero-branches`` sets what runs last in every branch, a norm layer's gain or a kernel with its bias, to zero and leaves
all else (Goyal et al. 2017, section 5.1, for batch norm).

``fixup`` (Zhang, Dauphin and Ma 2019) is for networks without normalisation: the last kernel of every branch and the
last one of the network are zero; the other kernels are He normal with fan out, those within a branch times

.. math:: L^{-1 / (2m - 2)}

for L branches and m layers with weights in that branch (query, key, value and output of attention are four). The paper
also gives each branch a scalar multiplier and scalar biases, which an initialisation cannot add: networks that have
them are ``resnet20-fixup`` and its like, and the result says where they are missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from orograph.basics.errors import UsageError
from orograph.initialize.branches import Anatomy, anatomy_of
from orograph.initialize.drawing import draw
from orograph.initialize.schemes import Scaled, Scheme
from orograph.initialize.slots import Slot, slots_of
from orograph.results.initialization import Initialization, Setting
from orograph.results.provenance import Provenance

RESIDUAL = ("zero-branches", "fixup")


def initialize_residual(model: nn.Module, scheme: str, *, seed: int, example: Any) -> Initialization:
    """Apply ``zero-branches`` or ``fixup``, in place.

    Raises UsageError without an example, or where the network has no residual branches.
    """
    if example is None:
        raise UsageError(f"{scheme} looks for residual branches as they run; give example=, a batch of inputs")
    anatomy = anatomy_of(model, example)
    if not anatomy.branches:
        raise UsageError(f"{scheme} is for residual networks, and no residual branch was found in this one")
    slots = list(slots_of(model))
    name = scheme
    if scheme == "zero-branches":
        settings = _zero(slots, anatomy)
    else:
        settings = _fixup(slots, anatomy, seed)
        if not all(branch.scalars for branch in anatomy.branches):
            name = "fixup initialisation only (without its scalar multipliers and biases)"
    options = {"scheme": scheme, "branches": len(anatomy.branches)}
    citations = ("zhang2019",) if scheme == "fixup" else ("goyal2017",)
    provenance = Provenance(method="initialisation", seeds={"seed": seed}, options=options, citations=citations)
    return Initialization(scheme=name, settings=tuple(settings), provenance=provenance)


@torch.no_grad()
def _zero(slots: Sequence[Slot], anatomy: Anatomy) -> list[Setting]:
    ends = {id(branch.last.parameter) for branch in anatomy.branches}
    beside = {id(branch.last.layer) for branch in anatomy.branches}
    found = []
    for slot in slots:
        bias = id(slot.layer) in beside and slot.own == "bias"
        if id(slot.parameter) in ends or bias:
            slot.parameter.zero_()
            found.append(slot.setting("zero", asked=0.0))
        else:
            found.append(slot.setting("", why="not at the end of a branch"))
    return found


def _fixup(slots: Sequence[Slot], anatomy: Anatomy, seed: int) -> list[Setting]:
    count = len(anatomy.branches)
    schemes: dict[str, Scheme] = {slot.name: _he(1.0) for slot in slots if slot.parts}
    for branch in anatomy.branches:
        factor = count ** (-1 / (2 * branch.depth - 2)) if branch.depth > 1 else 1.0
        schemes |= {slot.name: _he(factor) for slot in branch.kernels}
        schemes[branch.kernels[-1].name] = _ZERO
    last = anatomy.last
    if last is not None and not isinstance(last.layer, nn.Embedding):  # tied to one, it would take the inputs away
        schemes[last.name] = _ZERO
    return draw(slots, schemes, seed)


def _he(factor: float) -> Scaled:
    label = "he-normal-fan-out" if factor == 1 else f"he-normal-fan-out times {factor:.3g}"
    return Scaled("out", "normal", math.sqrt(2) * factor, label)


_ZERO = Scaled("out", "normal", 0.0, "zero")
