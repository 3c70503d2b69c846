"""A monitor's figures for TensorBoard and Weights & Biases.

A dashboard that fails is told once and left alone from then on. Names begin with ``orograph/``. TensorBoard gets the
number of optimiser steps. Weights & Biases throws a row away whose step lies before that of the last one, so what comes
after the n-th step goes to row n - 1, which a loop that counts from 0 will log its own figures to, or to a later one
where the run has got further already, as one that is continued; the number of steps is among the figures.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from orograph.basics.errors import UsageError
from orograph.diagnose.guarding import Guard


class Dashboards:
    """Writes to a ``SummaryWriter`` (or a folder for one) and to a run with ``log(numbers, step=)``; None for neither.

    Raises UsageError for other objects, and where tensorboard is not installed.
    """

    def __init__(self, tensorboard: Any, wandb: Any, guard: Guard) -> None:
        if wandb is not None and not callable(getattr(wandb, "log", None)):
            raise UsageError(f"wandb must be a run, with log(numbers, step=), not a {type(wandb).__name__}")
        self._made = isinstance(tensorboard, (str, os.PathLike))
        self._writer = _made(tensorboard) if self._made else tensorboard
        if self._writer is not None and not callable(getattr(self._writer, "add_scalar", None)):
            raise UsageError(f"tensorboard must be a SummaryWriter or a folder, not a {type(tensorboard).__name__}")
        self._wandb = wandb
        self._ahead: int | None = None  # how many rows a run had before the first one from here
        self._guard = guard

    @property
    def wanted(self) -> bool:
        """Whether anything is written anywhere."""
        return self._writer is not None or self._wandb is not None

    def write(self, numbers: Mapping[str, float], step: int) -> None:
        """The figures of a reading."""
        if self._writer is not None:
            done = False
            with self._guard("writing to TensorBoard", "nothing more is written there"):
                for name, value in numbers.items():
                    self._writer.add_scalar(f"orograph/{name}", value, step)
                done = True
            self._writer = self._writer if done else None
        if self._wandb is not None:
            done = False
            with self._guard("writing to Weights & Biases", "nothing more is written there"):
                reached = _reached(self._wandb)
                if self._ahead is None:
                    self._ahead = max(reached - step + 1, 0)
                named = {f"orograph/{name}": value for name, value in {**numbers, "step": step}.items()}
                self._wandb.log(named, step=max(step - 1 + self._ahead, reached))
                done = True
            self._wandb = self._wandb if done else None

    def close(self) -> None:
        """Write out what waits; a writer that was made here is closed (it opens again when it is written to)."""
        if self._writer is not None and self._made:
            with self._guard("closing TensorBoard", "its last figures may be missing"):
                self._writer.close()


def _reached(wandb: Any) -> int:
    """The row that a run is at; it may be given as the module, which holds the run."""
    run = getattr(wandb, "run", None) or wandb
    step = getattr(run, "step", 0)
    return step if isinstance(step, int) else 0


def _made(folder: Any) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError(
            f"writing to a folder needs tensorboard ({error}); install it with: pip install tensorboard"
        ) from error
    return SummaryWriter(str(folder))
