"""On what the outputs of a network depend: other examples of the batch, tokens that are still to come, all inputs or
a few, and whether in any other way than a single matrix could have it. A pass or two each; nothing is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from orograph.basics.seeds import reseed
from orograph.diagnose.patient import Copy
from orograph.diagnose.watching import first_tensor
from orograph.initialize.parts import parts_of as kernels_of
from orograph.initialize.probing import probing
from orograph.initialize.slots import slots_of

_FAR = -1000.0  # times the inputs: there no activation looks like a straight line, and ReLU changes sides


@dataclass(frozen=True)
class Dependence:
    """How outputs depend on what goes in; NaN where that could not be tried.

    ``others``: largest change of an example's outputs when the rest of its batch is replaced, over the spread of
    outputs. ``future``: the same for a position of a sequence when later tokens change. ``unused``: the share of the
    varying inputs (of positions, where inputs are tokens) that no output depends on. ``bent``: how far the features
    before the last weights are from a linear function of the inputs, over their spread.
    """

    others: float = 0.0
    future: float = math.nan
    unused: float = math.nan
    bent: float = math.nan


def dependence_of(made: Copy, inputs: Any, other: Any) -> Dependence:
    """All four, for a network of one tensor; ``other`` are inputs like these. NaN (the first 0) where the network does
    not let itself be asked."""
    if not isinstance(inputs, Tensor) or inputs.dim() == 0:
        return Dependence()
    found = []
    for ask in (_future, _unused, _bent):
        try:
            found.append(ask(made, inputs))
        except Exception:  # a network that cannot take such inputs
            found.append(math.nan)
    return Dependence(_others(made, inputs, other), *found)


def _others(made: Copy, inputs: Tensor, others: Any) -> float:
    """0 where outputs have no row for each example, or the network keeps a state from call to call."""
    n = len(inputs)
    if n < 4:
        return 0.0
    if not isinstance(others, Tensor) or others.shape != inputs.shape:
        others = inputs.roll(n // 2, 0)  # halves change places
    half, worst = n // 2, 0.0
    with probing(made.model, norm="running"), torch.no_grad():
        try:
            one, again = _answer(made, inputs), _answer(made, inputs)
            if one is None or again is None or not torch.equal(one, again):
                return 0.0
            for kept in (slice(0, half), slice(half, n)):
                mixed = others.clone()
                mixed[kept] = inputs[kept]
                found = _answer(made, mixed)
                if found is None or one.shape != found.shape or one.shape[0] != n:
                    return 0.0
                worst = max(worst, float((one[kept].float() - found[kept].float()).abs().max()))
        except Exception:
            return 0.0
    spread = float(one.float().std(correction=0))
    return worst / spread if spread > 0 and math.isfinite(worst) else 0.0


def _future(made: Copy, inputs: Tensor) -> float:
    """Of networks from tokens (n, length) to outputs (n, length, …) alone."""
    if inputs.is_floating_point() or inputs.dim() != 2 or inputs.shape[1] < 4:
        return math.nan
    length = inputs.shape[1]
    place = length // 2
    with probing(made.model, norm="running"), torch.no_grad():
        one, again = _answer(made, inputs), _answer(made, inputs)
        if one is None or again is None or one.dim() != 3 or one.shape[:2] != inputs.shape:
            return math.nan
        later = inputs.clone()
        later[:, place:] = later[:, place:].roll(1, 0)
        changed = (later != inputs).any(1)
        found = _answer(made, later)
        if found is None or not torch.equal(one, again) or not bool(changed.any()):
            return math.nan
    spread = float(one.float().std(correction=0))
    change = float((one[changed, :place].float() - found[changed, :place].float()).abs().max())
    return change / spread if spread > 0 else math.nan


def _unused(made: Copy, inputs: Tensor) -> float:
    kept: list[Tensor] = []
    handles = []
    if inputs.is_floating_point():
        inputs = inputs.detach().clone().requires_grad_()
        varies = inputs.detach().std(0, correction=0) > 0
    else:
        first = next((m for m in made.model.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))), None)
        if first is None or inputs.dim() != 2:
            return math.nan
        handles.append(first.register_forward_hook(lambda module, args, output: kept.append(output)))
        varies = (inputs != inputs[:1]).any(0)
    try:
        with probing(made.model, norm="running"), torch.enable_grad():
            found = _answer(made, inputs)
            at = inputs if inputs.requires_grad else kept[0]
            if found is None or not found.requires_grad or len(at) != len(inputs):
                return math.nan
            weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(0)).to(found)
            (gradient,) = torch.autograd.grad((found * weights).sum(), at)
    finally:
        for handle in handles:
            handle.remove()
    used = (gradient != 0).any(0)
    if not inputs.is_floating_point():
        used = used.reshape(inputs.shape[1], -1).any(1)
    if not bool(torch.isfinite(gradient).all()) or int(varies.sum()) < 2:
        return math.nan
    return 1 - float(used[varies].float().mean())


def _bent(made: Copy, inputs: Tensor) -> float:
    """Of networks with two weight matrices or more; what comes after the last of them is not looked at."""
    kernels = [slot for slot in slots_of(made.model) if kernels_of(slot.layer, slot.own, slot.parameter.detach())]
    if not inputs.is_floating_point() or len(kernels) < 2:
        return math.nan
    seen: list[Any] = []
    handles = [
        layer.register_forward_hook(lambda module, args, output: seen.append((module, first_tensor(output))))
        for layer in {id(slot.layer): slot.layer for slot in kernels}.values()
    ]
    try:
        with probing(made.model, norm="running"), torch.no_grad():
            found = []
            for one in (torch.zeros_like(inputs), inputs, _FAR * inputs):
                seen.clear()
                _answer(made, one)
                if len({id(module) for module, _ in seen}) < 2:  # one matrix is a linear network on purpose
                    return math.nan
                found.append(seen[-1][1].double())
    finally:
        for handle in handles:
            handle.remove()
    zero, near, far = found
    spread = float((near - zero).std(0, correction=0).mean()) * abs(_FAR)
    change = float((far - zero - _FAR * (near - zero)).abs().mean())
    return change / spread if spread > 0 and math.isfinite(change) else math.nan


def _answer(made: Copy, inputs: Tensor) -> Tensor | None:
    """The outputs for some inputs; what is drawn inside is drawn alike each time."""
    reseed(0, inputs.device.type)
    given = inputs if inputs.requires_grad else inputs.clone()  # a network may work in place
    return first_tensor(made.model(given))
