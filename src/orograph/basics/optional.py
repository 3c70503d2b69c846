"""Optional packages, imported where they are used, with an error that names the extra to install."""

from __future__ import annotations

import importlib
from typing import Any

from orograph.basics.errors import UsageError


def optional_import(module: str, extra: str) -> Any:
    """Import ``module``, or say ``pip install 'orograph[extra]'``.

    A RuntimeError counts as absence too: torchvision raises one when it does not match the installed torch.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError) as error:
        raise UsageError(f"this needs {module} ({error}); install it with: pip install 'orograph[{extra}]'") from error
