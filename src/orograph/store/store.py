"""A study's folder.

::

    study/
      study.toml           the resolved options
      catalogue.sqlite     which task made which files
      objects/ab/abc….npz  files named by the SHA-256 of their content
      partial/<key>/       work in hand of a task: continued after a kill, removed when the task is done
      errors/<key>.txt     tracebacks of failed tasks
      result.npz           the study's result;  report.html  the page

A file is moved into ``objects`` before the catalogue names it, so whatever the catalogue names was there. A file
whose content no longer has its hash is damaged: it is reported, its task forgotten, and computed again.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from orograph.basics.errors import StoreError, UsageError
from orograph.basics.files import explained, file_hash
from orograph.results import Cost
from orograph.store.catalogue import Catalogue, Output


class Store:
    """The open folder of one study. Use it as a context manager: it holds the folder's lock.

    Raises StoreError where another process works on the folder, it was written by a newer orograph, or cannot be
    written.
    """

    def __init__(self, folder: str | Path, *, writable: bool = True) -> None:
        self.folder = Path(folder)
        self.notes: list[str] = []
        self._verified: set[str] = set()
        self._lock: FileLock | None = None
        path = self.folder / "catalogue.sqlite"
        if not writable:
            if not path.is_file():
                raise UsageError(f"{folder} is not a study's folder (it has no catalogue.sqlite)")
            self.catalogue = Catalogue(path, writable=False)
            return
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"{folder} is a file, and a study needs a folder; choose another with --out")
        with explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            if any(self.folder.iterdir()) and not path.exists() and not (self.folder / "lock").exists():
                raise StoreError(f"{folder} holds other files and is not a study's folder; choose another with --out")
            self._lock = FileLock(self.folder / "lock")
            try:
                self._lock.acquire(timeout=0)
            except Timeout as error:
                raise StoreError(
                    f"another orograph process is working on {folder}; wait for it, stop it, or choose another "
                    "folder with --out"
                ) from error
        try:
            self.catalogue = Catalogue(path)
            for left_behind in self.folder.glob(".*.tmp*"):  # by a process that was killed while it wrote
                left_behind.unlink(missing_ok=True)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the catalogue and give the folder free."""
        self.catalogue.close()
        if self._lock is not None:
            self._lock.release()

    def partial(self, key: str) -> Path:
        """The folder in which a task does its work."""
        return self.folder / "partial" / key

    def clear_partial(self) -> None:
        """Remove the work in hand of all tasks; for the end of a study, when none is in hand."""
        shutil.rmtree(self.folder / "partial", ignore_errors=True)

    def path(self, output: Output) -> Path:
        """Where an output's content lies."""
        return self.folder / "objects" / output.hash[:2] / f"{output.hash}{output.suffix}"

    def outputs(self, key: str) -> dict[str, Path] | None:
        """The files of a finished task by output name; None where it is not finished or a file is damaged or gone.

        Each file's hash is checked once for each opening of the store.
        """
        found = self.catalogue.outputs(key)
        if found is None:
            return None
        for output in found:
            problem = self.problem(output)
            if problem:
                self.notes.append(f"{self.path(output)} {problem}; its task is computed again")
                if self._lock is not None:
                    self.catalogue.forget(key)
                    self.path(output).unlink(missing_ok=True)
                return None
        return {output.name: self.path(output) for output in found}

    def put(
        self,
        key: str,
        name: str,
        function: str,
        arguments: dict[str, Any],
        files: Mapping[str, Path],
        cost: Cost,
    ) -> dict[str, Path]:
        """Take over a finished task's files (they are moved) and record it. Returns their places by output name."""
        outputs = []
        for output_name, source in files.items():
            output = Output(output_name, file_hash(source), source.suffix, source.stat().st_size)
            target = self.path(output)
            with explained(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(source, target)
            self._verified.add(output.hash)
            outputs.append(output)
        self.catalogue.add(key, name, function, arguments, outputs, (cost.cpu_seconds, cost.wall_seconds))
        return {output.name: self.path(output) for output in outputs}

    def problem(self, output: Output) -> str | None:
        """What is wrong with an output's file, if anything; its hash is checked once."""
        path = self.path(output)
        if not path.is_file():
            return "is gone"
        if output.hash not in self._verified:
            if path.stat().st_size != output.bytes or file_hash(path) != output.hash:
                return "is damaged (its content does not have the hash in its name)"
            self._verified.add(output.hash)
        return None
