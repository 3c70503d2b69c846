"""A network as an initialisation looks at it: in which mode, twice differentiable, and left as it was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from orograph.basics.seeds import isolated_randomness
from orograph.objective.example import plain_attention

_BATCH_NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
_RECURRENT = (nn.RNNBase, nn.RNNCellBase)


@contextmanager
def probing(
    model: nn.Module, *, norm: Literal["batch", "running"] = "batch", dropout: bool = False, seed: int = 0
) -> Iterator[None]:
    """``model`` in evaluation mode, but that batch norm normalises by the batch (or by its running statistics).

    With ``dropout`` everything is in training mode. Whatever the network's passes leave behind is undone at the end:
    modes, buffers, gradients and the random state are as before, also after an exception. What is drawn inside begins
    from ``seed``. Gradients are on whatever the caller's setting is.
    """
    modes = [(layer, layer.training) for layer in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    try:
        model.train(dropout)
        for layer in model.modules():
            if isinstance(layer, _BATCH_NORMS):
                layer.training = norm == "batch"
        with isolated_randomness(seed), torch.enable_grad():
            yield
    finally:
        for layer, training in modes:
            layer.training = training
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for parameter, before_it in gradients:
            parameter.grad = before_it


@contextmanager
def twice_differentiable(model: nn.Module) -> Iterator[None]:
    """Kernels that have second derivatives: attention written out, and no cuDNN for recurrent layers."""
    recurrent = any(isinstance(layer, _RECURRENT) for layer in model.modules())
    plain: Any = torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext()
    with plain_attention(), sdpa_kernel(SDPBackend.MATH), plain:
        yield
