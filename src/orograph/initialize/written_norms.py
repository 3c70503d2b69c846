"""Norm layers written out in elementary operations, for derivatives of third order.

PyTorch's own layer and batch norm (in training mode) have first and second derivatives that are right, and third ones
that are silently wrong: the statistics saved by the forward pass count as constants there (pytorch issues 175754 and
186256, seen with 2.13). Inside :func:`written_norms` every call of them is replaced, wherever in a network it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


def layer_norm(
    x: Tensor,
    shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
    **__: Any,
) -> Tensor:
    """As ``F.layer_norm``: over the last axes, whose sizes are ``shape``."""
    found = _standardised(x, tuple(range(-len(shape), 0)), eps)
    return _shifted(found, weight, bias)


def group_norm(
    x: Tensor, groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5, *_: Any
) -> Tensor:
    """As ``F.group_norm``: over the channels of a group and all positions."""
    grouped = x.reshape(len(x), groups, -1)
    return _shifted(_standardised(grouped, (2,), eps).reshape(x.shape), _by_channel(weight, x), _by_channel(bias, x))


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As ``F.batch_norm``, but that running statistics are read and never written."""
    if training or running_mean is None or running_var is None:
        found = _standardised(x, (0, *range(2, x.dim())), eps)
    else:
        mean, var = _by_channel(running_mean, x), _by_channel(running_var, x)
        assert mean is not None
        assert var is not None
        found = (x - mean) * (var + eps).rsqrt()
    return _shifted(found, _by_channel(weight, x), _by_channel(bias, x))


def instance_norm(
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As ``F.instance_norm``, but that running statistics are read and never written."""
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    found = _standardised(x, tuple(range(2, x.dim())), eps)
    return _shifted(found, _by_channel(weight, x), _by_channel(bias, x))


_WRITTEN: dict[Callable[..., Any], Callable[..., Tensor]] = {
    F.layer_norm: layer_norm,
    torch.layer_norm: layer_norm,
    F.group_norm: group_norm,
    torch.group_norm: group_norm,
    F.batch_norm: batch_norm,
    F.instance_norm: instance_norm,
}


class _Written(TorchFunctionMode):
    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _WRITTEN.get(function, function)(*args, **_named(function, kwargs or {}))


@contextmanager
def written_norms() -> Iterator[None]:
    """Compute norm layers by elementary operations for the length of a block."""
    with _Written():
        yield


def _named(function: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments by the names that they have here."""
    if function not in _WRITTEN:
        return given
    other = {"input": "x", "normalized_shape": "shape", "num_groups": "groups"}
    return {other.get(name, name): value for name, value in given.items()}


def _standardised(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    centred = x - x.mean(axes, keepdim=True)
    return centred * (centred.square().mean(axes, keepdim=True) + eps).rsqrt()


def _shifted(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    scaled = x if weight is None else x * weight
    return scaled if bias is None else scaled + bias


def _by_channel(values: Tensor | None, x: Tensor) -> Tensor | None:
    return None if values is None else values.reshape(1, -1, *([1] * (x.dim() - 2)))
