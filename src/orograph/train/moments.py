"""What an optimiser remembers of the steps before, to be handed from one stretch of a run to the next.

Without it each stretch would begin as if from rest, and a run in many short stretches would be another run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from orograph.train.optimizer import optimizer_state, restore_optimizer


@dataclass
class Moments:
    """Momentum buffers, Adam's two moments and its count of steps, by parameter; empty before the first step."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)

    def give(self, optimizer: Optimizer) -> None:
        """Put them into an optimiser over the same parameters."""
        if self.tensors or self.numbers:
            restore_optimizer(optimizer, self.tensors, self.numbers)

    def take(self, optimizer: Optimizer) -> None:
        """Copy them from an optimiser."""
        tensors, self.numbers = optimizer_state(optimizer)
        self.tensors = {name: tensor.clone() for name, tensor in tensors.items()}

    @classmethod
    def mean(cls, each: Sequence[Moments]) -> Moments:
        """The mean over workers that took the same steps."""
        mixed = {name: torch.stack([one.tensors[name] for one in each]).mean(0) for name in each[0].tensors}
        return cls(mixed, dict(each[0].numbers))
