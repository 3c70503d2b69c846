"""How far a long job is: bars on a terminal, plain lines elsewhere, nothing when quiet. Always on stderr."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Any, Protocol

_LINE_EVERY_SECONDS = 10.0
_TELLING_SHARE = 0.05


class Board(Protocol):
    """Where a study shows its progress, in units of effort."""

    def begin(self, total: float, text: str) -> None:
        """A job of ``total`` effort begins."""

    def advance(self, effort: float, name: str) -> None:
        """The task ``name``, worth ``effort``, is done."""

    def show(self, running: dict[str, float]) -> None:
        """The running tasks by name, with the effort each has put in so far."""

    def note(self, text: str) -> None:
        """Something the user should read."""

    def end(self) -> None:
        """The job is over."""


class SilentBoard:
    """Says nothing."""

    def begin(self, total: float, text: str) -> None: ...
    def advance(self, effort: float, name: str) -> None: ...
    def show(self, running: dict[str, float]) -> None: ...
    def note(self, text: str) -> None: ...
    def end(self) -> None: ...


class PlainBoard:
    """One line for each finished task (at most one every few seconds), with the time left; for logs and pipes."""

    def __init__(self) -> None:
        self.total = self.done = self.in_hand = 0.0
        self.started = self.spoken = monotonic()

    def begin(self, total: float, text: str) -> None:
        self.total, self.done, self.in_hand = total, 0.0, 0.0
        self.started = self.spoken = monotonic()
        self.note(text)

    def advance(self, effort: float, name: str) -> None:
        self.done += effort
        now = monotonic()
        if now - self.spoken > _LINE_EVERY_SECONDS:
            self.spoken = now
            share = min((self.done + self.in_hand) / self.total, 1.0) if self.total else 1.0
            left = (now - self.started) * (1 - share) / share if share else 0.0
            # Early on it would tell of workers that start and data that are read.
            guess = f"  (about {duration(left)} left)" if share >= _TELLING_SHARE else ""
            self.note(f"{share:4.0%}  {name}{guess}")

    def show(self, running: dict[str, float]) -> None:
        self.in_hand = sum(running.values())

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201

    def end(self) -> None:
        self.note(f"took {duration(monotonic() - self.started)}")


class BarBoard:
    """A bar with the time left and the names of the running tasks."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Remaining

        self.console = Console(stderr=True)
        text = TextColumn("[dim]{task.description}", table_column=None)
        columns = (BarColumn(bar_width=30), TaskProgressColumn(), Remaining(), TimeElapsedColumn(), text)
        self.bars = Progress(*columns, console=self.console, transient=True)
        self.bar: Any = None
        self.done = 0.0

    def begin(self, total: float, text: str) -> None:
        self.note(text)
        self.bars.start()
        self.bar = self.bars.add_task("", total=max(total, 1e-9))

    def advance(self, effort: float, name: str) -> None:
        self.done += effort

    def show(self, running: dict[str, float]) -> None:
        names = ", ".join(running)
        room = max(10, self.console.width - 70)
        text = names if len(names) <= room else names[: room - 1] + "…"
        self.bars.update(self.bar, completed=self.done + sum(running.values()), description=text)

    def note(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False)

    def end(self) -> None:
        self.bars.stop()


def open_board(*, quiet: bool = False) -> Board:
    """A bar where stderr is a terminal, plain lines elsewhere, silence when ``quiet``."""
    if quiet:
        return SilentBoard()
    return BarBoard() if sys.stderr.isatty() else PlainBoard()


def duration(seconds: float) -> str:
    """Seconds in words: ``42 s``, ``3 min 10 s``, ``2 h 5 min``."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
