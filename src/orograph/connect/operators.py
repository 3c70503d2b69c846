"""What each operation of a network says about the axes of the tensors it touches.

A rule is given a :class:`Tensors` (the axes known so far), the operation's arguments and its result. It unifies axes
that the operation pairs, passes on those that it keeps, and freezes those whose order it sees. An operation without a
rule freezes everything it touches. Rules are keyed by the names of PyTorch's own operators, at the level at which all
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
            paired = [own[-place] for own in given if len(own) >= place and _size(own[-place]) == size]
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
        times = size // max(_size(axis), 1)
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
        if _size(mine) == _size(yours):
            unify(mine, yours, name)
    seen.keep(result, own)


@rule("fill", "zero", "_assert_async", "_assert_tensor_metadata", "sym_size", "_version")
def nothing(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """Nothing is asked of any axis."""


@rule("mm", "bmm", "mv", "dot", "addmm", "baddbmm", "addmv", "addbmm", "linear")
def product(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """The contracted axes are paired, the others pass; batches are paired."""
    added = None
    if name == "linear":
        left, right, added = seen.axes(arguments[0]), seen.axes(arguments[1])[::-1], arguments[2]
    elif name.startswith(("add", "badd")):
        added, left, right = arguments[0], seen.axes(arguments[1]), seen.axes(arguments[2])
    else:
        left, right = seen.axes(arguments[0]), seen.axes(arguments[1])
    batches = len(right) - 2 if len(right) > 2 else 0
    unify(left[-1], right[batches], name)
    for one, other in zip(left[:batches], right[:batches], strict=False):
        unify(one, other, name)
    axes = left[:-1] + right[batches + 1 :]
    for own, axis in zip(reversed(seen.axes(added) if added is not None else []), reversed(axes), strict=False):
        if _size(own) == _size(axis):
            unify(own, axis, name)
    seen.keep(result, axes)


@rule("convolution", "_convolution", "mkldnn_convolution", "cudnn_convolution", "conv1d", "conv2d", "conv3d")
def convolved(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """Channels are groups times channels of a group; the places of a picture keep their order."""
    data, weight, bias = (seen.axes(a) if isinstance(a, Tensor) else None for a in arguments[:3])
    transposed, groups = (bool(arguments[6]), int(arguments[8])) if "convolution" in name and len(arguments) > 8 else (
        False, int(arguments[-1]))  # fmt: skip
    assert data is not None
    assert weight is not None
    for axis in [*data[-(len(weight) - 2) :], *weight[2:]]:
        freeze(axis, name)
    channels = data[-(len(weight) - 1)]
    outer, inner = (weight[0], weight[1]) if not transposed else (weight[1], weight[0])
    if groups == 1:
        unify(channels, inner, name)
        made = outer
    else:
        group = fresh(groups)
        if transposed:  # weight (in, out / groups): in is groups times the inputs of one
            unify(channels, weight[0], name)
            unify(weight[0], [*group, *fresh(_size(weight[0]) // groups)], name)
            made = [*group, *weight[1]]
        else:
            unify(channels, [*group, *weight[1]], name)
            unify(weight[0], [*group, *fresh(_size(weight[0]) // groups)], name)
            made = weight[0]
    if bias is not None:
        unify(bias[0], made, name)
    batch = data[: len(data) - len(weight) + 1]
    seen.keep(result, [*batch, made, *(frozen(size, name) for size in result.shape[len(batch) + 1 :])])


@rule("native_batch_norm", "_native_batch_norm_legit_no_training", "_native_batch_norm_legit", "cudnn_batch_norm",
      "_batch_norm_no_update", "_batch_norm_with_update", "batch_norm", "miopen_batch_norm", "instance_norm",
      "_batch_norm_impl_index")  # fmt: skip
def batch_norm(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """Scale, shift and both statistics go by channels."""
    axes = seen.axes(arguments[0])
    for tensor in arguments[1:5]:
        if isinstance(tensor, Tensor):
            unify(axes[1], seen.axes(tensor)[0], name)
    for tensor in tensors_in(result):
        seen.keep(tensor, axes if tensor.dim() == len(axes) else [axes[1] if _size(axes[1]) == s else frozen(s, name)
                                                                  for s in tensor.shape])  # fmt: skip


@rule("native_layer_norm", "layer_norm", "_fused_rms_norm", "rms_norm")
def layer_norm(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """Statistics over the normalised axes do not see their order; scale and shift go by them."""
    axes = seen.axes(arguments[0])
    for tensor in tensors_in(arguments[2:]):
        for own, axis in zip(reversed(seen.axes(tensor)), reversed(axes), strict=False):
            unify(own, axis, name)
    kept = len(axes) - len(arguments[1])
    for tensor in tensors_in(result):
        whole = tensor.shape[kept:] == arguments[0].shape[kept:]
        seen.keep(tensor, axes if whole else [*axes[:kept], *([] for _ in axes[kept:])])


@rule("native_group_norm", "group_norm")
def group_norm(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """Groups may change places, and so may the channels of all groups alike."""
    axes = seen.axes(arguments[0])
    groups = int(arguments[6] if name.startswith("native") else arguments[1])
    unify(axes[1], [*fresh(groups), *fresh(_size(axes[1]) // groups)], name)
    scales = arguments[1:3] if name.startswith("native") else arguments[2:4]
    for tensor in tensors_in(scales):
        unify(axes[1], seen.axes(tensor)[0], name)
    for tensor in tensors_in(result):
        own = axes if tensor.dim() == len(axes) else [frozen(size, name) for size in tensor.shape]
        seen.keep(tensor, own)


@rule("max_pool2d_with_indices", "max_pool1d", "max_pool2d", "max_pool3d", "max_pool3d_with_indices", "avg_pool1d",
      "avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_avg_pool1d",
      "adaptive_avg_pool2d", "adaptive_max_pool2d", "adaptive_max_pool3d", "upsample_nearest1d", "upsample_nearest2d",
      "upsample_nearest3d", "upsample_bilinear2d", "upsample_linear1d", "upsample_bicubic2d", "upsample_trilinear3d",
      "mkldnn_max_pool2d", "max_pool1d_with_indices", "reflection_pad2d", "replication_pad2d")  # fmt: skip
def pooled(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """Examples and channels pass, places keep their order."""
    axes = seen.axes(arguments[0])
    spatial = 1 if "1d" in name else 3 if "3d" in name else 2
    for axis in axes[-spatial:]:
        freeze(axis, name)
    for tensor in tensors_in(result):
        seen.keep(tensor, axes[:-spatial] + [frozen(size, name) for size in tensor.shape[-spatial:]])


@rule("sum", "mean", "amax", "amin", "var", "var_mean", "std", "std_mean", "logsumexp", "linalg_vector_norm", "norm",
      "prod", "any", "all", "nansum")  # fmt: skip
def reduced(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """The reduced axes are gone, whatever their order; the others pass."""
    axes, gone = seen.axes(arguments[0]), _reduced_places(name, arguments)
    for tensor in tensors_in(result):
        if tensor.dim() == len(axes):  # keepdim
            seen.keep(tensor, [[] if place in gone else axis for place, axis in enumerate(axes)])
        else:
            seen.keep(tensor, [axis for place, axis in enumerate(axes) if place not in gone])


def _reduced_places(name: str, arguments: tuple[Any, ...]) -> set[int]:
    rank = arguments[0].dim()
    which = arguments[2] if name in ("linalg_vector_norm", "norm") and len(arguments) > 2 else (
        arguments[1] if len(arguments) > 1 else None)  # fmt: skip
    if isinstance(which, int) and not isinstance(which, bool):
        which = [which]
    return {place % rank for place in which} if isinstance(which, (list, tuple)) and which else set(range(rank))


@rule("embedding")
def embedded(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """The rows of the table are addressed by number; its columns pass."""
    rows, columns = seen.axes(arguments[0])
    freeze(rows, name)
    seen.keep(result, [*seen.axes(arguments[1]), columns])


@rule("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
      "_scaled_dot_product_efficient_attention", "_scaled_dot_product_attention_math", "scaled_dot_product_attention",
      "_scaled_dot_product_cudnn_attention", "_scaled_dot_product_fused_attention_overrideable")  # fmt: skip
def attention(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    """Entries of queries and keys are paired, those of values pass; tokens keep their order where a mask sees it."""
    query, key, value = (seen.axes(tensor) for tensor in arguments[:3])
    unify(query[-1], key[-1], name)
    unify(key[-2], value[-2], name)
    for one, two, three in zip(query[:-2], key[:-2], value[:-2], strict=True):
        unify(one, two, name)
        unify(one, three, name)
    if any(argument is True for argument in arguments) or len(list(tensors_in(arguments))) > 3:
        for axis in (query[-2], key[-2], *(a for t in tensors_in(arguments[3:]) for a in seen.axes(t))):
            freeze(axis, name)
    for tensor in tensors_in(result):
        if tensor.dim() == len(query):
            seen.keep(tensor, [*query[:-1], value[-1]])


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
        size, start, step = _size(axes[place]), arguments[2] or 0, arguments[4] if len(arguments) > 4 else 1
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
            found[place] = frozen(_size(axes[place]) + low + high, name)
        elif low or high:
            middle = product_of(axes[place]) if axes[place] else Factor(1)
            found[place] = [sum_of([*frozen(low, name), middle, *frozen(high, name)])]
    return found


@rule("_weight_norm_interface")
def weight_norm(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    direction, length = seen.axes(arguments[0]), seen.axes(arguments[1])
    for one, other in zip(direction, length, strict=True):
        if _size(one) == _size(other):
            unify(one, other, name)
    for tensor, axes in zip(tensors_in(result), (direction, length), strict=False):
        seen.keep(tensor, axes)


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


def _size(axis: Axis) -> int:
    return int(torch.Size([factor.size for factor in axis]).numel()) if axis else 1
