"""``orograph show DIR``: what a study found, or how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Annotated

import tyro

from orograph.basics.errors import StoreError, UsageError
from orograph.cli.output import emit, parse


@dataclass(frozen=True)
class ShowOptions:
    """Print what a study found, or how far it is."""

    folder: Annotated[Path, tyro.conf.Positional]
    """A study's folder, or a result's .npz file."""
    json: bool = False
    """Print one JSON object on stdout."""


def main(words: list[str]) -> None:
    """Parse ``DIR [--json]`` and print; DIR may also be a saved result's file."""
    options = parse(ShowOptions, words, "show")
    folder = options.folder
    if folder.is_file():
        from orograph.results import load

        emit(load(folder), as_json=options.json)
        return
    if not folder.is_dir():
        raise UsageError(f"no such study folder or result file: {folder}")
    if not (folder / "result.npz").is_file():
        from orograph.store import Store

        store = Store(folder, writable=False)
        tasks = store.catalogue.tasks()
        store.close()
        for _, name, finished, cpu, _ in () if options.json else tasks:
            print(f"{finished}  {cpu:8.1f} s  {name}")
        raise StoreError(
            f"{folder} is not finished: {len(tasks)} tasks are done; continue with: "
            f"orograph run {quote(str(folder / 'study.toml'))} --out {quote(str(folder))}"
        )
    from orograph.studies.running import load_study

    emit(load_study(folder), as_json=options.json)
