"""A batch with other inputs or targets, and what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from orograph.diagnose.losses import parts_of
from orograph.objective.criterion import LABELS


def with_inputs(batch: Any, change: Callable[[Any], Any]) -> Any:
    """A batch with other inputs and the same targets."""
    if isinstance(batch, Mapping):
        return {name: value if name in LABELS else change(value) for name, value in batch.items()}
    if isinstance(batch, (tuple, list)) and len(batch) >= 2:
        return type(batch)([*(change(part) for part in batch[:-1]), batch[-1]])
    return change(batch)


def with_targets(batch: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A batch with the same inputs and other targets."""
    targets = parts_of(batch)[1]
    if isinstance(batch, Mapping):
        key = next(name for name in LABELS if name in batch)
        return {**batch, key: change(targets)}
    return type(batch)([*batch[:-1], change(targets)])


def only_tensor(inputs: Any) -> Tensor | None:
    """The inputs of a batch where they are one tensor, also as the only entry of a dictionary or tuple."""
    if isinstance(inputs, Mapping) and len(inputs) == 1:
        inputs = next(iter(inputs.values()))
    if isinstance(inputs, (tuple, list)) and len(inputs) == 1:
        inputs = inputs[0]
    return inputs if isinstance(inputs, Tensor) else None


def pairs_of(batches: Sequence[Any]) -> list[tuple[Tensor, Tensor]] | None:
    """Inputs and targets of each batch, row for row; None where they are not a tensor each."""
    found = []
    for batch in batches:
        inputs, targets = parts_of(batch)
        x = only_tensor(inputs)
        if x is None or not isinstance(targets, Tensor) or not x.dim() or not targets.dim() or len(x) != len(targets):
            return None
        found.append((x, targets))
    return found
