"""The module that produced a NaN or infinity: all that went into it was finite, and what came out was not.

Most modules that put out NaN merely pass it on. In the backward pass it is the module whose incoming gradients are
finite and whose outgoing ones are not.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from orograph.objective.example import outputs_in


@dataclass(frozen=True)
class Producer:
    """``module`` is a path ("" is the network itself), ``phase`` forward or backward; ``share`` of its output that is
    not finite; ``low`` and ``high`` the range of what went in; ``hint`` what such inputs usually do."""

    module: str
    kind: str
    phase: str
    share: float
    low: float
    high: float
    shape: tuple[int, ...]
    dtype: str
    hint: str = ""


def first_producer(model: nn.Module, run: Callable[[], Tensor]) -> Producer | None:
    """The first module that turns finite inputs, parameters and buffers into something else while ``run`` computes a
    loss and, if that is finite, once more with its gradients. None where everything stays finite within modules.

    Of nested modules the innermost counts. Minus infinity alone is let pass (attention masks are made of it) unless a
    NaN or a loss that is not finite follows.
    """
    found: list[Producer] = []
    sound: dict[str, bool] = {}  # whether all that went in was finite, noted before a module may work in place
    handles: list[Any] = []

    def before(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
            sound[name] = all(finite(tensor) for tensor in [*given, *module.parameters(), *module.buffers()])

        return hook

    def forward(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            if found:
                return
            given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
            made = [tensor for tensor in outputs_in(output) if tensor.is_floating_point()]
            if all(map(finite, made)) or not sound.get(name, False):
                return
            found.append(_described(name, module, "forward", given, made))

        return hook

    def backward(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, outgoing: Any, incoming: Any) -> None:
            if found:
                return
            came = [g for g in incoming if isinstance(g, Tensor)]
            left = [g for g in outgoing if isinstance(g, Tensor)]
            if came and all(map(finite, came)) and not all(map(finite, left)):
                found.append(_described(name, module, "backward", came, left))

        return hook

    try:
        for name, module in model.named_modules():
            handles.append(module.register_forward_pre_hook(before(name), with_kwargs=True))
            handles.append(module.register_forward_hook(forward(name), with_kwargs=True))
        loss = run()
        if not finite(loss):
            nan = float("nan")
            itself = Producer("the loss function", "", "forward", 1.0, nan, nan, tuple(loss.shape), str(loss.dtype))
            return found[0] if found else itself
    finally:
        _remove(handles)
    # Again for the backward pass, whose hooks some modules that work in place do not bear.
    found.clear()
    with suppress(RuntimeError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for name, module in model.named_modules():
                if not any(True for _ in module.children()):
                    handles.append(module.register_full_backward_hook(backward(name)))
            run().backward()  # type: ignore[no-untyped-call]
        finally:
            _remove(handles)
    return found[0] if found else None


def _remove(handles: list[Any]) -> None:
    for handle in handles:
        handle.remove()
    handles.clear()


def finite(tensor: Tensor) -> bool:
    """Whether all entries are numbers."""
    real = tensor.is_floating_point() or tensor.is_complex()
    return not real or bool(torch.isfinite(tensor.to_dense() if tensor.is_sparse else tensor).all())


def _described(name: str, module: nn.Module, phase: str, given: list[Tensor], made: list[Tensor]) -> Producer:
    bad = next(tensor for tensor in made if not finite(tensor))
    values = [tensor.detach().float() for tensor in given if tensor.is_floating_point() and tensor.numel()]
    low = min((float(value.min()) for value in values), default=float("nan"))
    high = max((float(value.max()) for value in values), default=float("nan"))
    share = float((~torch.isfinite(bad)).float().mean())
    return Producer(
        name, type(module).__name__, phase, share, low, high, tuple(bad.shape), str(bad.dtype), _hint(bad, low, high)
    )


def _hint(bad: Tensor, low: float, high: float) -> str:
    if bad.dtype == torch.float16 and max(abs(low), abs(high)) > 200:
        return "float16 ends at 65,504; use bfloat16 or scale down"
    if high > 80:
        return "an exponential of such inputs overflows; subtract the maximum first, or use log_softmax"
    if low == 0 or (low < 0 < high and bool(torch.isinf(bad).any())):
        return "a division by, or a logarithm of, zero; add a small constant"
    if low < 0:
        return "a logarithm or root of a negative number; clamp the input"
    return ""
