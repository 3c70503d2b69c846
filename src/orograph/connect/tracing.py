"""A network's operations as they run: one forward pass on a few examples, overheard.

Whatever the network is written in, all its arithmetic arrives at PyTorch's dispatcher, where a mode sees every operator
with its tensors. So reshapes, functional calls and control flow need no source code; tracing costs one pass. Control
flow that depends on the data is refused. What a network computes elsewhere (NumPy, an extension without operators) is
not seen; the proof that follows (:mod:`orograph.connect.proof`) does not let that pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from orograph.basics.errors import ModelError, in_a_line
from orograph.connect import layer_rules  # noqa: F401  registers its rules
from orograph.connect.factors import Axis, Factor, freeze
from orograph.connect.operators import apply_rule, tensors_in
from orograph.objective.example import Overhearing, outputs_in, plain_attention, run

_READS = ("_local_scalar_dense", "is_nonzero", "equal")  # what item(), if and float() become
_PRODUCTS = ("convolution", "addmm", "mm", "linear", "bmm", "_convolution", "addmv", "mv")


@dataclass
class Tap:
    """An operation that a named tensor takes part in: its number in the pass, and the axes of its first result."""

    number: int
    axes: list[Axis]
    sources: tuple[str, ...]


@dataclass
class Trace:
    """What a pass revealed: the axes of every named tensor, where units appear, and which rows have no scale.

    ``scale_free`` names the weights whose product goes straight into batch norm, which undoes the scale of each row.
    """

    axes: dict[str, list[Axis]]
    taps: list[Tap] = field(default_factory=list)
    scale_free: set[str] = field(default_factory=set)


class _Listener(Overhearing):  # type: ignore[no-untyped-call]
    """Applies the rules as operators run."""

    def __init__(self, named: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = Trace({name: [[Factor(size)] for size in tensor.shape] for name, tensor in named.items()})
        self.number = 0
        self._axes: dict[int, list[Axis]] = {}
        self._alive: list[Tensor] = []  # so that no identity is given twice
        self._from_input: set[int] = set()
        self._named: dict[int, str] = {}  # tensors that are, or show, a named one
        self._made_by: dict[int, Tap] = {}
        for name, tensor in named.items():
            self.keep(tensor, self.trace.axes[name])
            self._named[id(tensor)] = name

    def axes(self, tensor: Tensor) -> list[Axis]:
        """Those known; a tensor from elsewhere is a constant, whose entries keep their order."""
        if id(tensor) not in self._axes:
            self.keep(tensor, [[Factor(size, "a constant")] for size in tensor.shape])
        return self._axes[id(tensor)]

    def keep(self, tensor: Tensor, axes: Sequence[Axis]) -> None:
        """Note the axes of a tensor."""
        self._axes[id(tensor)] = list(axes)
        self._alive.append(tensor)

    def given(self, tensor: Tensor) -> None:
        """Note an input of the network, whose entries keep their order."""
        self.keep(tensor, [[Factor(size, "the network's inputs")] for size in tensor.shape])
        self._from_input.add(id(tensor))

    def freeze(self, tensors: Any, reason: str) -> None:
        """Freeze every axis of some tensors."""
        for tensor in tensors:
            for axis in self.axes(tensor):
                freeze(axis, reason)

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = operator(*args, **kwargs)
        arguments = _in_order(operator, args, kwargs)
        name = operator._schema.name.removeprefix("aten::")
        if any(id(tensor) in self._from_input for tensor in tensors_in(arguments)):
            if name in _READS:
                raise ModelError(
                    f"the network cannot be traced: operation {self.number} ({name}) reads a value that depends on the "
                    "input into Python (item, if, float), so other inputs may go another way; give the groups by hand "
                    "(groups= in Python)"
                )
            for tensor in tensors_in(result):
                self._alive.append(tensor)
                self._from_input.add(id(tensor))
        apply_rule(self, operator, arguments, result)
        self._note(name, arguments, result)
        self.number += 1
        return result

    def _note(self, name: str, arguments: tuple[Any, ...], result: Any) -> None:
        sources = tuple(self._named[id(t)] for t in tensors_in(arguments) if id(t) in self._named)
        first = next(tensors_in(result), None)
        if not sources or first is None:
            return
        if name in ("t", "detach", "transpose", "permute", "view", "_to_copy", "alias", "expand"):
            self._named.setdefault(id(first), sources[0])
            return
        if "batch_norm" in name:
            before = self._made_by.get(id(arguments[0]))
            if before is not None:  # its own result says it all
                self.trace.scale_free.update(before.sources[:1])
                self.trace.taps.remove(before)
        tap = Tap(self.number, self.axes(first), sources)
        if name in _PRODUCTS:
            weights = [source for source in sources if len(self.trace.axes[source]) > 1]
            self._made_by[id(first)] = Tap(self.number, tap.axes, tuple(weights))
            tap = self._made_by[id(first)]
        self.trace.taps.append(tap)


class _Eavesdropper(Overhearing):  # type: ignore[no-untyped-call]
    """Hands the first result of chosen operations to a function."""

    def __init__(self, wanted: Mapping[int, Any], receive: Callable[[int, Tensor], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.wanted, self.receive, self.number = wanted, receive, 0

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = operator(*args, **(kwargs or {}))
        if self.number in self.wanted:
            self.receive(self.number, next(tensors_in(result)))
        self.number += 1
        return result


def trace_network(model: nn.Module, example: Any) -> Trace:
    """Overhear one pass of ``model`` (in evaluation mode) over ``example``.

    Raises ModelError, naming the operation, where the network does not run, or where Python reads a value that depends
    on the input: what runs next is then known for this example alone.
    """
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    listener = _Listener(named)
    for leaf in tree_leaves(example):
        if isinstance(leaf, Tensor):
            listener.given(leaf)
    with torch.no_grad(), plain_attention(), listener:
        try:
            outputs = run(model, example)
        except ModelError:
            raise
        except Exception as error:
            reason = in_a_line(error)
            raise ModelError(f"the network cannot be traced: operation {listener.number} failed ({reason})") from error
    listener.freeze(outputs_in(outputs), "the network's outputs")
    return listener.trace


def overhear(model: nn.Module, example: Any, wanted: Mapping[int, Any], receive: Callable[[int, Tensor], None]) -> None:
    """Run ``model`` on ``example`` and hand the results of the operations numbered in ``wanted`` to ``receive``."""
    with torch.no_grad(), plain_attention(), _Eavesdropper(wanted, receive):
        run(model, example)


def _in_order(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The arguments in the order of the operator's schema, defaults filled in."""
    expected = operator._schema.arguments
    rest = [kwargs.get(a.name, a.default_value) for a in expected[len(args) :]]
    return (*args, *rest)
