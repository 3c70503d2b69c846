"""``Monitor``: keeps an eye on a training loop of the user's own, at a few percent of its time.

Every ``every`` steps the layers' outputs, the gradients and the changes of the weights are read where they are; in
between hooks return at once. A warning is given at the first reading at which something has turned. Nothing is tried on
a copy and no data are looked at: what the doctor finds by either stays unseen here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from orograph.basics.errors import ModelError, UsageError
from orograph.diagnose.arguments import check_watched
from orograph.diagnose.arriving import Arrivals, Idle
from orograph.diagnose.bystanders import Bystanders
from orograph.diagnose.dashboards import Dashboards
from orograph.diagnose.freshness import Row
from orograph.diagnose.guarding import Guard, MonitorWarning, warn
from orograph.diagnose.recording import Watcher
from orograph.diagnose.series import Series
from orograph.diagnose.telling import Told
from orograph.diagnose.thresholds import version
from orograph.diagnose.turning import EXPLAINS, Turn, fed, idle, stands_still, turns, vanished
from orograph.initialize.slots import slots_of
from orograph.results.diagnosis import Diagnosis, Finding
from orograph.results.provenance import Provenance

__all__ = ["Monitor", "MonitorWarning"]

_OFTEN = 50  # losses told, after which a missing step is looked for


class Monitor:
    """Watches ``model`` while ``optimizer`` trains it; a context manager.

    It sees, at its readings: NaN and infinity in outputs and gradients, dead and saturated units, gradients that vanish
    before the first layer, steps that are too long or too short, a loss that jumps (of losses that are told with
    :meth:`log`), and whether the optimiser holds the parameters, steps, and gets what the last backward passes made.
    It does not see what lies in data, loss function and outputs, nor anything that only a trial on a copy can tell: for
    these there is :func:`~orograph.diagnose.doctor`. What begins between two readings is seen at the next one.

    Training is the same bit for bit with and without it. What fails within it is told once, as a ``MonitorWarning``,
    and left out; only wrong arguments raise.

    Parameters
    ----------
    optimizer : the one whose steps train the model; where several do, each can have a monitor of its own
    every : steps between readings; beyond 120 readings every second one is forgotten, and the distance doubles
    tensorboard : a ``SummaryWriter``, or a folder for one (needs the package tensorboard)
    wandb : a run of Weights & Biases, or anything with ``log(numbers, step=)``. Rows are steps: a run that you log to
        with ``step=epoch`` needs another one for the monitor.
    on_warning : called with each warning's text, in place of ``warnings.warn``; what it raises ends the training

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

    Raises UsageError for arguments of other kinds, a model without parameters or a number of steps below 1.
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
        check_watched(model, optimizer, every, on_warning)
        self.model, self.optimizer = model, optimizer
        self.turns: list[Turn] = []
        self._tell = on_warning or warn
        self._guard = Guard(self._tell)
        self._watcher = Watcher(model, optimizer, every, self._read, self._guard)
        self._arrivals = Arrivals(model, optimizer, lambda: self._watcher.awake, self._fed, self._idle, self._guard)
        self._dashboards = Dashboards(tensorboard, wandb, self._guard)
        self._told = Told(every)
        self._said: set[tuple[str, str]] = set()
        self._kernels: list[str] | None = None
        self._bystanders: Bystanders | None = None
        self._moved: set[str] = set()
        self._entered = self._attached = False

    def __enter__(self) -> Self:
        try:
            self._watcher.attach()
            self._arrivals.attach()
            with self._guard("looking at the parameters"):
                self._bystanders = Bystanders(self.model, self.optimizer)
        except AttributeError as error:
            self.close()
            kind = type(self.optimizer).__name__
            raise UsageError(f"{kind} takes no hooks ({error}); give the monitor the optimiser inside it") from error
        except BaseException:  # a warning that was made an error: no __exit__ will follow
            self.close()
            raise
        self._entered = self._attached = True
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Take all hooks away; what was read stays."""
        self._settle()
        self._attached = False
        self._watcher.detach()
        self._arrivals.detach()
        self._dashboards.close()

    @property
    def step(self) -> int:
        """Optimiser steps so far."""
        return self._watcher.step

    def log(self, loss: Tensor | float) -> None:
        """Tell the loss of a step; tensors stay where they are until the next reading.

        Raises UsageError for what is not one number.
        """
        self._told.add(loss)
        if not self._entered:
            self._guard.say("with", "nothing is watched yet: put the loop into a with statement of the monitor")
        elif not self.step and self._told.count % _OFTEN == 0 and (found := self._arrivals.idle()) is not None:
            self._idle(found)

    __call__ = log

    def diagnosis(self) -> Diagnosis:
        """What was seen so far, worded like the doctor's findings; nothing was tried on a copy."""
        from orograph.diagnose.hindsight import hindsight

        self._settle()
        findings: list[Finding] = hindsight(self, self._moved)
        series = self._watcher.series
        known = [loss for loss in self.losses if math.isfinite(loss)]
        fell = len(known) > 3 and float(np.mean(known[-max(len(known) // 5, 1) :])) < 0.9 * known[0]
        return Diagnosis(
            findings=tuple(findings),
            verdict="trains" if fell else "unclear" if known or self.step else "not run",
            loss=np.array(self.losses, dtype=np.float64),
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
        return self._told.fetch()

    def _settle(self) -> None:
        """What can be told only at the end, or as if this were it; after the hooks are gone it stays as it was."""
        if not self._attached:
            return
        with self._guard("looking back", "a finding may be missing"):
            if self._bystanders is not None:
                self._moved = self._bystanders.moved()
            found = self._arrivals.idle()
            turn = idle(found, self._told.count, over=True) if found is not None else None
            if turn is not None and not any(one.id == turn.id for one in self.turns):
                self.turns.append(turn)

    def _read(self, step: int) -> None:
        """After a reading: write, and warn of what turned."""
        found: list[Turn] = []
        numbers: dict[str, float] = {}
        with self._guard("a reading"):
            series, losses = self._watcher.series, self.losses
            gradients = series.gradients[-1]
            if self._dashboards.wanted:
                numbers = series.numbers() | ({"loss": losses[-1]} if losses else {})
            # A step of LBFGS is twenty, and says nothing about the length of one.
            updates = {} if isinstance(self.optimizer, torch.optim.LBFGS) else series.updates[-1]
            found = turns(series.outputs[-1], series.kinds, gradients, updates, losses, step)
            if self._kernels is None:
                self._kernels = _kernels(self.model)
            gone = vanished(self._kernels, gradients, series.norms[-1], step)
            if gone is not None and stands_still(losses):
                found.append(gone)
        if numbers:
            self._dashboards.write(numbers, step)
        for turn in found:
            self._turned(turn)

    def _fed(self, rows: Sequence[Row]) -> None:
        if (turn := fed(rows)) is not None and not any(one.id == turn.id for one in self.turns):
            self._turned(turn)

    def _idle(self, found: Idle) -> None:
        """There was no step so far."""
        if found.moved:
            # Neither has anything to do then; both wake up if a step comes after all.
            self._arrivals.rest()
            self._watcher.awake = False
            text = "the weights change without a step of this optimiser: give the monitor the one that steps"
            self._guard.say("blind", text)
        elif (turn := idle(found, self._told.count)) is not None and not any(one.id == turn.id for one in self.turns):
            self._turned(turn)

    def _turned(self, turn: Turn) -> None:
        self.turns.append(turn)
        key = (turn.id, turn.where)
        # One thing sets off another; of what a cause has been told for, nothing more is.
        known = {id for cause, _ in self._said if cause != "O01" for id in EXPLAINS.get(cause, ())}
        if key not in self._said and turn.id not in known:
            self._said.add(key)
            self._tell(f"step {turn.step}: {turn.text}")


def _kernels(model: nn.Module) -> list[str]:
    """The weights of layers in their order; none where some parameters have no values."""
    try:
        return [slot.name for slot in slots_of(model) if slot.parts]
    except ModelError:
        return []
