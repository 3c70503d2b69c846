"""The catalogue of a study's folder: which task made which files. SQLite in WAL mode, one writer.

The schema's version is SQLite's ``user_version``. Opening an older catalogue runs the missing migrations in one
transaction; a newer one is refused.
"""

from __future__ import annotations

import json
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from orograph.basics.errors import DamagedCatalogue, StoreError

_MIGRATIONS = (
    """
    CREATE TABLE tasks (
        key TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        function TEXT NOT NULL,
        arguments TEXT NOT NULL,
        finished TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
        cpu_seconds REAL NOT NULL,
        wall_seconds REAL NOT NULL
    ) STRICT;
    CREATE TABLE outputs (
        task TEXT NOT NULL REFERENCES tasks (key) ON DELETE CASCADE,
        name TEXT NOT NULL,
        hash TEXT NOT NULL,
        suffix TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (task, name)
    ) STRICT;
    CREATE INDEX outputs_by_hash ON outputs (hash);
    """,
)
SCHEMA_VERSION = len(_MIGRATIONS)


@dataclass(frozen=True)
class Output:
    """One file of a task: its name among the task's outputs, and the SHA-256 that names it in the store."""

    name: str
    hash: str
    suffix: str
    bytes: int


class Catalogue:
    """The tables ``tasks`` and ``outputs``."""

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self.path = path
        try:
            if writable:
                self._connection = sqlite3.connect(path, timeout=30, isolation_level=None)
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = NORMAL")
                self._connection.execute("PRAGMA foreign_keys = ON")
            else:
                # In a folder nobody may write to SQLite cannot make the files it shares with a writer; where none is at
                # work it need not. (as_uri quotes spaces and non-ASCII letters.)
                alone = not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
                how = "immutable=1" if alone else "mode=ro"
                self._connection = sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True, timeout=30)
            version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        except sqlite3.Error as error:
            raise _explained(path, error) from error
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{path.parent} was written by a newer orograph (catalogue version {version}, this one knows "
                f"{SCHEMA_VERSION}); upgrade orograph, or choose another folder with --out"
            )
        if writable and version < SCHEMA_VERSION:
            self._migrate(version)

    def _migrate(self, version: int) -> None:
        script = (
            "BEGIN IMMEDIATE;" + "".join(_MIGRATIONS[version:]) + f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
        try:
            self._connection.executescript(script)
        except sqlite3.Error as error:
            raise _explained(self.path, error) from error

    def outputs(self, key: str) -> list[Output] | None:
        """The outputs of a finished task, None where it is not finished."""
        try:
            if not self._connection.execute("SELECT 1 FROM tasks WHERE key = ?", (key,)).fetchone():
                return None
            rows = self._connection.execute("SELECT name, hash, suffix, bytes FROM outputs WHERE task = ?", (key,))
            return [Output(*row) for row in rows]
        except sqlite3.Error as error:
            raise _explained(self.path, error) from error

    def add(
        self,
        key: str,
        name: str,
        function: str,
        arguments: dict[str, Any],
        outputs: list[Output],
        seconds: tuple[float, float],
    ) -> None:
        """Record a finished task and its outputs in one transaction."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("DELETE FROM tasks WHERE key = ?", (key,))
            self._connection.execute(
                "INSERT INTO tasks (key, name, function, arguments, cpu_seconds, wall_seconds) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (key, name, function, json.dumps(arguments, sort_keys=True), *seconds),
            )
            rows = [(key, out.name, out.hash, out.suffix, out.bytes) for out in outputs]
            self._connection.executemany("INSERT INTO outputs VALUES (?, ?, ?, ?, ?)", rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise _explained(self.path, error) from error

    def forget(self, key: str) -> None:
        """Remove a task, so that it is computed again."""
        try:
            self._connection.execute("DELETE FROM tasks WHERE key = ?", (key,))
        except sqlite3.Error as error:
            raise _explained(self.path, error) from error

    def tasks(self) -> list[tuple[str, str, str, float, float]]:
        """(key, name, finished, CPU seconds, wall seconds) of every finished task, in order."""
        query = "SELECT key, name, finished, cpu_seconds, wall_seconds FROM tasks ORDER BY rowid"
        try:
            return list(self._connection.execute(query))
        except sqlite3.Error as error:
            raise _explained(self.path, error) from error

    def everything(self) -> list[tuple[str, str, Output]]:
        """(key, task's name, output) of every output of every finished task."""
        query = (
            "SELECT tasks.key, tasks.name, outputs.name, hash, suffix, bytes "
            "FROM outputs JOIN tasks ON tasks.key = outputs.task ORDER BY tasks.rowid, outputs.name"
        )
        try:
            return [(key, name, Output(*row)) for key, name, *row in self._connection.execute(query)]
        except sqlite3.Error as error:
            raise _explained(self.path, error) from error

    def check(self) -> list[str]:
        """What SQLite finds wrong in the file itself, and outputs whose task is not in it."""
        try:
            said = [row[0] for row in self._connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
            lost = self._connection.execute("PRAGMA foreign_key_check").fetchall()
        except sqlite3.Error as error:
            raise _explained(self.path, error) from error
        return said + [f"{len(lost)} rows name a task that is not there"] * bool(lost)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _explained(path: Path, error: sqlite3.Error) -> StoreError:
    text = str(error)
    if "full" in text:
        text = "the disk is full; free some space and run the same command again, nothing finished is lost"
    elif "disk I/O error" in text:  # what SQLite says of a full disk while it makes its files
        text = "the disk is full or failing; free some space and run the same command again, nothing finished is lost"
    elif "malformed" in text or "not a database" in text:
        text = f"it is damaged; mend it with: orograph check {quote(str(path.parent))} --repair"
        return DamagedCatalogue(f"catalogue {path}: {text}")
    elif "readonly" in text or "unable to open" in text:
        text = "it cannot be written; choose a folder you may write to with --out"
    return StoreError(f"catalogue {path}: {text}")
