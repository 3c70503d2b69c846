"""Names of the user's own Python objects: ``package.module:name`` or ``path/to/file.py:name``."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from orograph.basics.errors import OrographError, UsageError, nearest
from orograph.basics.files import file_hash

_FILES: dict[str, Path] = {}  # modules made of the user's files, by name


def is_reference(text: str) -> bool:
    """Whether ``text`` names an object of the user's (it has a colon) rather than one of orograph's own."""
    module, colon, name = text.rpartition(":")
    return bool(colon and module and name.replace(".", "").isidentifier())


def load_reference(text: str) -> Any:
    """The object that ``text`` names. The current folder is importable, as with ``python -m``.

    Raises
    ------
    UsageError
        The text has no colon, or the module or the name is not found; the message says which.
    """
    if not is_reference(text):
        raise UsageError(f"{text!r} is not 'package.module:name' or 'file.py:name'")
    module_name, _, name = text.rpartition(":")
    module = _load_file(Path(module_name)) if module_name.endswith(".py") else _load_module(module_name)
    target: Any = module
    for part in name.split("."):
        if not hasattr(target, part):
            public = [known for known in vars(target) if not known.startswith("_")]
            raise UsageError(f"{module_name} has no {part!r}{nearest(part, public)}")
        target = getattr(target, part)
    return target


def source_hash(text: str) -> str:
    """The SHA-256 of the source file that defines what ``text`` names; "" where there is none (C code, a console).

    A study's keys contain it, so that tasks are done again when the user edits a network.
    """
    return defining_file_hash(load_reference(text))


def defining_file_hash(target: Any) -> str:
    """The SHA-256 of the source file that defines a class, a function, or an object's class; "" where there is none."""
    named = inspect.unwrap(target) if inspect.isclass(target) or inspect.isroutine(target) else type(target)
    try:
        return file_hash(Path(inspect.getfile(named)))
    except (OSError, TypeError):
        return ""


def loaded_files() -> tuple[Path, ...]:
    """The user's files that were loaded by name; see :func:`load_files`."""
    return tuple(_FILES.values())


def load_files(paths: Iterable[Path]) -> None:
    """Load the same files in another process, so that objects defined in them can be sent to it.

    One that cannot be loaded there is passed over: a task that needs it will say so, the others are none the worse.
    """
    for path in paths:
        with contextlib.suppress(Exception):
            _load_file(path)


def _load_module(name: str) -> Any:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"cannot import {name!r}: no module named {error.name!r} (run from the folder that holds it, "
            "or name the file: path/to/file.py:name)"
        ) from error


def _load_file(path: Path) -> Any:
    if not path.is_file():
        raise UsageError(f"no such file: {path}")
    # The same file is one module, however often it is named; its folder is importable for its neighbours.
    name = f"orograph_user_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    if name in _FILES:
        return sys.modules[name]
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise UsageError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name], _FILES[name] = module, path.resolve()
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        specification.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name], _FILES[name]
        if isinstance(error, SystemExit):
            raise UsageError(
                f"{path} ends the program when it is imported; put its script under: if __name__ == '__main__'"
            ) from error
        if isinstance(error, Exception) and not isinstance(error, OrographError):
            raise UsageError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
        raise
    return module
