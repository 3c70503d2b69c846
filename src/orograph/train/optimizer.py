"""Torch's optimisers from a recipe, and the one set of numbers that a continued run needs from them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from orograph.basics.errors import UsageError
from orograph.train.recipe import Recipe

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)


def build_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimiser over the trainable parameters of ``model``.

    With ``decay_norm_and_bias=False`` norm layers (by module type), biases and other parameters of fewer than two
    dimensions form a group without decay (He et al. 2019, "bag of tricks"); with ``bias_lr`` biases have a rate of
    their own. A group's ``rate_factor`` multiplies the schedule's rate.

    Raises UsageError where nothing is trainable, or gradients would be sparse.
    """
    for name, module in model.named_modules():
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and module.sparse:
            raise UsageError(f"{name or 'the network'} makes sparse gradients, which have no norm; use sparse=False")
    groups = parameter_groups(model, recipe)
    # The fused kernels walk through memory without regard to strides, and know no complex numbers.
    parameters = [parameter for group in groups for parameter in group["params"]]
    plain = all(p.is_contiguous() and p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters)
    shared: dict[str, Any] = {"lr": recipe.lr, **({"fused": True} if plain else {"foreach": True})}
    if recipe.optimizer == "sgd":
        return SGD(groups, momentum=recipe.momentum, nesterov=recipe.nesterov, **shared)
    kind = Adam if recipe.optimizer == "adam" else AdamW
    return kind(groups, betas=recipe.betas, eps=recipe.eps, **shared)


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """The trainable parameters, each once, in groups with their weight decay."""
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not trainable:
        raise UsageError("no parameter of the network has requires_grad, so there is nothing to train")
    norms = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, _NORMS)
        for parameter in module.parameters(recurse=False)
    }
    spare = bool(recipe.weight_decay) and not recipe.decay_norm_and_bias
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in trainable.items():
        is_bias = parameter.dim() < 2 or name.rpartition(".")[2] == "bias"
        in_norm = id(parameter) in norms
        decay = 0.0 if spare and (is_bias or in_norm) else recipe.weight_decay
        factor = recipe.bias_lr if is_bias and not in_norm else 1.0
        groups.setdefault((decay, factor), []).append(parameter)
    # Those with decay and the full rate first, as continued runs number their moments by this order.
    ordered = sorted(groups.items(), key=lambda item: (-item[0][0], -item[0][1]))
    return [{"params": ps, "weight_decay": decay, "rate_factor": factor} for (decay, factor), ps in ordered]


def optimizer_state(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The moments as tensors and plain numbers, both named ``{parameter's index}.{name}``.

    Rates and other options are left out: they follow from the recipe and the step.
    """
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, Any] = {}
    for index, parameter in enumerate(_parameters(optimizer)):
        for name, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{name}"] = value.detach()
            else:
                numbers[f"{index}.{name}"] = value
    return tensors, numbers


def restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
    """Put back what :func:`optimizer_state` gave, with the devices and strides that torch would have chosen.

    ``Optimizer.load_state_dict`` would do but for the strides: moments laid out unlike their parameters take other
    kernels, whose rounding may differ in the last bit.
    """
    parameters = _parameters(optimizer)
    fused = bool(optimizer.param_groups[0]["fused"])
    optimizer.state.clear()
    for place, tensor in tensors.items():
        index, _, name = place.partition(".")
        parameter = parameters[int(index)]
        if name != "step" and tensor.shape == parameter.shape:
            value = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
        else:  # Adam's step counter, which only the fused kernels want beside the parameter
            value = tensor.to(parameter.device if fused else "cpu", copy=True)
        optimizer.state[parameter][name] = value.detach()
    for place, number in numbers.items():
        index, _, name = place.partition(".")
        optimizer.state[parameters[int(index)]][name] = number


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
