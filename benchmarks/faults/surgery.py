"""Changes to a case that faults and traps are made of: its optimiser, its data and its layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .case import Case, Step

Kind = TypeVar("Kind", bound=nn.Module)
ACTIVATIONS: tuple[type[nn.Module], ...] = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid)


def rebuilt(case: Case, parameters: Iterable[nn.Parameter] | None = None, **options: Any) -> Case:
    """The case with an optimiser of the same kind over ``parameters`` (all by default) and changed ``options``."""
    kind = type(case.optimizer)
    accepted = inspect.signature(kind).parameters
    kept = {name: value for name, value in case.optimizer.defaults.items() if name in accepted}
    chosen = list(case.model.parameters() if parameters is None else parameters)
    maker: Any = kind
    return replace(case, optimizer=maker(chosen, **(kept | options)))


def rate(case: Case) -> float:
    """The learning rate of the case."""
    return float(case.optimizer.defaults["lr"])


def remodelled(case: Case, model: nn.Module) -> Case:
    """The case with another model, whose parameters the optimiser holds."""
    return rebuilt(replace(case, model=model.train()))


def stepping(case: Case, step: Step) -> Case:
    """The case with the user's own step."""
    return replace(case, step=step)


def reloaded(case: Case, inputs: Tensor | None = None, targets: Tensor | None = None, **loading: Any) -> Case:
    """The case with other training examples, or with the same ones loaded otherwise; held-out data stay."""
    inputs = case.task.inputs if inputs is None else inputs
    targets = case.task.targets if targets is None else targets
    changed = replace(case.loading, **loading)
    task = replace(case.task, inputs=inputs, targets=targets)
    return replace(case, task=task, loading=changed, loader=changed.loader(inputs, targets))


def preprocessed(case: Case, change: Callable[[Tensor], Tensor]) -> Case:
    """The case with ``change`` applied to all inputs, the held-out ones too: preprocessing is shared by both."""
    task = replace(case.task, test_inputs=change(case.task.test_inputs))
    return reloaded(replace(case, task=task), inputs=change(case.task.inputs))


def layers(model: nn.Module, *kinds: type[Kind]) -> list[Kind]:
    """Modules of the given kinds in order of definition."""
    return [module for module in model.modules() if isinstance(module, kinds)]


def weighted(model: nn.Module) -> list[nn.Linear | nn.Conv1d | nn.Conv2d]:
    """Linear and convolution layers in order of definition."""
    return layers(model, nn.Linear, nn.Conv1d, nn.Conv2d)


def matrices(model: nn.Module) -> list[Tensor]:
    """Weight matrices and kernels, recurrent ones included, embeddings excluded."""
    embedded = {id(module.weight) for module in layers(model, nn.Embedding)}
    return [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.dim() > 1 and "weight" in name and id(parameter) not in embedded
    ]


def swapped(model: nn.Module, old: tuple[type[nn.Module], ...], new: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """Each layer of a kind in ``old`` is replaced, in place, by ``new`` of it."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, old):
                setattr(parent, name, new(child))
    return model


def followed(case: Case, module: nn.Module) -> Case:
    """The case with ``module`` after the head."""
    return remodelled(case, nn.Sequential(case.model, module))


def before_head(case: Case, module: nn.Module) -> Case:
    """The case with ``module`` between body and head."""
    case.model.body = nn.Sequential(body(case), module)
    return remodelled(case, case.model)


def features(case: Case) -> int:
    """The number of features that the head takes."""
    return head(case).in_features


def body(case: Case) -> nn.Module:
    """The body of the network."""
    part = case.model.body
    assert isinstance(part, nn.Module)
    return part


def head(case: Case) -> nn.Linear:
    """The head of the network."""
    part = case.model.head
    assert isinstance(part, nn.Linear)
    return part


def drawn(case: Case) -> torch.Generator:
    """Random numbers that depend on the case's seed alone."""
    return torch.Generator().manual_seed(77_000 + case.seed)


@torch.no_grad()
def scaled(tensors: Iterable[Tensor | None], factor: float, shift: float = 0.0) -> None:
    """Multiply the tensors in place by ``factor``, then add ``shift``."""
    for tensor in tensors:
        if tensor is not None:
            tensor.mul_(factor).add_(shift)


def biases(modules: Sequence[nn.Module]) -> list[Tensor | None]:
    """The bias of each module, None where it has none."""
    return [getattr(module, "bias", None) for module in modules]


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        """The function's value."""
        return self.function(inputs)
