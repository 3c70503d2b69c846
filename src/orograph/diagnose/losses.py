"""Losses as users have them: a name, a module or function of (outputs, targets), or a function of (model, batch)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from orograph.basics.errors import ModelError, UsageError, nearest
from orograph.objective.criterion import LABELS, LOSSES, check_labels, classes_last, forward, logits_of, squared_error
from orograph.objective.criterion import abyss as abyss_loss

_OF_MODEL = ("model", "net", "network", "module", "m")
_OF_OUTPUTS = ("input", "inputs", "output", "outputs", "out", "logits", "pred", "preds", "prediction", "predictions",
               "y_hat", "yhat", "y_pred", "scores", "z", "o")  # fmt: skip


class Loss:
    """The user's loss as one function of a network and a batch.

    Call it for the loss as the user has it (a scalar, with its own reduction). ``of_outputs`` says whether it is a
    function of (outputs, targets), once known. Raises UsageError for what is no loss.
    """

    def __init__(self, loss: str | nn.Module | Callable[..., Any]) -> None:
        if isinstance(loss, str) and loss not in LOSSES:
            raise UsageError(f"unknown loss {loss!r}{nearest(loss, LOSSES)}; use {', '.join(LOSSES)} or a callable")
        if isinstance(loss, type):
            raise UsageError(f"the loss is a class; give an instance: {loss.__name__}()")
        if not isinstance(loss, str) and not callable(loss):
            raise UsageError(f"a loss is a name or a callable, not a {type(loss).__name__}")
        self.loss = loss
        self.of_outputs: bool | None = True if isinstance(loss, str) else _style(loss)

    @property
    def name(self) -> str:
        """What to call it."""
        if isinstance(self.loss, str):
            return self.loss
        return str(getattr(self.loss, "__name__", type(self.loss).__name__))

    def __call__(self, model: Callable[..., Any], batch: Any) -> Tensor:
        if isinstance(self.loss, str):
            return self._named(model, batch)
        if self.of_outputs is None:
            return self._found_out(model, batch)
        return self._scalar(self._applied(model, batch))

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

    def _applied(self, model: Callable[..., Any], batch: Any) -> Any:
        assert not isinstance(self.loss, str)
        if not self.of_outputs:
            return self.loss(model, batch)
        inputs, targets = parts_of(batch)
        return self.loss(called(model, inputs), targets)

    def _found_out(self, model: Callable[..., Any], batch: Any) -> Tensor:
        """Try (model, batch) first; what takes tensors refuses a module at once."""
        for of_outputs in (False, True):
            self.of_outputs = of_outputs
            try:
                return self._scalar(self._applied(model, batch))
            except (TypeError, AttributeError) as error:
                if of_outputs:
                    self.of_outputs = None
                    raise
                first = error
        raise first

    def _scalar(self, value: Any) -> Tensor:
        if not isinstance(value, Tensor):
            raise ModelError(f"the loss {self.name} returned a {type(value).__name__}, not a tensor")
        if value.numel() != 1:
            raise ModelError(
                f"the loss {self.name} returned {value.numel()} numbers of shape {tuple(value.shape)}; backward() "
                "needs one, so take their mean"
            )
        return value.reshape(())


def parts_of(batch: Any) -> tuple[Any, Any]:
    """Inputs and targets of a batch: a pair, or a dictionary with labels; targets None where there are none."""
    if isinstance(batch, Mapping):
        key = next((name for name in LABELS if name in batch), None)
        return {n: v for n, v in batch.items() if n != key}, None if key is None else batch[key]
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return batch[0], batch[1]
    if isinstance(batch, (tuple, list)) and len(batch) > 2:
        return tuple(batch[:-1]), batch[-1]
    return batch, None


def called(model: Callable[..., Any], inputs: Any) -> Any:
    """The network on inputs: named, several or one."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def _by_name(name: str, outputs: Tensor, targets: Tensor) -> Tensor:
    if name == "mse":
        return squared_error(outputs, targets).mean()
    logits, labels = classes_last(outputs, targets)
    wide = logits if logits.dtype == torch.float64 else logits.float()
    try:
        return abyss_loss(wide, labels).mean() if name == "abyss" else nn.functional.cross_entropy(wide, labels)
    except (IndexError, RuntimeError):
        check_labels(labels, logits.shape[1])
        raise


def _style(loss: Any) -> bool | None:
    """Whether it is a function of (outputs, targets), by where it comes from and what it calls its first argument."""
    if isinstance(loss, nn.Module) or str(getattr(loss, "__module__", "")).startswith("torch"):
        return True
    try:
        names = list(inspect.signature(loss).parameters)
    except (TypeError, ValueError):
        return None
    if names and names[0].lower() in _OF_MODEL:
        return False
    return True if names and names[0].lower() in _OF_OUTPUTS else None
