"""One training run in progress: the loop, and what happens between its steps.

It measures, keeps checkpoints and writes snapshots at the steps that ask for it, and takes up the latest snapshot of a
run that was interrupted or killed.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from orograph.basics.errors import UsageError
from orograph.objective import Measurement, Objective
from orograph.results import Checkpoint, Cost
from orograph.train.cycles import Cycles
from orograph.train.folder import RunFolder
from orograph.train.history import History
from orograph.train.loop import Loop, Progress, steps_at, steps_every
from orograph.train.meter import diverged
from orograph.train.recipe import Recipe
from orograph.train.snapshot import capture, revive
from orograph.weights import Weights

Start = Weights | Checkpoint | str | Path


class Session:
    """One run in progress: the loop, and what happens between its steps."""

    def __init__(
        self,
        loop: Loop,
        recipe: Recipe,
        objective: Objective | None,
        origin: Weights,
        folder: RunFolder | None,
        snapshot_every: float,
    ) -> None:
        per_epoch, total = loop.batches.per_epoch, loop.total
        self.loop = loop
        self.recipe = recipe
        self.objective = objective
        self.origin = origin
        self.folder = folder
        self.history = History()
        self.measured = steps_every(recipe.measure_every, per_epoch, total) | {0, total}
        self.kept = {steps_at(epochs, per_epoch) for epochs in recipe.checkpoints} | {0, total}
        # After the last step the finished run is written instead.
        self.snapshots = steps_every(snapshot_every, per_epoch, total) - {total} if folder is not None else set()
        self.collected: list[int] = []
        self._cycles_begin: int | None = None
        self._cycles_from: Weights | None = None
        self._waiting = list(recipe.checkpoint_accuracies)
        self._tested = 0  # examples, over all measurements
        self._seconds = (0.0, 0.0)  # processor and wall time of the sessions before this one
        self._began = (process_time(), perf_counter())

    def follow(self, cycles: Cycles) -> None:
        """Keep the networks of ``cycles`` and that from which they begin, and measure along them."""
        plan = self.loop.total, self.loop.batches.per_epoch
        self.collected, self._cycles_begin = list(cycles.collected(*plan)), cycles.begin(*plan)
        self.kept |= {self._cycles_begin, *self.collected}
        self.measured |= cycles.watched(*plan)

    def until_the_end(self, progress: Progress | None) -> None:
        """Continue from the latest snapshot, or begin, and train until the recipe's end or its accuracy."""
        stop = self._pause() if not self._continued() else False
        events = sorted(step for step in self.measured | self.kept | self.snapshots if step > self.loop.step)
        for step in events:
            if stop:
                break
            self.loop.advance(step, progress)
            stop = self._pause()

    @property
    def cost(self) -> Cost:
        """Passes, processor and wall time, over all sessions."""
        trained = self.loop.meter.examples
        cpu, wall = self._spent()
        return Cost(forward=trained + self._tested, backward=trained, cpu_seconds=cpu, wall_seconds=wall)

    def _pause(self) -> bool:
        """Measure, keep and snapshot whatever is due at this step; whether the run ends here."""
        step = self.loop.step
        accuracy, reached, stop = None, False, False
        if step in self.measured:
            weights = Weights.of(self.loop.model)
            accuracy = self._measure(weights)
            reached, stop = self._targets(accuracy)
        if step in self.kept or reached or stop:
            self._keep(Weights.of(self.loop.model), accuracy)
        if step in self.snapshots and not stop and self.folder is not None:
            tensors, state = capture(self.loop, self.history)
            self.folder.save_snapshot(tensors, {**state, **self._state()})
        return stop

    def _measure(self, weights: Weights) -> float | None:
        """Add a row to the history; returns the test accuracy."""
        train_loss, train_accuracy, gradient_norm = self.loop.meter.drain()
        weight_norm = weights.norm()
        if not weights.is_finite():
            raise diverged(self.loop.step, "weights or buffers are not finite")
        found: Measurement | None = None
        if self.objective is not None:
            found = self.objective(weights)
            self._tested += found.n_examples
        accuracy = None if found is None else found.accuracy
        self.history.add(
            self.loop.epoch,
            self.loop.step,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            test_loss=None if found is None else found.loss,
            test_accuracy=accuracy,
            learning_rate=self.loop.rate,
            gradient_norm=gradient_norm,
            weight_norm=weight_norm,
            distance_from_start=weights.distance(self.origin),
            distance_from_cycles=self._distance_from_cycles(weights),
        )
        return accuracy

    def _distance_from_cycles(self, weights: Weights) -> float | None:
        """None before the cycles, and where there are none."""
        if self._cycles_begin is None or self.loop.step < self._cycles_begin:
            return None
        if self.loop.step == self._cycles_begin:
            self._cycles_from = weights.copy()
        elif self._cycles_from is None:  # continued: the moment was kept
            assert self.folder is not None
            kept = next(c for c in self.history.checkpoints if c.step == self._cycles_begin)
            self._cycles_from = weights_at(self.folder.resolved([kept])[0]).to(weights.vector.device)
        return weights.distance(self._cycles_from)

    def _targets(self, accuracy: float | None) -> tuple[bool, bool]:
        """Whether a checkpoint's accuracy was reached for the first time, and whether that of the end was."""
        if accuracy is None or not self.recipe.accuracies:
            return False, False
        before = len(self._waiting)
        self._waiting = [target for target in self._waiting if not self.recipe.reached(accuracy, target)]
        goal = self.recipe.stop_at_accuracy
        return len(self._waiting) < before, goal is not None and self.recipe.reached(accuracy, goal)

    def _keep(self, weights: Weights, accuracy: float | None) -> None:
        self.loop.meter.check()
        epoch, step = self.loop.epoch, self.loop.step
        if self.folder is None:
            self.history.checkpoints.append(Checkpoint(epoch, step, None, accuracy, weights.to("cpu")))
        else:
            self.history.checkpoints.append(Checkpoint(epoch, step, self.folder.keep(weights, step), accuracy))

    def _continued(self) -> bool:
        """Take up the latest usable snapshot, if there is one."""
        for tensors, state in self.folder.snapshots() if self.folder is not None else ():
            self.history = revive(self.loop, tensors, state)
            self._waiting, self._tested = list(state["waiting"]), state["tested"]
            self._seconds = tuple(state["seconds"])
            return True
        return False

    def _state(self) -> dict[str, Any]:
        return {"waiting": self._waiting, "tested": self._tested, "seconds": self._spent()}

    def _spent(self) -> tuple[float, float]:
        cpu, wall = process_time() - self._began[0], perf_counter() - self._began[1]
        return self._seconds[0] + cpu, self._seconds[1] + wall


def weights_at(start: Start) -> Weights:
    """The weights of a start: themselves, a checkpoint's, or those of a file."""
    if isinstance(start, Weights):
        return start
    if isinstance(start, Checkpoint):
        if start.weights is not None:
            found: Weights = start.weights
            return found
        if start.path is None:
            raise UsageError("this checkpoint has neither weights nor a file to start from")
        return Weights.load(start.path)
    return Weights.load(start)
