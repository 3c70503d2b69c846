"""What every layer puts out on a batch, in the order in which layers run, and the gradients by it.

Modules are watched by hooks; activations that are called as functions (``F.relu``, ``torch.tanh``) by a mode that sees
function calls. A module that runs twice has two readings. Everything is computed where the tensors are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from orograph.results.diagnosis import LayerReading

_FUNCTIONS: dict[Any, str] = {
    F.relu: "ReLU", torch.relu: "ReLU", Tensor.relu: "ReLU", F.relu_: "ReLU", torch.relu_: "ReLU", Tensor.relu_: "ReLU",
    torch.sigmoid: "Sigmoid", F.sigmoid: "Sigmoid", Tensor.sigmoid: "Sigmoid",
    torch.tanh: "Tanh", F.tanh: "Tanh", Tensor.tanh: "Tanh", F.softmax: "Softmax", torch.softmax: "Softmax",
    Tensor.softmax: "Softmax", F.scaled_dot_product_attention: "Attention",
}  # fmt: skip
_WHOLE = (nn.MultiheadAttention, nn.RNNBase)


@dataclass
class Reading:
    """One layer's output, by reference, while the pass is fresh."""

    layer: str
    kind: str
    output: Tensor
    gradient: Tensor | None = None


@dataclass
class Watch:
    """Readings in the order in which layers ran, and what the whole network got and gave.

    ``inputs`` is a tensor where that is all it got, else None.
    """

    readings: list[Reading] = field(default_factory=list)
    inputs: Tensor | None = None
    outputs: Any = None
    passes: int = 0  # how often the whole network ran


class _Functions(TorchFunctionMode):
    def __init__(self, note: Callable[[str, Tensor], None]) -> None:
        super().__init__()
        self._note = note

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if function in _FUNCTIONS and isinstance(result, Tensor):
            self._note(_FUNCTIONS[function], result)
        return result


@contextmanager
def watching(model: nn.Module, *, gradients: bool = True) -> Iterator[Watch]:
    """Note what every layer puts out while the block runs; with ``gradients`` those of a backward pass too.

    What runs within a ScriptModule is not seen.
    """
    watch = Watch()
    inside: list[str] = []
    counts: dict[str, int] = {}
    handles: list[Any] = []

    def note(name: str, kind: str, output: Any) -> None:
        tensor = first_tensor(output)
        if tensor is None or not tensor.is_floating_point():
            return
        counts[name] = counts.get(name, 0) + 1
        reading = Reading(name if counts[name] == 1 else f"{name}#{counts[name]}", kind, tensor.detach())
        watch.readings.append(reading)
        if gradients and tensor.requires_grad:

            def keep(gradient: Tensor) -> None:
                reading.gradient = gradient.detach()

            handles.append(tensor.register_hook(keep))  # type: ignore[no-untyped-call]

    def enter(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any) -> None:
            inside.append(name)

        return hook

    def leave(name: str, leaf: bool) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if inside:
                inside.pop()
            if leaf:
                note(name, type(module).__name__, output)
            if name == "":
                watch.outputs = output
                watch.passes += 1

        return hook

    def called(kind: str, output: Tensor) -> None:
        if not inside:
            return  # a loss, or a teacher's network
        place = inside[-1]
        module = modules.get(place)
        if module is None or not is_leaf(module):
            note(f"{place}.{kind.lower()}".lstrip("."), kind, output)

    def given(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        alone = [*args, *kwargs.values()]
        watch.inputs = alone[0].detach().clone() if len(alone) == 1 and isinstance(alone[0], Tensor) else None

    # A ScriptModule takes no hooks.
    modules = {n: m for n, m in model.named_modules() if not isinstance(m, torch.jit.ScriptModule)}
    try:
        handles.append(model.register_forward_pre_hook(given, with_kwargs=True))
        for name, module in modules.items():
            handles.append(module.register_forward_pre_hook(enter(name)))
            handles.append(module.register_forward_hook(leave(name, is_leaf(module))))
        with _Functions(called):
            yield watch
    finally:
        for handle in handles:
            handle.remove()


def is_leaf(module: nn.Module) -> bool:
    """Whether a module is watched as one layer: it has no children, or its children never run by themselves."""
    return isinstance(module, _WHOLE) or not any(True for _ in module.children())


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor of a layer's output."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, (tuple, list)):
        return next((found for part in output if (found := first_tensor(part)) is not None), None)
    inner = getattr(output, "logits", None)
    return inner if isinstance(inner, Tensor) else None


@torch.no_grad()
def reading_of(one: Reading, examples: int) -> LayerReading:
    """The statistics of a layer's output; those of finite entries where some are not."""
    x = one.output.float() if one.output.dtype in (torch.float16, torch.bfloat16) else one.output
    finite = torch.isfinite(x)
    bad = int((~finite).sum())
    values = x[finite] if bad else x.reshape(-1)
    if not values.numel():
        nan = float("nan")
        return LayerReading(one.layer, one.kind, nan, nan, nan, nan, nan, nan, nan, nan, bad)
    rms = float("nan")
    if one.gradient is not None:
        rms = float(one.gradient.float().square().mean().sqrt())
    return LayerReading(
        layer=one.layer,
        kind=one.kind,
        mean=float(values.mean()),
        std=float(values.std(correction=0)),
        rms=float(values.square().mean().sqrt()),
        largest=float(values.abs().max()),
        zeros=float((values == 0).float().mean()),
        dead=_dead(x),
        saturated=_saturated(one.kind, values),
        between=between(x, examples),
        not_finite=bad,
        gradient_rms=rms,
    )


def units_last(x: Tensor) -> Tensor:
    """(entries, units): channels of images stand second, features of all else last."""
    if x.dim() < 2:
        return x.reshape(-1, 1)
    return x.transpose(1, -1).reshape(-1, x.shape[1]) if x.dim() >= 4 else x.reshape(-1, x.shape[-1])


def between(x: Tensor, examples: int) -> float:
    """The share of a layer's standard deviation that lies between examples, 0 to 1; NaN where rows are no examples.

    Mean over features of the standard deviation over examples, over that of all entries.
    """
    if x.dim() < 2 or x.shape[0] != examples or examples < 2:
        return float("nan")
    flat = x.reshape(examples, -1).float()
    whole = float(flat.std(correction=0))
    return float(flat.std(0, correction=0).mean()) / whole if whole > 0 else 0.0


def _dead(x: Tensor) -> float:
    units = units_last(x)
    return float((units == 0).all(0).float().mean()) if units.numel() else 0.0


def _saturated(kind: str, values: Tensor) -> float:
    if kind == "Sigmoid":
        return float(((values < 0.02) | (values > 0.98)).float().mean())
    if kind == "Tanh":
        return float((values.abs() > 0.98).float().mean())
    return 0.0
