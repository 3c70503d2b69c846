"""Losses as a loop tells them: numbers, or tensors that stay where they are until somebody reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from orograph.basics.errors import UsageError


class Told:
    """The losses told so far. ``waiting``: how many tensors are kept before they are fetched together."""

    def __init__(self, waiting: int) -> None:
        self.count = 0
        self._waiting = waiting
        self._known: list[float] = []
        self._pending: list[Tensor] = []

    def add(self, loss: Any) -> None:
        """One more. Raises UsageError for what is not one number."""
        if isinstance(loss, Tensor):
            if loss.numel() != 1 or loss.is_complex():
                raise UsageError(f"the loss of a step is one number, not a tensor of {_shape(loss)}; log its mean")
            self._pending.append(loss.detach())
            if len(self._pending) >= self._waiting:
                self.fetch()
        else:
            value = _number(loss)
            self.fetch()  # they keep their order
            self._known.append(value)
        self.count += 1

    def fetch(self) -> list[float]:
        """All of them, NaN for one that cannot be fetched."""
        if self._pending:
            try:
                self._known += torch.stack([loss.float().reshape(()) for loss in self._pending]).tolist()
            except Exception:  # tensors of several devices
                self._known += [_fetched(loss) for loss in self._pending]
            self._pending = []
        return self._known


def _number(loss: Any) -> float:
    if isinstance(loss, np.ndarray):
        if loss.size != 1:
            raise UsageError(f"the loss of a step is one number, not an array of {_shape(loss)}; log its mean")
        loss = loss.item()
    if not hasattr(type(loss), "__float__"):  # a string has none, though float() would read it
        what = "None" if loss is None else f"of type {type(loss).__name__}"
        raise UsageError(f"the loss of a step is a number or a tensor with one, not {what}")
    try:
        return float(loss)
    except Exception as error:
        raise UsageError(f"the loss of a step is one number, not this {type(loss).__name__} ({error})") from error


def _shape(loss: Any) -> str:
    return f"shape {tuple(loss.shape)}" if not getattr(loss, "is_complex", bool)() else "complex numbers"


def _fetched(loss: Tensor) -> float:
    try:
        return float(loss)
    except Exception:
        return float("nan")
