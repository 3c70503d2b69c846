"""What watches must not break what it watches: its own errors are told once, and the training goes on."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from types import TracebackType

from orograph.basics.errors import in_a_line

_BETWEEN = ("orograph", "torch")  # what lies between a warning and the line that led to it


class MonitorWarning(UserWarning):
    """Something in the training turned, or the monitor itself failed at something and goes on without it."""


def warn(text: str) -> None:
    """Warn at the line of the user's that led here, whatever lies between."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, MonitorWarning, stacklevel=level)


class Guard:
    """``with guard("a reading"):`` keeps errors in; ``tell`` gets one line for each kind of work, None tells nobody.

    What ``tell`` itself raises comes out: who turns warnings into errors wants to be stopped.
    """

    def __init__(self, tell: Callable[[str], object] | None = None) -> None:
        self._tell = tell
        self._told: set[str] = set()

    def __call__(self, what: str, then: str = "it is left out", where: str = "") -> _Guarded:
        """Keep the errors of the block in; it ends where one arises."""
        return _Guarded(self, what, then, where)

    def failed(self, error: BaseException, what: str, then: str = "it is left out", where: str = "") -> None:
        """Tell that some work failed, if it is the first of its kind that did."""
        place = f"{where}: " if where else ""
        reason = in_a_line(error)
        self.say(what, f"{what} failed ({place}{reason}); {then}, and training goes on")

    def say(self, key: str, text: str) -> None:
        """Tell something once."""
        if self._tell is not None and key not in self._told:
            self._told.add(key)
            self._tell(text)


class _Guarded:
    def __init__(self, guard: Guard, what: str, then: str, where: str) -> None:
        self._guard, self._words = guard, (what, then, where)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        if not isinstance(error, Exception):  # nor is the user's Ctrl-C kept in
            return False
        self._guard.failed(error, *self._words)
        return True
