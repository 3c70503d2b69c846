"""What each operation of a network says about the axes of the tensors it touches.

A rule is given a :class:`Tensors` (the axes known so far), the operation's arguments and its result. It unifies axes
that the operation pairs, passes on those that it keeps, and freezes those whose order it sees. An operation without a
rule freezes everything it touches. Here are the rules of what only moves entries about; those of what computes stand in
:mod:`orograph.connect.layer_rules`. Rules are keyed by the names of PyTorch's own operators, at the level at which all
of its libraries arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from orograph.connect.factors import Axis, Factor, cut, freeze, product_of, sum_of, unify


class Tensors(Protocol):
    """The axes of the tensors seen so far."""

    def axes(self, tensor: Tensor) -> list[Axis]: ...

    def keep(self, tensor: Tensor, axes: Sequence[Axis]) -> None: ...


Rule = Callable[[Tensors, str, tuple[Any, ...], Any], None]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a function for the operators ``names``."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def apply_rule(seen: Tensors, operator: Any, arguments: tuple[Any, ...], result: Any) -> None:
    """Apply the rule of ``operator``, whose ``arguments`` stand in the order of its schema, defaults filled in."""
    name = operator._schema.name.removeprefix("aten::")
    bare = name.rstrip("_") if not name.startswith("_") else "_" + name.strip("_")
    found = RULES.get(name) or RULES.get(bare)
    if found is None and torch.Tag.pointwise in operator.tags:
        found = pointwise
    (found or unknown)(seen, name, arguments, result)


def unknown(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """Freeze all."""
    for tensor in [*tensors_in(arguments), *tensors_in(result)]:
        for axis in seen.axes(tensor):
            freeze(axis, name)


def pointwise(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """Entry by entry, with broadcasting: trailing axes are paired, those of one entry ask for nothing."""
    given = [seen.axes(tensor) for tensor in tensors_in(arguments)]
    for tensor in tensors_in(result):
        axes: list[Axis] = []
        for place in range(1, tensor.dim() + 1):
            size = tensor.shape[-place]
            paired = [own[-place] for own in given if len(own) >= place and size_of(own[-place]) == size]
            for other in paired[1:]:
                unify(paired[0], other, name)
            axes.append(paired[0] if paired else fresh(size))
        seen.keep(tensor, axes[::-1])


@rule("clone", "detach", "alias", "_to_copy", "contiguous", "lift_fresh", "dropout", "_softmax", "_log_softmax",
      "softmax", "log_softmax", "native_dropout", "view_as_real_copy")  # fmt: skip
def unchanged(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """The same axes: copies, and softmax, whose entries permute as its input's do."""
    for tensor in tensors_in(result):
        seen.keep(tensor, seen.axes(arguments[0]))


@rule("t", "transpose", "permute", "numpy_T")
def reordered(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    axes = seen.axes(arguments[0])
    if name.startswith("permute"):
        order = [place % len(axes) for place in arguments[1]]
    else:
        order = list(range(len(axes)))
        one, other = (arguments[1], arguments[2]) if name.startswith("transpose") else (0, -1)
        if order:
            order[one], order[other] = order[other], order[one]
    seen.keep(result, [axes[place] for place in order])


@rule("view", "_unsafe_view", "reshape", "_reshape_alias", "_reshape_copy", "unsqueeze", "squeeze", "view_copy",
      "flatten", "unflatten")  # fmt: skip
def reshaped(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """The row-major order of entries stays, so both lists of factors are one."""
    axes = [fresh(size) for size in result.shape]
    before = [factor for axis in seen.axes(arguments[0]) for factor in axis]
    unify(before, [factor for axis in axes for factor in axis], name)
    seen.keep(result, axes)


@rule("expand", "repeat")
def copies(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """New axes, and those of one entry, become copies, which have no order of their own."""
    given = seen.axes(arguments[0])
    axes: list[Axis] = [[] for _ in range(result.dim() - len(given))] + given
    found = []
    for axis, size in zip(axes, result.shape, strict=True):
        times = size // max(size_of(axis), 1)
        found.append([*fresh(times), *axis])
    seen.keep(result, found)


@rule("full", "zeros", "ones", "empty", "new_zeros", "new_ones", "new_full", "new_empty", "zeros_like", "ones_like",
      "full_like", "empty_like", "new_empty_strided", "empty_strided", "scalar_tensor")  # fmt: skip
def uniform(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """All entries are alike."""
    seen.keep(result, [fresh(size) for size in result.shape])


@rule("copy")
def copied(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    own, other = seen.axes(arguments[0]), seen.axes(arguments[1])
    for mine, yours in zip(reversed(own), reversed(other), strict=False):
        if size_of(mine) == size_of(yours):
            unify(mine, yours, name)
    seen.keep(result, own)


@rule("fill", "zero", "_assert_async", "_assert_tensor_metadata", "sym_size", "_version")
def nothing(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """Nothing is asked of any axis."""


@rule("cat", "concat")
def concatenated(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """One axis is the sum of the tensors' own; the others are paired."""
    tensors = [tensor for tensor in arguments[0] if tensor.dim() == result.dim()]
    place = int(arguments[1] if len(arguments) > 1 else 0) % result.dim()
    every = [seen.axes(tensor) for tensor in tensors]
    axes = list(every[0])
    for own in every[1:]:
        for index, axis in enumerate(own):
            if index != place:
                unify(axes[index], axis, name)
    axes[place] = [sum_of([product_of(own[place]) if own[place] else Factor(1) for own in every])]
    seen.keep(result, axes)


@rule("stack")
def stacked(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    every = [seen.axes(tensor) for tensor in arguments[0]]
    for own in every[1:]:
        for one, other in zip(every[0], own, strict=True):
            unify(one, other, name)
    place = int(arguments[1] if len(arguments) > 1 else 0) % result.dim()
    axes = list(every[0])
    axes.insert(place, frozen(len(every), name))
    seen.keep(result, axes)


@rule("glu")
def gated(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """One half of the axis opens and closes the other."""
    axes = seen.axes(arguments[0])
    place, half = int(arguments[1]) % result.dim(), result.shape[int(arguments[1])]
    first, second = (cut(axes[place], start, start + half, name) for start in (0, half))
    unify(first, second, name)
    seen.keep(result, [*axes[:place], first, *axes[place + 1 :]])


@rule(
    "split",
    "split_with_sizes",
    "unsafe_split",
    "unsafe_chunk",
    "unsafe_split_with_sizes",
    "chunk",
    "tensor_split",
    "slice",
    "narrow",
    "select",
    "unbind",
    "constant_pad_nd",
)
def parted(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """An axis falls into parts, or becomes one; entries that are picked by number keep their order."""
    axes = seen.axes(arguments[0])
    if name == "constant_pad_nd":
        seen.keep(result, _padded(axes, arguments[1], name))
        return
    where = {"slice": 1, "select": 1, "narrow": 1, "unbind": 1}.get(name, 2)
    place = int(arguments[where] if len(arguments) > where else 0) % max(len(axes), 1)
    before, after = axes[:place], axes[place + 1 :]
    if name in ("select", "unbind"):
        freeze(axes[place], name)
        for tensor in tensors_in(result):
            seen.keep(tensor, [*before, *after])
        return
    offset = 0
    if name == "narrow":
        offset = int(arguments[2])
    if name == "slice":
        size, start, step = size_of(axes[place]), arguments[2] or 0, arguments[4] if len(arguments) > 4 else 1
        offset = min(max(start + size if start < 0 else start, 0), size)
        if step != 1:
            freeze(axes[place], name)
            seen.keep(result, [*before, frozen(result.shape[place], name), *after])
            return
    for tensor in tensors_in(result):
        stop = offset + tensor.shape[place]
        part = cut(axes[place], offset, stop, name) if tensor.shape[place] else []
        seen.keep(tensor, [*before, part if tensor.shape[place] != 1 else [], *after])
        offset = stop


def _padded(axes: list[Axis], pads: Sequence[int], name: str) -> list[Axis]:
    found = list(axes)
    for index in range(len(pads) // 2):
        low, high = pads[2 * index], pads[2 * index + 1]
        place = len(axes) - 1 - index
        if low < 0 or high < 0:
            freeze(axes[place], name)
            found[place] = frozen(size_of(axes[place]) + low + high, name)
        elif low or high:
            middle = product_of(axes[place]) if axes[place] else Factor(1)
            found[place] = [sum_of([*frozen(low, name), middle, *frozen(high, name)])]
    return found


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in an argument or result, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)


def fresh(size: int) -> Axis:
    """An axis of which nothing is known yet."""
    return [Factor(size)] if size != 1 else []


def frozen(size: int, reason: str) -> Axis:
    """An axis whose entries keep their order."""
    return [Factor(size, reason)] if size > 1 else [Factor(1)] if size else []


def size_of(axis: Axis) -> int:
    """How many entries an axis has."""
    return int(torch.Size([factor.size for factor in axis]).numel()) if axis else 1
