"""Flags that cannot be right whatever the network and the data, refused before anything is loaded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from orograph.basics.errors import UsageError


def at_least(lowest: float, options: Any, *names: str) -> None:
    """Raise UsageError for a number below ``lowest``, or one that is not finite; what is unset or a word is passed."""
    for name in names:
        value = getattr(options, name)
        if isinstance(value, (int, float)) and not lowest <= value < math.inf:
            raise UsageError(f"--{_flag(name)} must be a number from {lowest:g}, not {value:g}")


def above_zero(options: Any, *names: str) -> None:
    """Raise UsageError for a number that is not above 0, or not finite; what is unset or a word is passed."""
    for name in names:
        value = getattr(options, name)
        if isinstance(value, (int, float)) and not 0 < value < math.inf:
            raise UsageError(f"--{_flag(name)} must be a number above 0, not {value:g}")


def file_stem(path: Path | None, name: str) -> None:
    """Raise UsageError for a folder in the place of a name to which endings such as .npz are appended."""
    if path is not None and path.name in ("", ".."):
        raise UsageError(
            f"--{_flag(name)} names the files to write, e.g. why or results/why; {str(path)!r} is a folder"
        )


def _flag(name: str) -> str:
    return name.replace("_", "-")
