"""``Monitor``: keeps an eye on a training loop of the user's own, at a few percent of its time.

Every ``every`` steps the layers' outputs, the gradients and the changes of the weights are read where they are; in
between hooks return at once. A warning is given the moment something turns, and :meth:`Monitor.diagnosis` yields what
the doctor would have said.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from orograph.basics.errors import UsageError
from orograph.diagnose.recording import Series, Watcher
from orograph.diagnose.thresholds import version
from orograph.diagnose.turning import Turn, turns
from orograph.results.diagnosis import Diagnosis, Finding
from orograph.results.provenance import Provenance


class MonitorWarning(UserWarning):
    """Something in the training turned."""


class Monitor:
    """Watches ``model`` while ``optimizer`` trains it; a context manager.

    Parameters
    ----------
    every : steps between readings
    tensorboard : a ``SummaryWriter`` (or a folder for one; needs ``orograph[tensorboard]``)
    wandb : a run of Weights & Biases, or anything with ``log(numbers, step=)``
    on_warning : called with each warning's text, in place of ``warnings.warn``

    Examples
    --------
    ::

        with og.diagnose.Monitor(model, optimizer) as monitor:
            for x, y in loader:
                loss = criterion(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                monitor.log(loss)
        print(monitor.diagnosis().summary())

    Raises UsageError for a model without parameters or a number of steps below 1.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        every: int = 10,
        tensorboard: Any = None,
        wandb: Any = None,
        on_warning: Callable[[str], object] | None = None,
    ) -> None:
        if every < 1:
            raise UsageError(f"the monitor reads every so many steps, 1 or more, not {every}")
        if not any(True for _ in model.parameters()):
            raise UsageError("the network has no parameters, so there is nothing to watch")
        self.model, self.optimizer = model, optimizer
        self.turns: list[Turn] = []
        self._watcher = Watcher(model, optimizer, every, self._read)
        self._losses: list[float] = []
        self._pending: list[Tensor] = []
        self._writer = _writer(tensorboard)
        self._wandb = wandb
        self._tell = on_warning or (lambda text: warnings.warn(text, MonitorWarning, stacklevel=3))
        self._said: set[tuple[str, str]] = set()

    def __enter__(self) -> Self:
        self._watcher.attach()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Take all hooks away; what was read stays."""
        self._watcher.detach()
        self._drain()

    @property
    def step(self) -> int:
        """Optimiser steps so far."""
        return self._watcher.step

    def log(self, loss: Tensor | float) -> None:
        """Tell the loss of a step; tensors stay where they are until the next reading."""
        if isinstance(loss, Tensor):
            self._pending.append(loss.detach())
            if len(self._pending) >= self._watcher.every:
                self._drain()
        else:
            self._losses.append(float(loss))

    __call__ = log

    def diagnosis(self) -> Diagnosis:
        """What was seen so far, as the doctor words it; nothing was tried on a copy."""
        from orograph.diagnose.hindsight import hindsight

        self._drain()
        findings: list[Finding] = hindsight(self)
        series = self._watcher.series
        known = [loss for loss in self._losses if math.isfinite(loss)]
        fell = len(known) > 3 and float(np.mean(known[-max(len(known) // 5, 1) :])) < 0.9 * known[0]
        return Diagnosis(
            findings=tuple(findings),
            verdict="trains" if fell else "unclear" if known else "not run",
            loss=np.array(self._losses, dtype=np.float64),
            layers=tuple(series.layers),
            parameters=tuple(series.parameters),
            activations=series.histograms("outputs"),
            gradients=series.histograms("gradients"),
            provenance=Provenance(
                method="monitor",
                options={"every": self._watcher.every, "steps": self.step, "thresholds": version()},
            ),
        )

    @property
    def series(self) -> Series:
        """The readings."""
        return self._watcher.series

    @property
    def losses(self) -> list[float]:
        """The losses told with :meth:`log`."""
        self._drain()
        return self._losses

    def _drain(self) -> None:
        if self._pending:
            self._losses += torch.stack([loss.float().reshape(()) for loss in self._pending]).tolist()
            self._pending = []

    def _read(self, step: int) -> None:
        """After a reading: warn of what turned, and write."""
        self._drain()
        series = self._watcher.series
        last = series.outputs[-1], series.kinds, series.gradients[-1], series.updates[-1]
        for turn in turns(*last, self._losses, step):
            self.turns.append(turn)
            if (turn.id, turn.where) not in self._said:
                self._said.add((turn.id, turn.where))
                self._tell(f"step {step}: {turn.text}")
        numbers = series.numbers()
        if self._losses:
            numbers["loss"] = self._losses[-1]
        if self._writer is not None:
            for name, value in numbers.items():
                self._writer.add_scalar(f"orograph/{name}", value, step)
        if self._wandb is not None:
            self._wandb.log({f"orograph/{name}": value for name, value in numbers.items()}, step=step)


def _writer(given: Any) -> Any:
    if given is None or hasattr(given, "add_scalar"):
        return given
    from orograph.basics.optional import optional_import

    return optional_import("torch.utils.tensorboard", "tensorboard").SummaryWriter(str(given))
