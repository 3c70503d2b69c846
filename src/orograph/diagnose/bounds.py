"""Between which numbers outputs stay, however large the last weights are."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from orograph.basics.seeds import reseed
from orograph.diagnose.patient import Copy
from orograph.diagnose.watching import first_tensor
from orograph.initialize.probing import probing

_SIZES = (1e3, 1e5)
_SAME = 1e-3


def bounds_of(made: Copy, inputs: Any) -> tuple[float, float]:
    """The lowest and highest output when the last layer's weights are drawn anew and very large; infinite where outputs
    grow with them, or where the network does not let itself be asked."""
    nowhere = (-math.inf, math.inf)
    if not isinstance(inputs, Tensor):
        return nowhere
    try:
        last = _last_layer(made, inputs)
        return nowhere if last is None else _asked(made, last, inputs)
    except Exception:  # a network that cannot take such inputs
        return nowhere


def _last_layer(made: Copy, inputs: Tensor) -> nn.Module | None:
    seen: list[nn.Module] = []
    # Of tied weights, too, which are the embedding's as well.
    layers = [module for module in made.model.modules() if any(p.dim() > 1 for p in module.parameters(recurse=False))]
    # As they begin, since a module with weights and layers of its own ends after these.
    handles = [layer.register_forward_pre_hook(lambda module, args: seen.append(module)) for layer in layers]
    try:
        _answer(made, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return seen[-1] if seen else None


def _asked(made: Copy, last: nn.Module, inputs: Tensor) -> tuple[float, float]:
    own = [p for p in last.parameters(recurse=False) if p.is_floating_point()]
    kept = [p.detach().clone() for p in own]
    found = []
    before = _answer(made, inputs)
    try:
        for size in _SIZES:
            random = torch.Generator().manual_seed(0)
            with torch.no_grad():
                for parameter in own:
                    parameter.copy_(size * torch.randn(parameter.shape, generator=random))
            outputs = _answer(made, inputs)
            if not bool(torch.isfinite(outputs).all()) or torch.equal(outputs, before):  # the latter: another head's
                return -math.inf, math.inf
            found.append((float(outputs.min()), float(outputs.max())))
    finally:
        with torch.no_grad():
            for parameter, before in zip(own, kept, strict=True):
                parameter.copy_(before)
    (low, high), (lower, higher) = found
    return lower if _same(low, lower) else -math.inf, higher if _same(high, higher) else math.inf


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= _SAME * max(1.0, abs(other))


def _answer(made: Copy, inputs: Tensor) -> Tensor:
    reseed(0, inputs.device.type)
    with probing(made.model, norm="running"), torch.no_grad():
        found = first_tensor(made.model(inputs.clone()))
    assert found is not None
    return found.detach().float()
