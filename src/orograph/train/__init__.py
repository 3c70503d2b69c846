"""The climb: train a network, keep the moments that matter, and continue bit for bit after a kill.

``fit`` trains, ``Recipe`` holds its options, ``Streams`` the seed of each source of randomness, ``Cycles`` the
schedules that collect networks on their way; ``Recorder`` keeps
the checkpoints of a loop of your own, and ``load_run`` reads back what either of them wrote. The names are loaded
when they are first used: ``Recipe`` is read by the command line, which must start without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orograph.train.cycles import Averaging, Cycles, FastGeometric, NoCycle, Snapshots, Stretch
    from orograph.train.fitting import fit
    from orograph.train.moments import Moments
    from orograph.train.reading import load_run
    from orograph.train.recipe import Recipe
    from orograph.train.recorder import Recorder
    from orograph.train.streams import Streams

_MODULES = {
    "Moments": "moments",
    "Recipe": "recipe",
    "Recorder": "recorder",
    "Streams": "streams",
    "fit": "fitting",
    "load_run": "reading",
    **dict.fromkeys(("Averaging", "Cycles", "FastGeometric", "NoCycle", "Snapshots", "Stretch"), "cycles"),
}

__all__ = [
    "Averaging",
    "Cycles",
    "FastGeometric",
    "Moments",
    "NoCycle",
    "Recipe",
    "Recorder",
    "Snapshots",
    "Streams",
    "Stretch",
    "fit",
    "load_run",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'orograph.train' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"orograph.train.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
