"""``orograph report DIR``: write a study's page again, from its stored result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from orograph.cli.output import parse


@dataclass(frozen=True)
class ReportOptions:
    """Write the page of a study (or of a single result's .npz file) again."""

    folder: Annotated[Path, tyro.conf.Positional]
    """A study's folder, or a result's .npz file."""
    out: Path | None = None
    """The page; default: report.html in the study's folder, or the result's name with .html."""


def main(words: list[str]) -> None:
    """Parse ``DIR [--out FILE]`` and write; DIR may also be a saved result's file."""
    options = parse(ReportOptions, words, "report")
    from orograph import report
    from orograph.results import Result, load

    result: Result
    if options.folder.is_file():
        result, page = load(options.folder), options.folder.with_suffix(".html")
    else:
        from orograph.studies.running import load_study

        result, page = load_study(options.folder), options.folder / "report.html"
    print(report.write(result, options.out or page))
