"""What a layer's parameter is made of: kernels with a fan in and a fan out, whatever shape torch stores them in.

The fan in of a unit is how many inputs it sums; the fan out of an input is how many units it reaches. torch's own
``nn.init`` reads both off the tensor's shape, which is wrong where a tensor stacks several matrices (query, key and
value; the gates of a recurrent layer), is stored the other way round (transposed convolutions), or connects only within
groups. So fans are computed by the type of the layer here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True, eq=False)
class Part:
    """One kernel: ``values`` (out, in, *window) is a view of the parameter, on which ``copy_`` writes through."""

    values: Tensor
    fan_in: int
    fan_out: int


def parts_of(module: nn.Module, name: str, parameter: Tensor) -> list[Part]:
    """The kernels within ``module``'s own parameter ``name``; none where it is not what units sum their inputs by."""
    if parameter.is_complex():
        return []
    if isinstance(module, _TRANSPOSED) and name == "weight":
        # Stored as (in, out / groups, *window), the inputs of a group one below the other.
        return [_convolution(part.transpose(0, 1)) for part in parameter.chunk(module.groups)]
    if isinstance(module, _CONVOLUTIONS) and name == "weight":
        return [_convolution(part) for part in parameter.chunk(module.groups)]
    if isinstance(module, nn.Linear) and name == "weight":
        return [_matrix(parameter)]
    if isinstance(module, nn.Bilinear) and name == "weight":
        return [_matrix(parameter.view(len(parameter), -1))]
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and name == "weight":
        # One row is read at a time, so there is nothing to sum. The row of the padding symbol stays as it is.
        rows = _without(parameter, module.padding_idx)
        return [Part(part.transpose(0, 1), 1, parameter.shape[1]) for part in rows if len(part)]
    if isinstance(module, nn.MultiheadAttention) and name.endswith("_proj_weight"):
        return [_matrix(part) for part in parameter.chunk(3 if name == "in_proj_weight" else 1)]
    if isinstance(module, (nn.RNNBase, nn.RNNCellBase)) and name.startswith("weight_"):
        gates = 1 if name.startswith("weight_hr") else _gates(module)
        return [_matrix(part) for part in parameter.chunk(gates)]
    return []


def is_bias(module: nn.Module, name: str) -> bool:
    """Whether ``module``'s own parameter ``name`` is a shift of its outputs (of a norm layer it is not)."""
    return "bias" in name and not is_norm(module) and name not in ("bias_k", "bias_v")


def is_norm(module: nn.Module) -> bool:
    """Whether a layer normalises."""
    return isinstance(module, _NORMS)


def _gates(module: nn.Module) -> int:
    kind = getattr(module, "mode", type(module).__name__)  # RNNBase says LSTM, GRU, RNN_TANH; a cell by its class
    return next((count for name, count in _GATES.items() if kind.startswith(name)), 1)


def _matrix(values: Tensor) -> Part:
    return Part(values, values.shape[1], values.shape[0])


def _convolution(values: Tensor) -> Part:
    window = math.prod(values.shape[2:])
    return Part(values, values.shape[1] * window, values.shape[0] * window)


def _without(parameter: Tensor, row: int | None) -> list[Tensor]:
    return [parameter] if row is None else [parameter[:row], parameter[row + 1 :]]
