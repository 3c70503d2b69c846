r"""Batch norm folded into the layer before it, point by point.

In evaluation mode a batch norm is an affine map per channel, so a convolution or linear layer that feeds nothing else
can do its work:

.. math:: W' = W \gamma / \sqrt{\sigma^2 + \epsilon}, \qquad b' = \beta + (b - \mu) \gamma / \sqrt{\sigma^2 + \epsilon}

The network is traced with torch.fx; where its graph cannot be traced, has hooks, or is a pattern that is not
understood, nothing is folded and nothing is said. The folded network shares every other module with the original.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class FoldedLayer(nn.Module):
    """A convolution or linear layer with the batch norm behind it absorbed; :meth:`refold` follows the weights."""

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: nn.Module, norm: _BatchNorm) -> None:
        super().__init__()
        # Held in a tuple, so that they are not submodules: the folded graph must not own the originals twice.
        self.sources = (layer, norm)
        own: Tensor = layer.weight  # type: ignore[assignment]
        self.channels_last = isinstance(layer, nn.Conv2d)
        self.register_buffer("weight", torch.empty_like(own), persistent=False)
        self.register_buffer("bias", own.new_empty(own.shape[0]), persistent=False)

    def refold(self) -> None:
        """Recompute weight and bias from the layer's and the norm's present values, in the weights' precision."""
        layer, norm = self.sources
        weight: Tensor = layer.weight  # type: ignore[assignment]
        bias: Tensor | None = layer.bias  # type: ignore[assignment]
        assert isinstance(norm, _BatchNorm)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = torch.rsqrt(norm.running_var + norm.eps)
        if norm.weight is not None:
            scale = scale * norm.weight
        shift = norm.running_mean if bias is None else norm.running_mean - bias
        folded = weight * scale.view(-1, *[1] * (weight.dim() - 1))
        if self.channels_last:
            folded = folded.contiguous(memory_format=torch.channels_last)
        self.weight = folded
        self.bias = -shift * scale if norm.bias is None else norm.bias - shift * scale

    def forward(self, inputs: Tensor) -> Tensor:
        layer = self.sources[0]
        if isinstance(layer, nn.Linear):
            return F.linear(inputs, self.weight, self.bias)
        return layer._conv_forward(inputs, self.weight, self.bias)  # type: ignore[operator,no-any-return]


class FoldedNetwork:
    """A traced network with folded layers: call :meth:`refold` after each move, then call it like the module."""

    def __init__(self, graph: fx.GraphModule, layers: list[FoldedLayer]) -> None:
        self.graph = graph
        self.layers = layers

    def refold(self) -> None:
        """Follow the weights and statistics to the present point."""
        for layer in self.layers:
            layer.refold()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.graph(*args, **kwargs)


def fold(module: nn.Module) -> FoldedNetwork | None:
    """Trace ``module`` (in evaluation mode) and fold what can be folded; None where that is nothing.

    A pair folds if the batch norm has running statistics, both modules are of the plain types, are called once, carry
    no hooks, and the layer's output goes to the norm alone.
    """
    if any(_has_hooks(part) for part in module.modules()):
        return None
    try:
        graph = fx.symbolic_trace(module)
    except Exception:  # tracing runs the user's forward on proxies, so anything may be raised; then nothing is folded
        return None
    calls: dict[str, int] = {}
    for node in graph.graph.nodes:
        if node.op == "call_module":
            calls[str(node.target)] = calls.get(str(node.target), 0) + 1
    parts = dict(graph.named_modules(remove_duplicate=False))
    often = _called_often(parts, calls)
    folded: list[FoldedLayer] = []
    for node in list(graph.graph.nodes):
        pair = _pair(node, parts)
        if pair is None or id(pair[0]) in often or id(pair[1]) in often:
            continue
        before = node.args[0]
        layer = FoldedLayer(*pair)
        name = f"orograph_folded_{len(folded)}"
        graph.add_submodule(name, layer)
        with graph.graph.inserting_before(before):
            replacement = graph.graph.call_module(name, before.args, before.kwargs)
        node.replace_all_uses_with(replacement)
        graph.graph.erase_node(node)
        graph.graph.erase_node(before)
        folded.append(layer)
    if not folded:
        return None
    graph.recompile()
    return FoldedNetwork(graph, folded)


def _pair(node: fx.Node, parts: dict[str, nn.Module]) -> tuple[nn.Module, _BatchNorm] | None:
    """The (layer, norm) that ends at ``node``, if it is a batch norm fed by a layer that feeds nothing else."""
    if node.op != "call_module" or len(node.args) != 1 or node.kwargs:
        return None
    norm, before = parts[str(node.target)], node.args[0]
    if not isinstance(norm, _NORMS) or type(norm) not in _NORMS or norm.running_mean is None:
        return None
    if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
        return None
    layer = parts[str(before.target)]
    if type(layer) not in (*_CONVOLUTIONS, nn.Linear):
        return None
    return layer, norm


def _called_often(parts: dict[str, nn.Module], calls: dict[str, int]) -> set[int]:
    """Identities of modules that are called more than once, under one name or several."""
    totals: dict[int, int] = {}
    for name, count in calls.items():
        totals[id(parts[name])] = totals.get(id(parts[name]), 0) + count
    return {key for key, count in totals.items() if count > 1}


def _has_hooks(module: nn.Module) -> bool:
    return any(map(len, operator.attrgetter("_forward_hooks", "_forward_pre_hooks")(module)))
