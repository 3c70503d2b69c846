"""Content keys: one short name for one exact request.

Everything that determines a result (options, weights, data fingerprint, package version) is written as canonical
JSON and hashed. Equal keys mean equal results, which is what lets a study continue where it stopped and redo only
what an option changes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

KEY_LENGTH = 24


def plain(value: Any) -> Any:
    """``value`` as JSON types only: dataclasses become dictionaries, tuples lists, arrays nested lists.

    Fields marked ``metadata={"saved": False}`` are left out.
    Non-finite floats become strings ("nan", "inf", "-inf"), since JSON has no words for them.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        named = [field.name for field in dataclasses.fields(value) if field.metadata.get("saved", True)]
        return {name: plain(getattr(value, name)) for name in named}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be part of a content key; give it as text or numbers")


def canonical_json(value: Any) -> str:
    """``value`` as JSON with sorted keys and no spaces: equal values give equal text, 15 and 15.0 too."""
    return json.dumps(_whole(plain(value)), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _whole(value: Any) -> Any:
    """Whole floats as integers: an option has one key, whether its default, a file or a flag gave it."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def content_key(value: Any) -> str:
    """A hexadecimal key of 24 digits (SHA-256, shortened) of anything :func:`plain` understands."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:KEY_LENGTH]
