"""Whether a network's outputs depend on all of its inputs, and in any other way than a single matrix could have it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
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


def unused(made: Copy, inputs: Tensor) -> tuple[float, float]:
    """Shares of the inputs that have no effect, and that have one and no gradient."""
    kept: list[Tensor] = []
    handles = []
    if inputs.is_floating_point():
        inputs = inputs.detach().clone().requires_grad_()
        low, high = inputs.detach().amin(0), inputs.detach().amax(0)
        varies = low < high
        # What has two values is a mark, by which something is chosen or left out: there is no way between them.
        marks = ((inputs.detach() == low) | (inputs.detach() == high)).all(0)
        # Whole numbers beside others are codes of categories.
        whole = (inputs.detach() == inputs.detach().round()).all(0)
        if bool((varies & ~whole).any()):
            marks |= whole
    else:
        first = next((m for m in made.model.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))), None)
        if first is None or inputs.dim() != 2:
            return math.nan, 0.0
        handles.append(first.register_forward_hook(lambda module, args, output: kept.append(output)))
        varies = (inputs != inputs[:1]).any(0)
        marks = torch.zeros_like(varies)
    try:
        with probing(made.model, norm="running"), torch.enable_grad(), _begun(made.model):
            found = answer(made, inputs)
            at = inputs if inputs.requires_grad else kept[0]
            if found is None or not found.requires_grad or len(at) != len(inputs):
                return math.nan, 0.0
            weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(0)).to(found)
            (gradient,) = torch.autograd.grad((found * weights).sum(), at)
    finally:
        for handle in handles:
            handle.remove()
    used = (gradient != 0).any(0)
    if not inputs.is_floating_point():
        used = used.reshape(inputs.shape[1], -1).any(1)
    if not bool(torch.isfinite(gradient).all()) or int(varies.sum()) < 2:
        return math.nan, 0.0
    idle = varies & ~used
    with (
        probing(made.model, norm="running"),
        torch.no_grad(),
    ):  # units on their flat ends pass no gradient, but a change
        given = inputs.detach()
        one, other = answer(made, given), answer(made, torch.where(idle, given.roll(1, 0), given))
    share = float(idle.sum() / varies.sum())
    if one is None or other is None:
        return 0.0, 0.0
    if torch.equal(one, other):
        return share, 0.0
    return 0.0, float((idle & ~marks).sum() / varies.sum())


@contextmanager
def _begun(model: nn.Module) -> Iterator[None]:
    """Parameters that are zero are not, as after some steps: branches that begin at zero pass something on."""
    zeros = [p for p in model.parameters() if p.is_floating_point() and not bool(p.any())]
    try:
        with torch.no_grad():
            for parameter in zeros:
                nn.init.normal_(parameter, std=0.1, generator=torch.Generator(parameter.device).manual_seed(0))
        yield
    finally:
        for parameter in zeros:
            nn.init.zeros_(parameter)


def bent(made: Copy, inputs: Tensor) -> float:
    """Of networks with two weight matrices or more; what comes after the last of them is not looked at."""
    kernels = [slot for slot in slots_of(made.model) if kernels_of(slot.layer, slot.own, slot.parameter.detach())]
    if not inputs.is_floating_point() or len(kernels) < 2:
        return math.nan
    seen: list[tuple[nn.Module, Any, Any]] = []
    handles = [
        layer.register_forward_hook(lambda module, args, output: seen.append((module, args, first_tensor(output))))
        for layer in {id(slot.layer): slot.layer for slot in kernels}.values()
    ]
    try:
        with probing(made.model, norm="running"), torch.no_grad(), _begun(made.model):
            found = []
            for one in (torch.zeros_like(inputs), inputs, _FAR * inputs):
                seen.clear()
                answer(made, one)
                if len({id(module) for module, *_ in seen}) < 2:  # one matrix is a linear network on purpose
                    return math.nan
                entered = first_tensor(seen[-1][1])
                if (
                    entered is not None
                    and entered.numel() == one.numel()
                    and torch.equal(entered.flatten(), one.flatten())
                ):
                    return math.nan  # matrices side by side, which something else brings together
                found.append(seen[-1][2].double())
    finally:
        for handle in handles:
            handle.remove()
    zero, near, far = found
    spread = float((near - zero).std(0, correction=0).mean()) * abs(_FAR)
    change = float((far - zero - _FAR * (near - zero)).abs().mean())
    return change / spread if spread > 0 and math.isfinite(change) else math.nan


def answer(made: Copy, inputs: Tensor, seed: int = 0) -> Tensor | None:
    """The outputs for some inputs; what is drawn inside is drawn alike each time."""
    reseed(seed, inputs.device.type)
    given = inputs if inputs.requires_grad else inputs.clone()  # a network may work in place
    return first_tensor(made.model(given))
