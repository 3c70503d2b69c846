"""A network on a few examples, outside of any measurement: what goes in and what comes out."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader, Dataset

from orograph.basics.errors import ModelError, OrographError, UsageError, in_a_line
from orograph.data import Data, Examples
from orograph.objective.calling import LABELS, parts_of


def run(model: nn.Module, example: Any) -> Any:
    """What the network makes of an example: a tensor, positional arguments, or named ones."""
    if isinstance(example, Mapping):
        return model(**example)
    return model(*example) if isinstance(example, tuple) else model(example)


def arguments_of(model: nn.Module, example: Any) -> Any:
    """What a network is called with: inputs as they are, or those in a batch of training data.

    Named labels stay out, unless ``forward`` cannot do without them. A tuple or list is positional arguments where
    ``forward`` takes so many, else (inputs, targets), of which the targets stay out. Raises UsageError for what is no
    batch.
    """
    if example is None or isinstance(example, (str, int, float, Data, Examples, Dataset, DataLoader)):
        what = "None" if example is None else f"a {type(example).__name__}"
        raise UsageError(f"give one batch of the network's inputs, not {what}; of a loader: next(iter(loader))")
    if not isinstance(example, (Mapping, tuple, list)):
        return example
    needed, most = _positions(model)
    if isinstance(example, Mapping):
        return {name: value for name, value in example.items() if name not in LABELS or name in needed}
    return tuple(example) if len(example) <= most else parts_of(example)[0]


@contextmanager
def failures_told(model: nn.Module, loss: str = "") -> Iterator[None]:
    """Turn an exception of the network into a ModelError that names the layer and the shapes that it got.

    ``loss`` names the loss that is taken in the block; outside of all layers it is what fails.
    """
    inside: list[tuple[str, nn.Module, tuple[Any, ...]]] = []
    hooks = []
    for name, layer in model.named_modules():
        hooks.append(layer.register_forward_pre_hook(lambda one, args, name=name: inside.append((name, one, args))))
        hooks.append(layer.register_forward_hook(lambda *_: inside.pop() and None))
    try:
        yield
    except OrographError:
        raise
    except Exception as error:
        reason = in_a_line(error)
        if not inside:
            what = f"the loss {loss} fails on" if loss else "the network does not run on"
            raise ModelError(f"{what} this batch: {reason}") from error
        name, one, args = inside[-1]
        shapes = ", ".join(str(tuple(a.shape)) for a in args if isinstance(a, Tensor)) or "no tensors"
        where = f"{name or 'the network'} ({type(one).__name__})"
        raise ModelError(f"the network does not run on this batch: {where} got {shapes}: {reason}") from error
    finally:
        for hook in hooks:
            hook.remove()


def inputs_of(example: Any, count: int, device: torch.device, dtype: torch.dtype) -> Any:
    """The network's arguments in up to ``count`` examples: a tensor, a batch, or Examples; floats in ``dtype``."""
    if isinstance(example, Examples):
        example = next(iter(example.head(count).batches(count)))
        if isinstance(example, (tuple, list)) and len(example) == 2:
            example = example[0]
    if isinstance(example, Mapping):
        example = {name: value for name, value in example.items() if name not in LABELS}

    def moved(value: Any) -> Any:
        if isinstance(value, Tensor):
            value = value[:count] if value.dim() else value
            return value.to(device, dtype) if value.is_floating_point() else value.to(device)
        return value

    if isinstance(example, Mapping):
        return {name: moved(value) for name, value in example.items()}
    return tuple(moved(value) for value in example) if isinstance(example, (tuple, list)) else moved(example)


def outputs_in(outputs: Any) -> list[Tensor]:
    """All tensors of a network's output, also of objects with fields."""
    if not isinstance(outputs, (Tensor, tuple, list, dict)) and hasattr(outputs, "__dict__"):
        outputs = vars(outputs)
    return [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]


@contextmanager
def plain_attention() -> Iterator[None]:
    """Attention and encoder layers as operators and submodules that are seen, without their fused short cut."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class Overhearing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that sees every operator of a pass; subclasses define ``__torch_dispatch__``."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, two seconds' worth, to tell it that there is nothing to compile


def _positions(model: nn.Module) -> tuple[tuple[str, ...], float]:
    """The arguments without which ``forward`` cannot be called, and how many it takes by position."""
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return (), 1
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return (), float("inf")
    placed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return tuple(p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD), len(placed)
