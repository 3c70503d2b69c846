"""Means over the steps since the last measurement, gathered without waiting for the device.

A step only appends its tensors to lists; they are read together, a few hundred steps at a time. That is also when a
loss that is no longer a number is noticed.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from orograph.basics.errors import Diverged

_FOLD = 256  # steps whose tensors are kept before they are summed up


class Meter:
    """Example-weighted means of training loss and accuracy, and the mean gradient norm over steps."""

    def __init__(self, device: torch.device) -> None:
        self.examples = 0  # trained on since the beginning of the run
        self._device = device
        self._steps = 0  # since the beginning of the run
        self._values: list[Tensor] = []  # each (3,): loss, accuracy, gradient norm
        self._weights: list[int] = []
        self._sums = [0.0, 0.0, 0.0, 0.0, 0.0]  # loss, accuracy, norm, examples, steps

    def add(self, loss: Tensor, accuracy: Tensor | None, norm: Tensor, examples: int) -> None:
        """One step: its mean loss, mean accuracy (None without labels) and gradient norm, all 0-dimensional."""
        accuracy = torch.full_like(loss, math.nan) if accuracy is None else accuracy.to(loss.dtype)
        self._values.append(torch.stack((loss, accuracy, norm.to(loss.dtype))))
        self._weights.append(examples)
        self.examples += examples
        self._steps += 1
        if len(self._values) >= _FOLD:
            self.fold()

    def fold(self) -> None:
        """Read the steps that are still on the device.

        Raises TaskError, naming the step, where a loss is not finite.
        """
        if not self._values:
            return
        table = self._checked()
        weights = torch.tensor(self._weights, dtype=torch.float64)
        loss, accuracy, norm = (table[:, 0] * weights).sum(), (table[:, 1] * weights).sum(), table[:, 2].sum()
        for index, part in enumerate((loss, accuracy, norm, weights.sum())):
            self._sums[index] += float(part)
        self._sums[-1] += len(table)
        self._values, self._weights = [], []

    def drain(self) -> tuple[float, float, float]:
        """Mean loss, accuracy and gradient norm since the last call; NaN where there was no step."""
        self.fold()
        loss, accuracy, norm, examples, steps = self._sums
        self._sums = [0.0] * 5
        if not steps:
            return math.nan, math.nan, math.nan
        return loss / examples, accuracy / examples, norm / steps

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What a continued run needs. The lists are not folded for it: sums must be taken in the same portions."""
        tensors = {"values": torch.stack(self._values)} if self._values else {}
        numbers = {"weights": self._weights, "sums": self._sums, "examples": self.examples, "steps": self._steps}
        return tensors, numbers

    def restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Put back what :meth:`state` gave."""
        self._values = list(tensors["values"].to(self._device).unbind()) if "values" in tensors else []
        self._weights, self._sums = list(numbers["weights"]), list(numbers["sums"])
        self.examples, self._steps = numbers["examples"], numbers["steps"]

    def check(self) -> None:
        """Raise TaskError where a loss since the last fold is not finite, without folding."""
        if self._values:
            self._checked()

    def _checked(self) -> Tensor:
        """(steps, 3) float64 on the CPU: the rows that are not folded yet, none with a bad loss."""
        table = torch.stack(self._values).cpu().double()
        bad = (~torch.isfinite(table[:, 0])).nonzero().flatten()
        if len(bad):
            row = int(bad[0])
            raise diverged(self._steps - len(self._values) + row + 1, f"loss {float(table[row, 0]):g}")
        return table


def diverged(step: int, what: str) -> Diverged:
    """The error of a training run whose numbers ran away at step ``step`` (from 1)."""
    return Diverged(
        f"training diverged at step {step} ({what}); lower lr, add warmup or set clip_norm "
        "(checkpoints written before it are kept)"
    )
