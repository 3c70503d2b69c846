"""A plain network for the same examples: two hidden layers on all numbers of an example, or on embedded symbols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from orograph.basics.seeds import derive, isolated_randomness
from orograph.diagnose.batches import only_tensor
from orograph.diagnose.edits import binary_cross_entropy, cross_entropy, squared_error_of_pairs
from orograph.diagnose.losses import Loss, parts_of
from orograph.diagnose.patient import Copy
from orograph.diagnose.task import Task

_WIDTH = 128
_SYMBOL = 16  # numbers for each symbol
_LARGEST = 20_000  # numbers of an example, beyond which such a network is no cheap one
_RATE = 1e-3
_LOSSES = {"classes": cross_entropy, "binary": binary_cross_entropy, "numbers": squared_error_of_pairs}


class Plain(nn.Module):
    """Inputs (examples, …) of one size to outputs (examples, ``outputs``); numbers are standardised by ``examples``."""

    mean: Tensor
    spread: Tensor

    def __init__(self, examples: Tensor, outputs: int) -> None:
        super().__init__()
        flat = examples.detach().reshape(len(examples), -1)
        self.table: nn.Embedding | None = None
        size = flat.shape[1]
        if not flat.is_floating_point():
            self.table = nn.Embedding(int(flat.max()) + 2, _SYMBOL)
            size *= _SYMBOL
        real = flat.float()
        spread = real.std(0, correction=0)
        self.register_buffer("mean", torch.nan_to_num(real.mean(0)))
        self.register_buffer("spread", torch.nan_to_num(spread.where(spread > 0, torch.ones_like(spread)), 1.0))
        self.layers = nn.Sequential(
            nn.Linear(size, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, outputs)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """(examples, outputs)."""
        flat = inputs.reshape(len(inputs), -1)
        if self.table is not None:
            flat = self.table(flat.clamp(0, self.table.num_embeddings - 1)).flatten(1)
        else:
            flat = torch.nan_to_num((flat.float() - self.mean) / self.spread)
        found: Tensor = self.layers(flat)
        return found


def plain_copy(batches: Sequence[Any], task: Task, seed: int = 0) -> Copy | None:
    """A plain network with Adam and the usual loss, to be trained on the same batches as a copy of the user's.

    None where inputs are not one tensor of one size, where an example has an answer at each of its places, or where it
    is too large.
    """
    inputs = [one for batch in batches if (one := only_tensor(parts_of(batch)[0])) is not None]
    targets = parts_of(batches[0])[1]
    if task.kind not in _LOSSES or not isinstance(targets, Tensor) or len(inputs) < len(batches):
        return None
    first = inputs[0]
    if any(one.shape[1:] != first.shape[1:] for one in inputs) or first.dim() < 2 or first.is_complex():
        return None
    if first[0].numel() > _LARGEST:
        return None
    if task.kind == "classes" and (len(task.output_shape) != 2 or len(targets) != task.output_shape[0]):
        return None
    outputs = task.classes if task.kind == "classes" else targets[0].numel()
    with isolated_randomness(derive(seed, "a plain network")):
        model = Plain(torch.cat(inputs), outputs).to(first.device)
    loss = Loss(_LOSSES[task.kind])
    loss.of_outputs = True
    return Copy(model, torch.optim.Adam(model.parameters(), _RATE), loss, None, change=_pair)


def _pair(batch: Any) -> tuple[Tensor, Tensor]:
    inputs, targets = parts_of(batch)
    only = only_tensor(inputs)
    assert only is not None
    return only.clone(), targets.clone()
