"""What a copy is given: inputs, targets, batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from orograph.basics.errors import ModelError
from orograph.data.structure import map_tensors
from orograph.diagnose.batches import with_inputs, with_targets
from orograph.diagnose.chart import Edit
from orograph.diagnose.losses import parts_of
from orograph.diagnose.patient import Copy


def standardised(mean: float, std: float) -> Edit:
    """Floating inputs less their mean, over their standard deviation."""

    def change(made: Copy) -> None:
        before = made.change

        def scaled(tensor: Tensor) -> Tensor:
            return (tensor - mean) / std if tensor.is_floating_point() else tensor

        made.change = lambda batch: with_inputs(before(batch), lambda inputs: map_tensors(scaled, inputs))

    return Edit("inputs standardised", change)


def standardised_by_column(batches: Sequence[Any]) -> Edit:
    """Each column of (n, columns) inputs less its mean, over its standard deviation."""
    x = torch.cat([inputs for inputs, _ in map(parts_of, batches)])
    mean, std = x.mean(0), x.std(0, correction=0)
    std = torch.where(std > 0, std, torch.ones_like(std))

    def change(made: Copy) -> None:
        before = made.change
        made.change = lambda batch: with_inputs(before(batch), lambda inputs: (inputs - mean) / std)

    return Edit("every input column standardised", change)


def repaired() -> Edit:
    """NaN and infinity in the inputs replaced by 0."""

    def change(made: Copy) -> None:
        before = made.change

        def mended(tensor: Tensor) -> Tensor:
            return torch.nan_to_num(tensor, 0.0, 0.0, 0.0) if tensor.is_floating_point() else tensor

        made.change = lambda batch: map_tensors(mended, before(batch))

    return Edit("NaN and infinity replaced by 0", change)


def shuffled(batches: Sequence[Any], least: int = 0) -> Edit:
    """Batches drawn from the examples of all, as large as they were or ``least``."""

    def change(made: Copy) -> None:
        inputs, targets = zip(*map(parts_of, batches), strict=True)
        if not all(isinstance(part, Tensor) for part in [*inputs, *targets]):
            raise ModelError("only tensors can be drawn from")
        x, y = torch.cat(inputs), torch.cat(targets)
        drawing = torch.Generator().manual_seed(0)

        def mixed(batch: Any) -> Any:
            rows = torch.randint(len(x), (max(least, len(parts_of(batch)[1])),), generator=drawing).to(x.device)
            return x[rows], y[rows]

        made.change = mixed

    return Edit(f"batches of {least} examples" if least else "examples shuffled", change)


def rescaled_targets(mean: float, std: float) -> Edit:
    """Targets less their mean, over their standard deviation."""

    def change(made: Copy) -> None:
        before = made.change

        made.change = lambda batch: with_targets(before(batch), lambda targets: (targets - mean) / std)

    return Edit("targets standardised", change)


def other_targets(name: str, change: Callable[[Tensor], Tensor]) -> Edit:
    """Other targets of each batch."""

    def changed(made: Copy) -> None:
        before = made.change
        made.change = lambda batch: with_targets(before(batch), change)

    return Edit(name, changed)
