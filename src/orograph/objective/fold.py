r"""Batch norm folded into the layer before it, point by point.

In evaluation mode a batch norm is an affine map per channel, so a convolution or linear layer that feeds nothing else
can do its work:

.. math:: W' = W \gamma / \sqrt{\sigma^2 + \epsilon}, \qquad b' = \beta + (b - \mu) \gamma / \sqrt{\sigma^2 + \epsilon}

The network is traced with torch.fx; where its graph cannot be traced, has hooks, or is a pattern that is not
understood, nothing is folded and nothing is said. The folded network shares every other module with the original.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_LAYERS = (*_CONVOLUTIONS, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class FoldedLayer(nn.Module):
    """A convolution or linear layer with the batch norm behind it, if any, absorbed; :meth:`refold` follows both."""

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: nn.Module, norm: _BatchNorm | None) -> None:
        super().__init__()
        # Held in a tuple, so that they are not submodules: the folded graph must not own the originals twice.
        self.sources = (layer, norm)
        self.register_buffer("weight", torch.empty(0), persistent=False)
        self.register_buffer("bias", torch.empty(0), persistent=False)

    def refold(self, dtype: torch.dtype, *, by_pixel: bool = True) -> None:
        """Recompute weight and bias from the present values, in the weights' precision, then round to ``dtype``.

        ``by_pixel`` lays a convolution's weight out as inputs are; whoever packs it anew does not need that copy.
        """
        layer, norm = self.sources
        weight: Tensor = layer.weight  # type: ignore[assignment]
        bias: Tensor | None = layer.bias  # type: ignore[assignment]
        if norm is not None:
            weight, bias = _absorbed(weight, bias, norm)
        if isinstance(layer, nn.Conv2d) and by_pixel:
            weight = weight.contiguous(memory_format=torch.channels_last)
        if bias is None:
            bias = torch.zeros(len(weight), device=weight.device)
        self.weight = weight.detach().to(dtype)  # no parameter
        if self.bias.shape == bias.shape and self.bias.dtype == dtype:
            self.bias.copy_(bias)  # in its place: new ones would lie scattered in the holes that weights leave
        else:
            self.bias = bias.detach().to(dtype, copy=True)

    def release(self) -> None:
        """Let go of the weight until it is folded again."""
        self.weight = self.weight.new_empty(0)

    def forward(self, inputs: Tensor) -> Tensor:
        layer = self.sources[0]
        if isinstance(layer, nn.Linear):
            return F.linear(inputs, self.weight, self.bias)
        return layer._conv_forward(inputs, self.weight, self.bias)  # type: ignore[operator,no-any-return]


class FoldedNetwork:
    """A traced network with folded layers: call :meth:`refold` after each move, then call it like the module.

    ``dtype`` is that of the layers' weights. Where it is not the one of the inputs they are rounded to it, and the
    output back to float32; where it is None, the layers have the module's own.
    """

    def __init__(self, graph: fx.GraphModule, layers: list[FoldedLayer], dtype: torch.dtype | None = None) -> None:
        self.graph = graph
        self.layers = layers
        self.dtype = dtype

    def refold(self) -> None:
        """Follow the weights and statistics to the present point."""
        for layer in self.layers:
            layer.refold(self.dtype or layer.sources[0].weight.dtype)  # type: ignore[arg-type]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.dtype is None:
            return self.graph(*args, **kwargs)
        with torch.autocast(args[0].device.type, enabled=False):
            return self.graph(args[0].to(self.dtype)).float()


def trace(module: nn.Module) -> fx.GraphModule | None:
    """The graph of ``module`` (in evaluation mode), sharing its submodules; None where torch.fx cannot follow it."""
    if any(part._forward_hooks or part._forward_pre_hooks for part in module.modules()):
        return None
    try:
        return fx.symbolic_trace(module)
    except Exception:  # tracing runs the user's forward on proxies, so anything may be raised
        return None


def fold(module: nn.Module) -> FoldedNetwork | None:
    """Trace ``module`` and fold what can be folded; None where that is nothing.

    A pair folds if the batch norm has running statistics, both modules are of the plain types, are called once, carry
    no hooks, and the layer's output goes to the norm alone.
    """
    graph = trace(module)
    if graph is None:
        return None
    parts = dict(graph.named_modules(remove_duplicate=False))
    often = called_often(graph, parts)
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


def called_often(graph: fx.GraphModule, parts: dict[str, nn.Module]) -> set[int]:
    """Identities of modules that are called more than once, under one name or several."""
    totals: dict[int, int] = {}
    for node in graph.graph.nodes:
        if node.op == "call_module":
            part = id(parts[str(node.target)])
            totals[part] = totals.get(part, 0) + 1
    return {part for part, count in totals.items() if count > 1}


def is_layer(part: nn.Module) -> bool:
    """Whether ``part`` is a convolution or linear layer of torch's own, which this package knows how to compute."""
    return type(part) in _LAYERS


def _absorbed(weight: Tensor, bias: Tensor | None, norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """A layer's weight and bias with the affine map of ``norm`` in them."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = norm.running_mean if bias is None else norm.running_mean - bias
    moved = -shift * scale if norm.bias is None else norm.bias - shift * scale
    return weight * scale.view(-1, *[1] * (weight.dim() - 1)), moved


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
    return (layer, norm) if is_layer(layer) else None
