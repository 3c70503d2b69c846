"""The doctor's thresholds, all in one versioned file beside this one."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def _file() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((files("orograph.diagnose") / "thresholds.json").read_text(encoding="utf-8"))
    return found


def threshold(name: str) -> float:
    """The value of a threshold. Raises KeyError for an unknown one."""
    return float(_file()["values"][name])


def version() -> int:
    """The version of the file."""
    return int(_file()["version"])
