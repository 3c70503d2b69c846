"""What the operations that compute say about axes: products, convolutions, norms, pooling, reductions, attention.

The rules of :mod:`orograph.connect.operators`, continued; those that only move entries stand there.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from orograph.connect.factors import freeze, unify
from orograph.connect.operators import Tensors, fresh, frozen, rule, size_of, tensors_in


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
        if size_of(own) == size_of(axis):
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
            unify(weight[0], [*group, *fresh(size_of(weight[0]) // groups)], name)
            made = [*group, *weight[1]]
        else:
            unify(channels, [*group, *weight[1]], name)
            unify(weight[0], [*group, *fresh(size_of(weight[0]) // groups)], name)
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
        seen.keep(tensor, axes if tensor.dim() == len(axes) else [axes[1] if size_of(axes[1]) == s else frozen(s, name)
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
    unify(axes[1], [*fresh(groups), *fresh(size_of(axes[1]) // groups)], name)
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


@rule("_weight_norm_interface")
def weight_norm(seen: Tensors, name: str, arguments: tuple[Any, ...], result: Any) -> None:
    direction, length = seen.axes(arguments[0]), seen.axes(arguments[1])
    for one, other in zip(direction, length, strict=True):
        if size_of(one) == size_of(other):
            unify(one, other, name)
    for tensor, axes in zip(tensors_in(result), (direction, length), strict=False):
        seen.keep(tensor, axes)
