"""``orograph check DIR``: verify a study's folder; with ``--repair`` compute again what is damaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Annotated

import tyro

from orograph.basics.errors import StoreError
from orograph.cli.output import parse
from orograph.cli.stdout import deliver


@dataclass(frozen=True)
class CheckOptions:
    """Verify the hashes and references of a study's folder, and say what is wrong (exit code 1)."""

    folder: Annotated[Path, tyro.conf.Positional]
    """A study's folder."""
    repair: bool = False
    """Compute again what is damaged or gone, and remove what killed runs left behind."""
    json: bool = False
    """Print one JSON object on stdout."""
    quiet: bool = False
    """No progress on stderr."""


def main(words: list[str]) -> None:
    """Parse ``DIR [--repair]``, verify, and mend where asked to."""
    options = parse(CheckOptions, words, "check")
    from orograph.studies.checking import check, prepare_repair, sweep

    folder = options.folder
    found = check(folder)
    if options.repair and (not found.sound or found.strays):
        from orograph.cli.run import RunOptions, run_and_report
        from orograph.studies.options import build, read_study
        from orograph.studies.registry import find

        if not options.json:
            print(found.summary())
        name, given = read_study(folder / "study.toml")
        prepare_repair(found)
        run_and_report(build(find(name).options, given), folder, RunOptions(quiet=options.quiet))
        sweep(check(folder))  # what only the forgotten tasks referred to
        found = check(folder)
    if options.json:
        deliver({"folder": str(folder), "sound": found.sound, "wrong": found.wrong, "notes": found.remarks})
    else:
        print(found.summary())
    if not found.sound:
        mend = f"orograph check {quote(str(folder))} --repair"
        if found.lost_options:
            raise StoreError(f"{folder} is not sound; put study.toml right first, then mend it with: {mend}")
        raise StoreError(f"{folder} is not sound; mend it with: {mend}")
