"""Which network and which functions a height was measured with, for content keys: their structure and their source.

Two networks with equal weights need not be equal functions: a user mends a forward and runs the same command again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from torch import nn

from orograph.basics.references import defining_file_hash


def network_identity(model: nn.Module) -> dict[str, Any]:
    """The printed structure, and the hash of each file that defines one of the module classes (torch's own excepted).

    What those files import is not looked at.
    """
    kinds = {type(part) for part in model.modules() if not type(part).__module__.startswith("torch.")}
    return {
        "structure": re.sub(r" at 0x[0-9a-fA-F]+", "", repr(model)),  # addresses differ from process to process
        "files": sorted([kind.__qualname__, defining_file_hash(kind)] for kind in kinds),
    }


def function_identities(functions: Iterable[Any]) -> list[str]:
    """The hashes of the files that define the user's own functions."""
    return [defining_file_hash(function) for function in functions]
