"""Files that are either whole or absent, and their hashes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orograph.basics.errors import StoreError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``; when the block ends well it is flushed to disk and takes its place.

    After a crash, a full disk or an exception the old file (or none) is still there, never half of a new one.
    """
    path = Path(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=f".tmp{path.suffix}")
        os.close(handle)
    temporary = Path(name)
    try:
        with explained(path):
            yield temporary
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def require_writable(path: Path) -> None:
    """Raise StoreError where nothing can be written beside ``path``, before any work is done for it."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write ``content`` to ``path`` in one step (see :func:`atomic_path`); text is UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals (full disk, read-only folder) into one line with a remedy."""
    try:
        yield
    except OSError as error:
        remedy = {
            28: "the disk is full; free some space and run the same command again, nothing finished is lost",
            30: "the file system is read-only; choose another folder",
            13: "permission denied; choose a folder that you may write to",
            17: "a part of this path is a file, not a folder; choose another",
            20: "a part of this path is a file, not a folder; choose another",
        }.get(error.errno or 0, f"{error.strerror or error}; choose another place")
        raise StoreError(f"cannot write {path}: {remedy}") from error


def file_hash(path: Path, algorithm: Callable[[], hashlib._Hash] = hashlib.sha256) -> str:
    """The hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()
