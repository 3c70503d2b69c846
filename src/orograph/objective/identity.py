"""Which network and which functions a height was measured with, for content keys: their structure and their source.

Two networks with equal weights need not be equal functions: a user mends a forward and runs the same command again.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any

from torch import nn

from orograph.basics.keys import content_key
from orograph.basics.references import defining_file_hash
from orograph.data.structure import structure_fingerprint


def network_identity(model: nn.Module) -> dict[str, Any]:
    """The printed structure, and the hash of each file that defines one of the module classes (torch's own excepted).

    What those files import is not looked at.
    """
    kinds = {type(part) for part in model.modules() if not type(part).__module__.startswith("torch.")}
    return {
        "structure": _without_addresses(model),
        "files": sorted([kind.__qualname__, defining_file_hash(kind)] for kind in kinds),
    }


def function_identities(functions: Iterable[Any]) -> list[str]:
    """The hashes of the files that define the user's own functions; for modules and partial functions with a hash of
    their settings, in which two of one kind may differ."""
    return [_identity(function) for function in functions]


def settings_of(function: Any) -> str:
    """A hash of what a loss module or partial function was built with; "" for others."""
    if isinstance(function, functools.partial):
        return content_key(_without_addresses([function.args, sorted(function.keywords.items())]))
    if not isinstance(function, nn.Module):
        return ""
    options = [
        [type(part).__qualname__, {n: v for n, v in vars(part).items() if isinstance(v, (str, int, float, type(None)))}]
        for part in function.modules()
    ]
    tensors = {**dict(function.named_parameters()), **dict(function.named_buffers())}
    return content_key([options, structure_fingerprint(tensors)])


def _identity(function: Any) -> str:
    own = function.func if isinstance(function, functools.partial) else function
    settings = settings_of(function)
    return f"{defining_file_hash(own)} {settings}" if settings else defining_file_hash(own)


def _without_addresses(value: Any) -> str:
    """Its printed form; addresses differ from process to process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
