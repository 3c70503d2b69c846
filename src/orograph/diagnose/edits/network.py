"""What a copy computes: its weights, its layers, the mode that they are in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from orograph.diagnose.chart import Edit
from orograph.diagnose.patient import Copy
from orograph.diagnose.watching import is_leaf
from orograph.initialize.applying import apply
from orograph.initialize.parts import is_norm
from orograph.initialize.slots import slots_of


def redrawn(scheme: str = "he-normal") -> Edit:
    """Draw all weights anew; norm layers as they begin."""

    def change(made: Copy) -> None:
        apply(made.model, scheme, seed=0)
        with torch.no_grad():
            for slot in slots_of(made.model):
                if is_norm(slot.layer):
                    slot.parameter.fill_(1.0 if slot.own == "weight" else 0.0)

    return Edit(f"weights drawn by {scheme}, norm layers reset", change)


def gains() -> Edit:
    """Gains of norm layers 1, their shifts 0."""

    @torch.no_grad()
    def change(made: Copy) -> None:
        for slot in slots_of(made.model):
            if is_norm(slot.layer):
                slot.parameter.fill_(1.0 if slot.own == "weight" else 0.0)

    return Edit("gains of norm layers 1", change)


def training_mode() -> Edit:
    """``model.train()`` before, and at, every step."""

    def change(made: Copy) -> None:
        made.model.train()
        made.handles.append(made.model.register_forward_pre_hook(_training))

    return Edit("model.train()", change)


def _training(model: nn.Module, args: Any) -> None:
    if torch.is_grad_enabled():
        model.train()


def quiet_layers() -> Edit:
    """Dropout off; norm layers still go by the batch."""

    def change(made: Copy) -> None:
        made.model.eval()
        for layer in made.model.modules():
            if isinstance(layer, nn.modules.batchnorm._NormBase):
                layer.train()

    return Edit("dropout off", change)


def small_eps() -> Edit:
    """eps of all norm layers 1e-5."""

    def change(made: Copy) -> None:
        for layer in made.model.modules():
            if is_norm(layer) and hasattr(layer, "eps"):
                vars(layer)["eps"] = 1e-5

    return Edit("eps of norm layers 1e-5", change)


def numbers_again() -> Edit:
    """NaN in buffers and other tensors of modules replaced by 0."""

    @torch.no_grad()
    def change(made: Copy) -> None:
        for layer in made.model.modules():
            for tensor in [*vars(layer).values(), *layer._buffers.values()]:
                if isinstance(tensor, Tensor) and tensor.is_floating_point():
                    tensor[torch.isnan(tensor)] = 0.0

    return Edit("NaN in masks and buffers replaced by 0", change)


def without(kind: type[nn.Module] | tuple[type[nn.Module], ...], name: str, last: bool = False) -> Edit:
    """Replace modules of a type (or only the last of them) by the identity."""

    def change(made: Copy) -> None:
        places = [(path, module) for path, module in made.model.named_modules() if isinstance(module, kind) and path]
        for path, _ in places[-1:] if last else places:
            parent, _, child = path.rpartition(".")
            setattr(made.model.get_submodule(parent), child, nn.Identity())

    return Edit(name, change)


def stripped(paths: Sequence[str], name: str) -> Edit:
    """Replace the modules at these paths by the identity."""

    def change(made: Copy) -> None:
        for path in paths:
            parent, _, child = path.rpartition(".")
            setattr(made.model.get_submodule(parent), child, nn.Identity())

    return Edit(name, change)


def rectified(scheme: str = "he-normal") -> Edit:
    """ReLU in place of sigmoid and tanh within the network (an activation at its very end stays), weights to suit."""

    def change(made: Copy) -> None:
        squashing = (nn.Sigmoid, nn.Tanh, nn.Softsign, nn.Hardtanh, nn.LogSigmoid)
        layers = [(path, module) for path, module in made.model.named_modules() if path and is_leaf(module)]
        for path, module in layers[:-1]:
            if isinstance(module, squashing):
                parent, _, child = path.rpartition(".")
                setattr(made.model.get_submodule(parent), child, nn.ReLU())
        redrawn(scheme).apply(made)

    return Edit("ReLU in place of sigmoid and tanh, weights to suit", change)


def bent() -> Edit:
    """ReLU after every layer with weights but the last."""

    def change(made: Copy) -> None:
        layers = list({id(slot.layer): slot.layer for slot in slots_of(made.model) if slot.parts}.values())
        made.handles += [one.register_forward_hook(_rectified) for one in layers[:-1]]

    return Edit("ReLU between the layers", change)


def _rectified(module: nn.Module, args: Any, output: Any) -> Any:
    return output.relu() if isinstance(output, Tensor) else output


def outputs_times(factor: float) -> Edit:
    """The network's outputs times a number."""

    def change(made: Copy) -> None:
        made.handles.append(
            made.model.register_forward_hook(
                lambda module, args, output: output * factor if isinstance(output, Tensor) else output
            )
        )

    return Edit(f"outputs x {factor:.3g}", change)


def dropout(share: float) -> Edit:
    """Set the share of all dropout layers."""

    def change(made: Copy) -> None:
        for module in made.model.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.p = share

    return Edit(f"dropout {share:g}", change)


def attached() -> Edit:
    """``detach()`` and ``.data`` without effect while the network runs."""

    def change(made: Copy) -> None:
        forward = made.model.forward

        def whole(*args: Any, **kwargs: Any) -> Any:
            with _Attached():
                return forward(*args, **kwargs)

        made.model.forward = whole

    return Edit("without detach()", change)


_DATA = vars(torch._C.TensorBase)["data"].__get__  # what reading ``.data`` calls


class _Attached(TorchFunctionMode):
    """Returns a tensor itself where it would be cut off from its history."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "")
        if name in ("detach", "detach_") or function == _DATA:
            return args[0]
        return function(*args, **(kwargs or {}))
