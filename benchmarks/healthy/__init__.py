"""A corpus of healthy training set-ups: each trains well, and an inspector should find nothing wrong with it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

from .setup import Setup, make, names, train

MODULES = (
    "tables",
    "pictures",
    "sequences",
    "text",
    "generative",
    "metric",
    "graphs",
    "likelihoods",
    "functions",
    "recipes",
    "decisions",
    "loops",
    "detection",
)
_BY_MODULE: dict[str, list[str]] = {}
for _module in MODULES:
    _before = len(names())
    importlib.import_module(f"{__name__}.{_module}")
    _BY_MODULE[_module] = names()[_before:]


def of_module(module: str) -> list[str]:
    """The names of the set-ups of one themed module."""
    return list(_BY_MODULE[module])


def validated() -> list[str]:
    """The names of the set-ups whose training was seen to work, in the order they were defined."""
    record = json.loads(Path(__file__).with_name("validated.json").read_text())
    return [name for name in names() if name in record]


__all__ = ["MODULES", "Setup", "make", "names", "of_module", "train", "validated"]
