"""A corpus of healthy training set-ups: each trains well, and an inspector should find nothing wrong with it."""

from __future__ import annotations

import importlib

from .setup import Setup, make, names, train

MODULES = ("tables", "pictures", "sequences", "text", "generative", "metric", "reinforcement", "graphs_and_sets")
_BY_MODULE: dict[str, list[str]] = {}
for _module in MODULES:
    _before = len(names())
    importlib.import_module(f"{__name__}.{_module}")
    _BY_MODULE[_module] = names()[_before:]


def of_module(module: str) -> list[str]:
    """The names of the set-ups of one themed module."""
    return list(_BY_MODULE[module])


__all__ = ["MODULES", "Setup", "make", "names", "of_module", "train"]
