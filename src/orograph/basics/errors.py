"""The errors orograph raises on purpose: one line that says what is wrong and what to do about it.

The command line prints the message without a traceback and exits with ``exit_code``; a library user catches
:class:`OrographError` for all of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class OrographError(Exception):
    """Something orograph noticed and can explain. ``str(error)`` is one line with the remedy in it."""

    exit_code = 1


class UsageError(OrographError):
    """The call itself is wrong: an unknown option, a value out of range, two options that exclude each other."""

    exit_code = 2


class DataError(OrographError):
    """A data set is missing, truncated, mislabelled or of the wrong shape. Names the file and what was expected."""

    exit_code = 2


class WeightsError(OrographError):
    """Weights cannot be read, or do not belong to this network. Names the first tensor that does not fit."""

    exit_code = 2


class ModelError(OrographError):
    """A network cannot be built, or its output does not fit the data or the loss."""

    exit_code = 2


class StoreError(OrographError):
    """A study's folder is locked, damaged, newer than this version, or cannot be written."""


class DamagedCatalogue(StoreError):
    """A study's catalogue cannot be read: its contents are not what SQLite writes."""


class TaskError(OrographError):
    """A task of a study failed. Names the task; the rest of the study is kept."""


class Diverged(TaskError):
    """A training run's loss or weights are no longer finite. For some questions that is an answer."""


class Interrupted(OrographError):
    """The user asked to stop (Ctrl-C); the task in hand was finished and everything is kept."""

    exit_code = 130


def in_a_line(error: BaseException) -> str:
    """An exception of other code as one line: its class and the first line of what it says."""
    return f"{type(error).__name__}: {error}".split("\n")[0]


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint of the nearest valid name, ready to append to an error: ``" (did you mean 'vgg-a'?)"`` or ``""``.

    Two names about equally near are both given.
    """
    matches = difflib.get_close_matches(name, list(known), n=2, cutoff=0.5)
    likeness = [difflib.SequenceMatcher(None, match, name).ratio() for match in matches]
    close = [match for match, ratio in zip(matches, likeness, strict=True) if ratio > 0.9 * likeness[0]]
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
