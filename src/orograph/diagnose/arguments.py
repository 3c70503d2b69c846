"""What the doctor and a monitor are given, checked before anything runs or is hooked."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from orograph.basics.errors import UsageError


def check_watched(model: Any, optimizer: Any, every: Any, on_warning: Any) -> None:
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


def check_examined(model: Any, optimizer: Any, step: Any, steps: Any, batch_size: Any, seconds: Any, seed: Any) -> None:
    """Raises UsageError for what the doctor cannot examine, and for numbers that are none."""
    if not isinstance(model, nn.Module):
        raise UsageError(f"the doctor examines an nn.Module, not a {type(model).__name__}")
    if isinstance(model, torch.jit.ScriptModule):
        raise UsageError("a scripted network cannot be watched; give the module that it was made from")
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in model.parameters()):
        raise UsageError("the network has lazy layers without weights; pass one batch through it first")
    if all(p.device.type == "meta" for p in model.parameters()) and any(True for _ in model.parameters()):
        raise UsageError("the network lies on the meta device and holds no numbers; build it on cpu or cuda")
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise UsageError(
            f"optimizer must be a torch.optim.Optimizer, not a {type(optimizer).__name__}; for example "
            "torch.optim.Adam(model.parameters(), lr=1e-3)"
        )
    if step is not None and not callable(step):
        raise UsageError(f"step must be a function of (model, batch, optimizer), not a {type(step).__name__}")
    if not any(True for _ in model.parameters()):
        raise UsageError("the network has no parameters, so there is nothing to train")
    for name, value in (("steps", steps), ("batch_size", batch_size)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise UsageError(f"{name} must be a whole number from 1, not {value!r}")
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise UsageError(f"the seed must be a whole number, not {seed!r}")
    if isinstance(seconds, bool) or not isinstance(seconds, Real) or not 0 < float(seconds) < math.inf:
        raise UsageError(f"seconds must be a number above 0, not {seconds!r}")


def _kind(given: Any) -> str:
    if given is None:
        return "None"
    return f"the class {given.__name__}" if isinstance(given, type) else f"one of type {type(given).__name__}"
