"""Studies: short compositions of verbs, each testing the claims of a published experiment.

``studies.run("initial-values", out="runs/first", data="digits")`` runs one, or continues it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orograph.studies.registry import known
    from orograph.studies.running import plan, run

__all__ = ["known", "plan", "run"]

_HOMES = {"known": "registry", "plan": "running", "run": "running"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:  # loaded on use: the command line asks for a study's options without torch
        return getattr(importlib.import_module(f"orograph.studies.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'orograph.studies' has no attribute {name!r}")
