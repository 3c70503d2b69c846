"""What verbs print and write: results on stdout, everything else on stderr."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, TypeVar

from orograph.basics.errors import UsageError
from orograph.basics.files import atomic_path
from orograph.cli.stdout import deliver
from orograph.results import Result

_T = TypeVar("_T")


def parse(options: type[_T], words: list[str], verb: str, default: _T | None = None) -> _T:
    """The flags of a verb as its options. Raises UsageError on wrong usage; exits with code 0 on ``--help``."""
    import tyro

    program = f"orograph {verb}"
    given: dict[str, Any] = {} if default is None else {"default": default}
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            found: _T = tyro.cli(options, args=words, prog=program, **given)
    except SystemExit as stopped:
        if not stopped.code:
            raise
        raise UsageError(f"{one_line(said.getvalue())}; see: {program} --help") from None
    return found


def one_line(box: str) -> str:
    """What the flags' parser says in a box of several lines: its first part, and the nearest flags."""
    rows = [row.strip("│╭╮╰╯ ") for row in box.splitlines()]
    rows = rows[1:] if box.startswith("╭") else rows[2:]  # the title, ruled off where stderr knows no box characters
    rule = next((i for i, row in enumerate(rows) if row.startswith(("──", "--" * 4))), len(rows))
    first = " ".join(rows[:rule]).rstrip(". ")
    perhaps = any(row.startswith("Perhaps you meant") for row in rows)
    flags = [found[0] for row in rows[rule:] if perhaps and (found := re.match(r"--\w[\w.-]*", row))]
    hint = f" (did you mean {' or '.join(flags)}?)" if flags else ""
    return (first[:1].lower() + first[1:] or "wrong usage") + hint


def emit(result: Result, *, as_json: bool, extra: dict[str, Any] | None = None) -> None:
    """Print one JSON object on stdout, or the result's summary."""
    if as_json:
        deliver({**result.to_dict(), **(extra or {})})
    else:
        print(result.summary())


def write_pictures(result: Result, out: Path) -> dict[str, str]:
    """``out.npz`` (the numbers), ``out.png`` (for a paper) and ``out.html`` (the interactive page), by kind."""
    from orograph import report

    stem = out.with_suffix("") if out.suffix in (".npz", ".png", ".html") else out
    numbers = result.save(stem.with_name(stem.name + ".npz"))
    picture = stem.with_name(stem.name + ".png")
    with atomic_path(picture) as temporary:
        result.plot().savefig(temporary, dpi=160, bbox_inches="tight", format="png")
    page = report.write(result, stem.with_name(stem.name + ".html"))
    return {"result": str(numbers), "picture": str(picture), "report": str(page)}


def tell(text: str, *, quiet: bool) -> None:
    """A line on stderr."""
    if not quiet:
        print(text, file=sys.stderr)


def progress_line(what: str, *, quiet: bool) -> tuple[Callable[[int, int], None], Callable[[], None]]:
    """A function ``(done, total)`` that draws progress on stderr, and one that ends it."""
    from orograph.basics.progress import open_board

    board = open_board(quiet=quiet)
    begun: list[int] = []

    def progress(done: int, total: int) -> None:
        if not begun:
            board.begin(total, f"{what}: {total} part{'s' * (total != 1)}" + (f", {done} done before" if done else ""))
            begun.append(done)
        if done > begun[-1]:
            board.advance(done - begun[-1], what)
            begun.append(done)
        board.show({})

    def end() -> None:
        if begun:
            board.end()

    return progress, end
