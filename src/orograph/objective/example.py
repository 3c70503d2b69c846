"""A network on a few examples, outside of any measurement: what goes in and what comes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from orograph.data import Examples
from orograph.objective.calling import LABELS


def run(model: nn.Module, example: Any) -> Any:
    """What the network makes of an example: a tensor, positional arguments, or named ones."""
    if isinstance(example, Mapping):
        return model(**example)
    return model(*example) if isinstance(example, tuple) else model(example)


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
