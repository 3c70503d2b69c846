"""A traced network as few oneDNN kernels: convolutions that add and rectify, in one number format throughout.

Between two convolutions a processor mostly moves activations. oneDNN's convolution can add a residual branch and apply
ReLU while a tile of its output is still in registers, and reads weights fastest in a layout of its own; torch has these
kernels for its compiler (``torch.ops.mkldnn``), and they serve without it. In bf16 all activations stay bf16, where
autocast would round inputs and weights anew before each layer.

Only networks whose every step is understood are rewritten; the runner trusts the result after it has reproduced the
module's own outputs in float32, and only the last rounding differs in bf16.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from orograph.objective.fold import FoldedLayer, FoldedNetwork, is_layer

_ADD = (operator.add, operator.iadd, torch.add)
_RELU = (F.relu, torch.relu)
_RELU_METHODS = ("relu", "relu_")
# What may stand between layers when activations are bf16: steps that move, compare or average numbers, no more.
_FUNCTIONS = {
    *_ADD,
    *_RELU,
    operator.getitem,
    getattr,
    torch.cat,
    torch.flatten,
    F.pad,
    F.dropout,
    F.avg_pool2d,
    F.max_pool2d,
    F.adaptive_avg_pool2d,
    F.adaptive_max_pool2d,
}
_METHODS = {*_RELU_METHODS, "add", "add_", "mean", "flatten", "view", "reshape", "size", "permute", "contiguous"}
_NOTHING = (nn.Identity, nn.Dropout, nn.Dropout2d)  # what these do in evaluation mode
_MODULES = (
    *_NOTHING,
    nn.ReLU,
    nn.Flatten,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.BatchNorm2d,  # in evaluation mode; torch computes it in float32 whatever its input
)


class FusedConvolution(nn.Module):
    """A (folded) convolution, with the addition and the ReLU that followed it: ``relu(conv(inputs) + other)``.

    With ``in_place`` the result takes the place of ``other``, which spares a pass through memory.
    """

    def __init__(self, layer: FoldedLayer, *, relu: bool, size: list[int], in_place: bool) -> None:
        super().__init__()
        self.layer = (layer,)  # not a submodule: its parameters are the layer's own
        self.size = size
        self.relu = relu
        self.in_place = in_place
        convolution = layer.sources[0]
        assert isinstance(convolution, nn.Conv2d)
        self.geometry = (convolution.padding, convolution.stride, convolution.dilation, convolution.groups)
        self.packed = torch.empty(0)

    def refold(self, dtype: torch.dtype) -> None:
        """Fold, and lay out the weights as oneDNN wants them for inputs of the usual size; others are right as well.

        Only the packed weights are kept.
        """
        layer = self.layer[0]
        layer.refold(dtype, by_pixel=False)
        plain = layer.weight.to_mkldnn()
        layer.release()
        self.packed = layer.weight  # only now lets go of the present ones, whose place the new ones then take
        reorder: Callable[..., Tensor] = torch._C._nn.mkldnn_reorder_conv2d_weight
        self.packed = reorder(plain, *self.geometry, self.size)

    def forward(self, inputs: Tensor, other: Tensor | None = None) -> Tensor:
        bias = self.layer[0].bias
        if other is None:
            after = "relu" if self.relu else "none"
            return torch.ops.mkldnn._convolution_pointwise(  # type: ignore[no-any-return]
                inputs, self.packed, bias, *self.geometry, after, [], ""
            )
        unary = "relu" if self.relu else None
        if self.in_place:
            return torch.ops.mkldnn._convolution_pointwise_.binary(  # type: ignore[no-any-return]
                other, inputs, self.packed, bias, *self.geometry, "add", 1.0, unary, [], ""
            )
        return torch.ops.mkldnn._convolution_pointwise.binary(  # type: ignore[no-any-return]
            inputs, other, self.packed, bias, *self.geometry, "add", 1.0, unary, [], ""
        )


class FusedNetwork(FoldedNetwork):
    """A folded network whose convolutions are packed after each move."""

    def __init__(self, graph: fx.GraphModule, layers: list[FoldedLayer], dtype: torch.dtype) -> None:
        super().__init__(graph, layers, dtype)
        self.convolutions = [part for part in graph.modules() if isinstance(part, FusedConvolution)]
        fused = {id(convolution.layer[0]) for convolution in self.convolutions}
        self.others = [layer for layer in layers if id(layer) not in fused]

    def refold(self) -> None:
        assert self.dtype is not None
        parts: list[FoldedLayer | FusedConvolution] = [*self.others, *self.convolutions]
        for part in parts:
            part.refold(self.dtype)


def fuse(graph: fx.GraphModule, example: Tensor) -> FusedNetwork | None:
    """Rewrite a traced (and folded) network of images; None where a step is not understood or nothing is gained.

    ``example`` is a batch of the usual size on the processor, laid out pixel by pixel. The graph may be changed anyway.
    """
    if not (example.device.type == "cpu" and hasattr(torch.ops.mkldnn, "_convolution_pointwise")):
        return None
    parts = dict(graph.named_modules(remove_duplicate=False))
    if not all(_is_understood(node, parts) for node in graph.graph.nodes):
        return None
    for node in list(graph.graph.nodes):
        if node.op == "call_module" and isinstance(parts[str(node.target)], _NOTHING):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    layers = _layers(graph, parts)
    if not any(isinstance(layer.sources[0], nn.Conv2d) for layer in layers.values()):
        return None
    shapes = _Shapes(graph)
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        shapes.run(example[:2])
    for node in list(graph.graph.nodes):
        layer = layers.get(str(node.target)) if node.op == "call_module" else None
        if layer is not None and _fits(layer):
            _fuse_one(graph, node, layer, shapes.of, parts, len(example))
    graph.graph.lint()
    graph.recompile()
    return FusedNetwork(graph, list(layers.values()), torch.float32)


def _layers(graph: fx.GraphModule, parts: dict[str, nn.Module]) -> dict[str, FoldedLayer]:
    """All convolutions and linear layers by the name of their call; plain ones become folded ones without a norm."""
    found: dict[str, FoldedLayer] = {}
    for node in graph.graph.nodes:
        if node.op != "call_module":
            continue
        part = parts[str(node.target)]
        if is_layer(part):
            part = FoldedLayer(part, None)
            node.target = f"orograph_plain_{len(found)}"
            graph.add_submodule(node.target, part)
            parts[node.target] = part
        if isinstance(part, FoldedLayer):
            found[str(node.target)] = part
    return found


def _fits(layer: FoldedLayer) -> bool:
    convolution = layer.sources[0]
    return (
        isinstance(convolution, nn.Conv2d)
        and not isinstance(convolution.padding, str)
        and (convolution.padding_mode == "zeros")
    )


def _fuse_one(
    graph: fx.GraphModule,
    node: fx.Node,
    layer: FoldedLayer,
    shapes: dict[Any, torch.Size],
    parts: dict[str, nn.Module],
    batch: int,
) -> None:
    """Replace one convolution, and the addition and ReLU behind it where nothing else sees what lies between."""
    last, other = node, None
    follower = _only_user(node)
    if follower is not None and _is(follower, _ADD, ("add", "add_")) and not follower.kwargs:
        branches = [part for part in follower.args if part is not node]
        same = len(branches) == 1 and shapes.get(branches[0]) == shapes[node]
        if same:
            last, other = follower, branches[0]
            follower = _only_user(last)
    relu = follower is not None and (
        _is(follower, _RELU, _RELU_METHODS)
        or (follower.op == "call_module" and isinstance(parts[str(follower.target)], nn.ReLU))
    )
    if relu:
        assert follower is not None
        last = follower
    name = str(node.target).replace("orograph_", "orograph_fused_")
    size = [batch, *shapes[node.args[0]][1:]]
    in_place = isinstance(other, fx.Node) and _is_done_with(other, node, parts)
    parts[name] = FusedConvolution(layer, relu=relu, size=size, in_place=in_place)
    graph.add_submodule(name, parts[name])
    inputs = (node.args[0],) if other is None else (node.args[0], other)
    with graph.graph.inserting_before(last):
        fused = graph.graph.call_module(name, inputs)
    shapes[fused] = shapes[node]
    last.replace_all_uses_with(fused)
    while last is not node:  # from the end, since a node with users cannot be erased
        before = last.args[0] if last.args[0] is not other else last.args[1]
        graph.graph.erase_node(last)
        assert isinstance(before, fx.Node)
        last = before
    graph.graph.erase_node(node)


class _Shapes(fx.Interpreter):
    """Runs a graph once and keeps the shape of what each node gives; folded layers hold weights only meanwhile."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.of: dict[Any, torch.Size] = {}

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        layer = self.fetch_attr(str(target))
        if not isinstance(layer, FoldedLayer):
            return super().call_module(target, args, kwargs)
        layer.refold(torch.float32)
        value = layer(*args, **kwargs)
        layer.release()
        return value

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.of[n] = value.shape
        return value


def _is_understood(node: fx.Node, parts: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        part = parts[str(node.target)]
        return is_layer(part) or type(part) in (FoldedLayer, *_MODULES)
    if node.op == "call_function":
        return node.target in _FUNCTIONS
    if node.op == "call_method":
        return node.target in _METHODS
    if node.op == "placeholder":
        return not node.next or node.next.op != "placeholder"  # one input alone
    if node.op == "output":
        return isinstance(node.args[0], fx.Node)  # a tensor, no tuple or mapping
    return False  # a parameter used directly


def _is_done_with(branch: fx.Node, node: fx.Node, parts: dict[str, nn.Module]) -> bool:
    """Whether a branch may be overwritten where it is added to what comes of ``node``: memory of its own (a kernel's
    output or a padded copy), read elsewhere by earlier kernels alone, which keep no view of it."""

    def is_kernel(other: fx.Node) -> bool:
        return other.op == "call_module" and isinstance(parts[str(other.target)], FusedConvolution)

    follower = _only_user(node)
    owns = is_kernel(branch) or (branch.target is F.pad and branch.kwargs.get("mode") in (None, "constant"))
    return owns and all(user is follower or (is_kernel(user) and user < node) for user in branch.users)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _is(node: fx.Node, functions: tuple[Callable[..., Any], ...], methods: tuple[str, ...]) -> bool:
    return (node.op == "call_function" and node.target in functions) or (
        node.op == "call_method" and node.target in methods
    )
