"""Losses as users have them: a name, a module or function of (outputs, targets), or a function of (model, batch)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from orograph.basics.errors import ModelError, UsageError
from orograph.objective.calling import call_own, style_of
from orograph.objective.calling import called as called
from orograph.objective.calling import parts_of as parts_of
from orograph.objective.criterion import abyss as abyss_loss
from orograph.objective.criterion import check_labels, check_name, classes_last, forward, logits_of, squared_error


class Loss:
    """The user's loss as one function of a network and a batch.

    Call it for the loss as the user has it (a scalar, with its own reduction). ``of_outputs`` says whether it is a
    function of (outputs, targets), once known. Raises UsageError for what is no loss.
    """

    def __init__(self, loss: str | nn.Module | Callable[..., Any]) -> None:
        if isinstance(loss, str):
            check_name(loss)
        if isinstance(loss, type):
            raise UsageError(f"the loss is a class; give an instance: {loss.__name__}()")
        if not isinstance(loss, str) and not callable(loss):
            raise UsageError(f"a loss is a name or a callable, not a {type(loss).__name__}")
        self.loss = loss
        self.of_outputs: bool | None = True if isinstance(loss, str) else style_of(loss)
        self.of_step = False  # whether it is what the user's step calls backward() on
        self.target_name = ""  # what the user's batches call their targets, where the doctor had to find it out

    @property
    def name(self) -> str:
        """What to call it."""
        if isinstance(self.loss, str):
            return self.loss
        return str(getattr(self.loss, "__name__", type(self.loss).__name__))

    def __call__(self, model: Callable[..., Any], batch: Any) -> Tensor:
        if isinstance(self.loss, str):
            return self._named(model, batch)
        found, self.of_outputs = call_own(self.loss, self.of_outputs, model, self.as_given(batch))
        return self._scalar(found)

    def as_given(self, batch: Any) -> Any:
        """A batch as the user's code knows it."""
        if not self.target_name:
            return batch
        return {self.target_name if name == "targets" else name: value for name, value in batch.items()}

    def of(self, outputs: Any, targets: Any) -> Tensor:
        """The loss of outputs that are at hand. Raises UsageError where it is a function of the model."""
        if isinstance(self.loss, str):
            return _by_name(self.loss, logits_of(outputs), targets)
        if not self.of_outputs:
            raise UsageError("this loss calls the network itself")
        return self._scalar(self.loss(outputs, targets))

    def _named(self, model: Callable[..., Any], batch: Any) -> Tensor:
        assert isinstance(self.loss, str)
        return _by_name(self.loss, *forward(model, batch))

    def _scalar(self, value: Any) -> Tensor:
        if not isinstance(value, Tensor):
            raise ModelError(f"the loss {self.name} returned a {type(value).__name__}, not a tensor")
        if value.numel() != 1:
            raise ModelError(
                f"the loss {self.name} returned {value.numel()} numbers of shape {tuple(value.shape)}; backward() "
                "needs one, so take their mean"
            )
        return value.reshape(())


def _by_name(name: str, outputs: Tensor, targets: Tensor) -> Tensor:
    if name == "mse":
        return squared_error(outputs, targets).mean()
    if name == "cross_entropy" and targets.is_floating_point() and targets.shape == outputs.shape:
        return nn.functional.cross_entropy(outputs.float() if outputs.dtype != torch.float64 else outputs, targets)
    logits, labels = classes_last(outputs, targets)
    wide = logits if logits.dtype == torch.float64 else logits.float()
    try:
        return abyss_loss(wide, labels).mean() if name == "abyss" else nn.functional.cross_entropy(wide, labels)
    except (IndexError, RuntimeError):
        check_labels(labels, logits.shape[1])
        raise
