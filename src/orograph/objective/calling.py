"""How a loss of the user's own is called: with (outputs, targets), as torch's are, or with (model, batch).

Which of the two shows by where the function comes from and what it calls its first argument, else by trying: what
takes tensors refuses a network at once.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from orograph.basics.errors import UsageError

LABELS = ("labels", "label", "targets", "target", "y")
_OF_MODEL = ("model", "net", "network", "module", "m")
_OF_OUTPUTS = ("input", "inputs", "output", "outputs", "out", "logits", "pred", "preds", "prediction", "predictions",
               "y_hat", "yhat", "y_pred", "scores", "z", "o")  # fmt: skip


class Called:
    """A loss or metric of the user's own as one function of a network and a batch.

    ``of_outputs`` says whether it takes (outputs, targets); None until the first batch has shown it. Raises UsageError
    for a torch loss that sums over the batch.
    """

    def __init__(self, function: Any, what: str = "loss") -> None:
        self.function = function
        self.of_outputs = style_of(function, what)
        if getattr(function, "reduction", None) == "sum":
            raise UsageError(
                f"the {what} {name_of(function)} sums over the batch, so its value would depend on the batch's size; "
                "build it with reduction='mean' or 'none'"
            )

    def __call__(self, model: Callable[..., Any], batch: Any) -> Any:
        found, self.of_outputs = call_own(self.function, self.of_outputs, model, batch)
        return found


def style_of(function: Any, what: str = "loss") -> bool | None:
    """True for a function of (outputs, targets), False for one of (model, batch), None where only a trial can tell.

    Raises UsageError for what cannot be called, and for a class in place of an instance.
    """
    if isinstance(function, type):
        raise UsageError(f"the {what} is a class; give an instance: {function.__name__}()")
    if not callable(function):
        raise UsageError(f"a {what} is a name or a callable, not a {type(function).__name__}")
    try:
        written = function.forward if isinstance(function, nn.Module) else function
        names = [name.lower() for name in inspect.signature(written).parameters]
    except (TypeError, ValueError):
        names = []
    if names and names[0] in _OF_MODEL:
        return False
    if isinstance(function, nn.Module) or str(getattr(function, "__module__", "")).split(".")[0] == "torch":
        return True
    return True if names and names[0] in _OF_OUTPUTS else None


def call_own(
    function: Callable[..., Any], of_outputs: bool | None, model: Callable[..., Any], batch: Any
) -> tuple[Any, bool]:
    """What a function of this style makes of a network and a batch, and its style, which is tried where unknown."""
    if of_outputs is None:
        try:
            return function(model, batch), False
        except (TypeError, AttributeError) as error:
            first = error
        try:
            return _of_outputs(function, model, batch), True
        except (TypeError, AttributeError) as error:
            # A function of the network that fails for a reason of its own now misses the network, which says nothing.
            raise (first if "not callable" in str(error) else error) from None
    return (_of_outputs(function, model, batch) if of_outputs else function(model, batch)), of_outputs


def name_of(function: Any) -> str:
    """What to call a function, or an object by its class."""
    if isinstance(function, functools.partial):
        return name_of(function.func)
    return str(getattr(function, "__qualname__", type(function).__name__)).rpartition(".")[2]


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
    """The network on inputs: named, several or one. One by a name that its forward pass does not know is given without
    it; of several names it has to know one, else it takes them as a dictionary."""
    if isinstance(inputs, Mapping):
        if not any(_knows(model, name) for name in inputs):
            return model(*inputs.values()) if len(inputs) == 1 else model(inputs)
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def _knows(model: Callable[..., Any], name: str) -> bool:
    """Whether a network takes an argument of this name."""
    try:
        taken = inspect.signature(model.forward if isinstance(model, nn.Module) else model).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(one.name == name or one.kind is one.VAR_KEYWORD for one in taken)


def _of_outputs(function: Callable[..., Any], model: Callable[..., Any], batch: Any) -> Any:
    inputs, targets = parts_of(batch)
    return function(called(model, inputs), targets)
