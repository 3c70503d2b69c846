"""On what the outputs of a network depend: other examples of the batch, tokens that are still to come, all inputs or
a few, and whether in any other way than a single matrix could have it. A pass or two each; nothing is trained."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from orograph.diagnose.effect import answer, bent, unused
from orograph.diagnose.patient import Copy
from orograph.initialize.probing import probing
from orograph.initialize.slots import slots_of

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class Dependence:
    """How outputs depend on what goes in; NaN where that could not be tried.

    ``others``: largest change of an example's outputs when the rest of its batch is replaced, over the spread of
    outputs. ``future``: the same for a position of a sequence when later tokens change. ``unused``: the share of the
    varying inputs (of positions, where inputs are tokens) that no output depends on; ``cut``: of those that outputs
    depend on, and by which they have no gradient. ``bent``: how far the features
    before the last weights are from a linear function of the inputs, over their spread. ``order``: how far outputs
    change, but for their own order, when the places of a sequence change theirs. ``chance``: how far they change in
    evaluation with the random numbers alone; NaN where places are drawn. ``entering``: mean, standard deviation and
    largest absolute value of what the first layer with weights gets. ``columns``: whether outputs keep to their place
    on the second axis, where they do not on the first.
    """

    others: float = 0.0
    future: float = math.nan
    unused: float = math.nan
    cut: float = 0.0
    bent: float = math.nan
    order: float = math.nan
    chance: float = math.nan
    entering: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    columns: bool = False


def dependence_of(made: Copy, inputs: Any, other: Any) -> Dependence:
    """All of them, for a network of one tensor; ``other`` are inputs like these. NaN (the first 0) where the network
    does not let itself be asked."""
    if not isinstance(inputs, Tensor) or inputs.dim() == 0:
        return Dependence()
    asked = {"future": _future, "bent": bent, "order": _order, "chance": _chance}
    found: dict[str, float] = {}
    for name, ask in asked.items():
        try:
            found[name] = ask(made, inputs)
        except Exception:  # a network that cannot take such inputs
            found[name] = math.nan
    try:
        idle, cut = unused(made, inputs)
    except Exception:
        idle, cut = math.nan, 0.0
    entering = _entering(made, inputs)
    others = _others(made, inputs, other)
    columns = others > 0 and _by_column(made, inputs)
    return Dependence(others=others, unused=idle, cut=cut, entering=entering, columns=columns, **found)


def _others(made: Copy, inputs: Tensor, others: Any) -> float:
    """0 where outputs have no row for each example, or the network keeps a state from call to call."""
    n = len(inputs)
    if n < 4:
        return 0.0
    if not isinstance(others, Tensor) or others.shape != inputs.shape:
        others = inputs.roll(n // 2, 0)  # halves change places
    half, worst = n // 2, 0.0
    with probing(made.model, norm="running"), _by_batch_only(made.model), torch.no_grad():
        try:
            one, again = answer(made, inputs), answer(made, inputs)
            if one is None or again is None or not torch.equal(one, again):
                return 0.0
            for kept in (slice(0, half), slice(half, n)):
                mixed = others.clone()
                mixed[kept] = inputs[kept]
                found = answer(made, mixed)
                if found is None or one.shape != found.shape or one.shape[0] != n:
                    return 0.0
                worst = max(worst, float((one[kept].float() - found[kept].float()).abs().max()))
        except Exception:
            return 0.0
    # Between examples, as offsets of the classes would hide it; what rounding can do is nothing.
    spread = float(one.float().reshape(n, -1).std(0, correction=0).mean())
    if not math.isfinite(worst) or worst <= 1e-5 * float(one.float().abs().max()):
        return 0.0
    return worst / spread if spread > 0 else math.inf


def _by_column(made: Copy, inputs: Tensor) -> bool:
    """Whether what happens along the second axis stays in its place, as where that is the axis of examples."""
    if inputs.dim() < 2 or inputs.shape[1] < 2:
        return False
    half = inputs.shape[1] // 2
    mixed = inputs.clone()
    mixed[:, half:] = inputs[:, half:].flip(0)
    with probing(made.model, norm="running"), torch.no_grad():
        try:
            one, found = answer(made, inputs), answer(made, mixed)
        except Exception:
            return False
    if one is None or found is None or one.shape[:2] != inputs.shape[:2] or found.shape != one.shape:
        return False
    away = float((one[:, :half].float() - found[:, :half].float()).abs().max())
    return away <= 1e-5 * float(one.float().abs().max())


@contextmanager
def _by_batch_only(model: nn.Module) -> Iterator[None]:
    """Batch norm without running statistics left out, by which examples influence each other on purpose."""
    of_batch = [m for m in model.modules() if isinstance(m, _BATCH_NORMS) and m.running_mean is None]
    handles = [layer.register_forward_hook(lambda layer, args, output: args[0]) for layer in of_batch]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _future(made: Copy, inputs: Tensor) -> float:
    """Of networks from tokens (n, length) to outputs (n, length, …) alone."""
    if inputs.is_floating_point() or inputs.dim() != 2 or inputs.shape[1] < 4:
        return math.nan
    length = inputs.shape[1]
    place = length // 2
    with probing(made.model, norm="running"), torch.no_grad():
        one, again = answer(made, inputs), answer(made, inputs)
        if one is None or again is None or one.dim() != 3 or one.shape[:2] != inputs.shape:
            return math.nan
        later = inputs.clone()
        later[:, place:] = later[:, place:].roll(1, 0)
        changed = (later != inputs).any(1)
        found = answer(made, later)
        if found is None or not torch.equal(one, again) or not bool(changed.any()):
            return math.nan
    spread = float(one.float().std(correction=0))
    change = float((one[changed, :place].float() - found[changed, :place].float()).abs().max())
    return change / spread if spread > 0 else math.nan


def _order(made: Copy, inputs: Tensor) -> float:
    """Of networks from sequences, (n, length) tokens or (n, length, features)."""
    if inputs.dim() != (3 if inputs.is_floating_point() else 2) or inputs.shape[1] < 3:
        return math.nan
    places = torch.randperm(inputs.shape[1], generator=torch.Generator().manual_seed(0)).to(inputs.device)
    if bool((inputs == inputs[:, places]).all()):
        return math.nan
    with probing(made.model, norm="running"), torch.no_grad():
        one, other = answer(made, inputs), answer(made, inputs[:, places])
    if one is None or other is None or one.shape != other.shape:
        return math.nan
    if one.dim() > 2 and one.shape[1] == inputs.shape[1]:
        one = one[:, places]
    spread = float(one.float().std(0, correction=0).mean())
    return float((one.float() - other.float()).abs().mean()) / spread if spread > 0 else math.nan


def _chance(made: Copy, inputs: Tensor) -> float:
    with probing(made.model, norm="running"), torch.no_grad():
        with _Draws() as draws:
            one = answer(made, inputs)
        other = answer(made, inputs, seed=1)
    if one is None or other is None or one.shape != other.shape or draws.places:
        return math.nan
    spread = float(one.float().std(correction=0))
    return float((one.float() - other.float()).abs().mean()) / spread if spread > 0 else math.nan


class _Draws(TorchFunctionMode):
    """Whether places are drawn, as neighbours of a graph's nodes or landmarks of attention: on purpose, mostly."""

    places = False

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (torch.randint, torch.randperm, torch.multinomial, Tensor.multinomial):
            self.places = True
        return function(*args, **(kwargs or {}))


def _entering(made: Copy, inputs: Tensor) -> tuple[float, float, float]:
    seen: list[Tensor] = []

    def note(module: nn.Module, args: Any) -> None:
        if args and isinstance(args[0], Tensor) and args[0].is_floating_point():
            seen.append(args[0].detach())

    layers = {id(slot.layer): slot.layer for slot in slots_of(made.model) if slot.parts}
    handles = [layer.register_forward_pre_hook(note) for layer in layers.values()]
    try:
        with probing(made.model), torch.no_grad():
            answer(made, inputs)
    except Exception:  # a network that cannot take these inputs
        return math.nan, math.nan, math.nan
    finally:
        for handle in handles:
            handle.remove()
    if not seen:
        return math.nan, math.nan, math.nan
    x = seen[0].float()
    return float(x.mean()), float(x.std(correction=0)), float(x.abs().max())
