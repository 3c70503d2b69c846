"""A network as one flat run of kernels, for prediction: its weights as they are, without the calls in between.

Three things are taken out of a traced network, none of which changes what it computes beyond rounding: batch norm goes
into the layer before it (:mod:`orograph.objective.fold`), calls of layers and look-ups of weights become calls of
torch's functions on tensors at hand, and a ReLU writes where its input stood. Images go through pixel by pixel.
``benchmarks/ensemble_module.py`` measures what that saves. One program for all members, batched by ``torch.func.vmap``,
took up to 2.9 times what they take one by one: processors are slow at grouped convolutions.

A program is used only after it has reproduced its network's output, and only while everything that it was made from
lies where it lay: changed values are read anew, and whoever swaps tensors or adds hooks gets the network itself. Two
changes leave no trace to notice: values written behind autograd's back (``weight.data.copy_``, NumPy), and plain Python
attributes; ``ensemble.to("cpu")`` or any other move makes programs anew. They hold second copies of most weights.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from itertools import chain
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from orograph.objective.batches import channels_last
from orograph.objective.criterion import logits_of
from orograph.objective.fold import fold, trace

_CHECKED_EXAMPLES = 8
_INLINED = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.ReLU, nn.Flatten, nn.Identity, nn.Dropout),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d),
)
# What these return is memory of its own that nobody keeps for a gradient, so its only reader may write there.
_FRESH = (F.conv1d, F.conv2d, F.conv3d, F.linear, operator.add)

_version, _training = operator.attrgetter("_version"), operator.attrgetter("training")
State = Literal["current", "changed", "elsewhere"]


class _Inlining(fx.Tracer):
    """Sees through torch's own layers of the listed types to the functions they call."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) not in _INLINED and super().is_leaf_module(m, module_qualified_name)


class Program:
    """``network``, which is in evaluation mode, as a callable of one tensor that gives what it gives.

    Raises ValueError where torch.fx cannot follow the network.
    """

    def __init__(self, network: nn.Module) -> None:
        self._folded = fold(network)
        graph = trace(network) if self._folded is None else self._folded.graph
        if graph is None:
            raise ValueError("torch.fx cannot follow this network")
        self._root = graph
        self._flat = fx.GraphModule(graph, _Inlining().trace(graph))
        self._sources: dict[str, str] = {}
        self.takes_images = False
        for node in list(self._flat.graph.nodes):
            self._rewrite(node)
        self._flat.recompile()
        self._modules = list(network.modules())
        self._hooks = [hooks for m in self._modules for hooks in (m._forward_hooks, m._forward_pre_hooks)]
        self._tables = [table for m in self._modules for table in (m._parameters, m._buffers, m._modules) if table]
        self._parts = list(self._present_parts())
        self._tensors = [part for part in self._parts if isinstance(part, Tensor)]
        self._addresses = list(map(Tensor.data_ptr, self._tensors))
        self.read()

    def __call__(self, inputs: Tensor) -> Any:
        return self._flat.forward(inputs)

    def state(self) -> State:
        """Whether the network is the one that was read: "changed" values can be read anew, but not parts "elsewhere".

        The latter stands for everything that only the network itself can answer to: a part put in the place of another,
        a hook, training mode, or weights that a gradient is wanted for.
        """
        # As many looks per prediction as there are tensors and modules, so Python's own loops are avoided.
        if not all(map(operator.is_, self._present_parts(), self._parts)):
            return "elsewhere"
        if list(map(Tensor.data_ptr, self._tensors)) != self._addresses:
            return "elsewhere"
        if any(map(_training, self._modules)) or any(self._hooks):
            return "elsewhere"
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in self._tensors):
            return "elsewhere"
        return "current" if list(map(_version, self._tensors)) == self._versions else "changed"

    def _present_parts(self) -> Iterator[Any]:
        """All parameters, buffers and submodules of the network's modules, as they stand now."""
        return chain.from_iterable(map(dict.values, self._tables))  # type: ignore[arg-type]

    def read(self) -> None:
        """Take over the network's present values."""
        with torch.inference_mode(False), torch.no_grad():  # gradients of inputs may be asked for later
            if self._folded is not None:
                self._folded.refold()
            for name, source in self._sources.items():
                tensor: Tensor = operator.attrgetter(source)(self._root).detach()
                # Beside the module's own tables, where Python finds it at once.
                self._flat.__dict__[name] = _laid_out(tensor)
        self._versions = list(map(_version, self._tensors))

    def reproduces(self, network: nn.Module, inputs: Tensor) -> bool | None:
        """Whether the first examples of ``inputs`` give the same; None where the network's own output tells nothing."""
        few = inputs[:_CHECKED_EXAMPLES].detach()
        with torch.no_grad():
            try:
                own = logits_of(network(few.clone()))
            except Exception:  # the network wants other inputs, or more of them
                return None
            try:
                found = logits_of(self(self.laid_out(few.clone())))
            except Exception:  # whatever the user's code does with tensors laid out otherwise
                return False
        if own.shape != found.shape or own.dtype != found.dtype:
            return False
        if not own.numel() or not torch.isfinite(own).all():
            return None
        return bool((own - found).abs().max() <= 1000 * torch.finfo(own.dtype).eps * own.abs().max())

    def laid_out(self, inputs: Tensor) -> Tensor:
        """``inputs`` as this program reads them fastest."""
        return _laid_out(inputs) if self.takes_images and inputs.dim() == 4 else inputs

    def _rewrite(self, node: fx.Node) -> None:
        """Bind a weight by a short name, or choose a cheaper function that gives the same."""
        if node.op == "get_attr":
            name = f"tensor_{len(self._sources)}"
            self._sources[name], node.target = str(node.target), name
        elif node.op == "call_method" and node.target == "view":
            node.target = "reshape"  # the same, also where pixels lie one by one
        elif node.target is F.conv2d:
            self.takes_images = True
        elif node.target in (F.relu, torch.relu) and len(node.args) == 1:
            before = node.args[0]
            assert isinstance(before, fx.Node)
            alone = len(before.users) == 1 and before.op == "call_function" and before.target in _FRESH
            in_place = alone or bool(node.kwargs.get("inplace"))
            node.target, node.kwargs = (torch.relu_ if in_place else torch.relu), {}


def _laid_out(tensor: Tensor) -> Tensor:
    """The same numbers as a processor reads them fastest: images and kernels by pixel, matrices by column.

    The latter is how products of 4 to 128 rows take 0.8 of the time. On other devices nothing was measured.
    """
    if tensor.device.type != "cpu" or tensor.dim() not in (2, 4):
        return tensor
    return channels_last(tensor) if tensor.dim() == 4 else tensor.t().contiguous().t()
