"""What a monitor is given, checked before anything is hooked."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import Optimizer

from orograph.basics.errors import UsageError


def check(model: Any, optimizer: Any, every: Any, on_warning: Any) -> None:
    """Raises UsageError for arguments of other kinds, a model without parameters or a number of steps below 1."""
    if not isinstance(model, nn.Module):
        raise UsageError(f"the model must be a torch.nn.Module, not {_kind(model)}")
    if not isinstance(optimizer, Optimizer):
        raise UsageError(f"the optimizer must be the torch optimiser that trains the model, not {_kind(optimizer)}")
    if not isinstance(every, int) or every < 1:
        raise UsageError(f"the monitor reads every so many steps, a whole number of 1 or more, not {every!r}")
    if on_warning is not None and not callable(on_warning):
        raise UsageError(f"on_warning must be a function of a text, not {_kind(on_warning)}")
    if not any(True for _ in model.parameters()):
        raise UsageError("the network has no parameters, so there is nothing to watch")


def _kind(given: Any) -> str:
    if given is None:
        return "None"
    return f"the class {given.__name__}" if isinstance(given, type) else f"one of type {type(given).__name__}"
