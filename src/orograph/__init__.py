"""orograph: where did my training run end up, and what could I have had instead?

``import orograph as og`` gives the public names; each part is loaded when it is first used, so that
``orograph --help`` never waits for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from orograph._version import __version__

if TYPE_CHECKING:
    from orograph import (
        connect,
        data,
        diagnose,
        ensemble,
        initialize,
        landscape,
        models,
        objective,
        report,
        results,
        studies,
        train,
    )
    from orograph.objective import Measurement, Objective
    from orograph.weights import Weights

_PARTS = (
    "connect",
    "data",
    "diagnose",
    "ensemble",
    "initialize",
    "landscape",
    "models",
    "objective",
    "report",
    "results",
    "studies",
    "train",
)
_NAMES = {"Objective": "objective", "Measurement": "objective", "Weights": "weights"}

__all__ = [
    "Measurement",
    "Objective",
    "Weights",
    "__version__",
    "connect",
    "data",
    "diagnose",
    "ensemble",
    "initialize",
    "landscape",
    "models",
    "objective",
    "report",
    "results",
    "studies",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return importlib.import_module(f"orograph.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"orograph.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'orograph' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
