"""How the user's step is called: by what its arguments are named, else by their number."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orograph.diagnose.together import Together

if TYPE_CHECKING:
    from orograph.diagnose.patient import Copy

Step = Callable[..., Any]
_NAMES = {
    "model": ("model", "net", "network", "module", "m"),
    "batch": ("batch", "data", "sample", "examples", "b"),
    "optimizer": ("optimizer", "optimiser", "opt", "optim", "optimizers", "optimisers", "opts"),
    "loss": ("loss", "criterion", "loss_fn", "loss_function", "loss_func"),
    "inputs": ("x", "inputs", "input", "xb", "images", "features"),
    "targets": ("y", "targets", "target", "labels", "yb"),
    "index": ("index", "i", "step", "iteration", "it", "t", "n"),
}


def call_step(step: Step, made: Copy, batch: Any, index: int) -> Any:
    """Give a step what its arguments are called, or (model, batch, optimizer, loss, index) by their number."""
    inputs, targets = (batch[0], batch[1]) if isinstance(batch, (tuple, list)) and len(batch) == 2 else (batch, None)
    values = {
        "model": made.model,
        "batch": batch,
        "optimizer": made.optimizer.as_given if isinstance(made.optimizer, Together) else made.optimizer,
        "loss": made.loss.loss if callable(made.loss.loss) else made.loss,
        "inputs": inputs,
        "targets": targets,
        "index": index,
    }
    try:
        parameters = [
            p
            for p in inspect.signature(step).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
        ]
    except (TypeError, ValueError):
        parameters = []
    roles = [next((role for role, names in _NAMES.items() if p.name.lower() in names), None) for p in parameters]
    if parameters and all(role is not None for role in roles) and len(set(roles)) == len(roles):
        return step(*(values[str(role)] for role in roles))
    order = ("batch",) if len(parameters) == 1 else ("model", "batch", "optimizer", "loss", "index")
    return step(*(values[role] for role in order[: len(parameters)]))


def wants_model(make: Callable[..., Any]) -> bool:
    """Whether the first argument of a function is called as a network is."""
    try:
        first = next(iter(inspect.signature(make).parameters), "")
    except (TypeError, ValueError):
        return False
    return first.lower() in _NAMES["model"]
