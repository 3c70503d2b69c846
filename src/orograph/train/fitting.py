"""``fit``: train a network, measure it as it goes, keep the moments asked for, and survive being killed.

Cost: one forward and one backward pass over the training examples per epoch, and one forward pass over the test
examples per measurement.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from orograph._version import __version__
from orograph.basics.errors import UsageError
from orograph.basics.numerics import arithmetic, resolve_device
from orograph.basics.seeds import isolated_randomness
from orograph.data import Data, Examples, as_examples
from orograph.objective import Criterion, Measurement, Objective
from orograph.objective.criterion import LossFunction
from orograph.results import Checkpoint, Cost, Provenance, Run
from orograph.train.batches import Batches, takes_pixels
from orograph.train.carried import Carried, network_of
from orograph.train.cycles import Cycles
from orograph.train.folder import RunFolder
from orograph.train.history import History
from orograph.train.loop import Loop, Progress, in_training, steps_at, steps_every
from orograph.train.meter import diverged
from orograph.train.precision import settled, speed_of_bf16
from orograph.train.recipe import Recipe
from orograph.train.snapshot import capture, revive
from orograph.train.streams import Streams
from orograph.weights import Weights

Start = Weights | Checkpoint | str | Path


def fit(
    model: nn.Module,
    data: Data | Examples | Dataset[Any] | DataLoader[Any],
    recipe: Recipe | None = None,
    *,
    seed: int | Streams = 0,
    start: Start | None = None,
    loss: str | LossFunction | None = None,
    test: Examples | Dataset[Any] | DataLoader[Any] | Literal[False] | None = None,
    out: str | Path | None = None,
    name: str = "run",
    device: str | torch.device = "auto",
    progress: Progress | None = None,
    snapshot_every: float = 1.0,
    cycles: Cycles | None = None,
) -> Run:
    """Train ``model`` in place on ``data.train``; it ends at the run's last weights.

    The modes of its submodules and its device come back as they were; gradients are cleared. The global random state
    of the caller is untouched. Equal arguments give equal bits (on one machine with one number of threads).

    Parameters
    ----------
    data : Data, or the training examples alone (a Split, Dataset or DataLoader; read once, orograph makes the batches)
    recipe : every option of training; the default is ``Recipe()``
    seed : one seed for all streams, or ``Streams`` with one for each. The network's own initial values are not drawn
        here: it is trained from where it stands.
    start : where to begin instead: weights, a checkpoint of another run, or a file. The optimiser begins afresh.
    loss : "cross_entropy" (default), "abyss", "mse" or a callable ``loss(model, batch)`` (mean or one per example)
    test : what to measure on in place of ``data.test``; False measures nothing
    out : folder for checkpoints and snapshots (see :mod:`orograph.train.folder`). A call with equal arguments on the
        folder of a run that was interrupted, or killed, continues it and ends with the bits of an undisturbed run; on
        that of a finished run it returns at once. Without ``out`` checkpoints are kept in memory.
    progress : called with (steps done, steps in all) after each step
    cycles : a schedule in place of the recipe's, whose networks are kept as checkpoints too, and whose cycles are
        measured eight times each (see :mod:`orograph.train.cycles`)
    snapshot_every : epochs between snapshots, from which a killed run continues; does not influence the result

    Returns
    -------
    Run
        With a checkpoint of the start and one of the end at least.

    Raises
    ------
    UsageError
        Options that do not fit the data, the network or each other. StoreError: ``out`` belongs to another run.
        TaskError: the loss is no longer finite; checkpoints written before that are kept.
        WeightsError: ``start`` is not of this network.

    Notes
    -----
    The last batch of an epoch is the remainder; a remainder of one example joins the batch before it.
    """
    recipe = Recipe() if recipe is None else recipe
    if not snapshot_every > 0:
        raise UsageError(f"snapshot_every must be above 0 epochs, not {snapshot_every}")
    streams, place = Streams.of(seed), resolve_device(device)
    asked = recipe.precision
    recipe, precision = settled(recipe, place)
    train, tested = _examples(data, test)
    if tested is None and recipe.accuracies:
        raise UsageError("stop_at_accuracy and checkpoint_accuracies need test examples to measure on")
    criterion = _criterion(recipe, loss)
    if recipe.accuracies and "accuracy" not in criterion.metric_names:
        raise UsageError("stop_at_accuracy and checkpoint_accuracies need a loss that knows labels")
    folder = None if out is None else RunFolder(out)
    with in_training(model, place, precision), isolated_randomness(), arithmetic(precision, place):
        if start is not None:
            _weights(start).put_into(model)
        origin = Weights.of(model)
        request = _request(recipe, streams, train, tested, origin, criterion, model)
        if cycles is not None:
            request["cycles"] = cycles.to_dict()
        objective = None
        if tested is not None:
            # The network's own running statistics, as anybody who deploys it would get.
            options: dict[str, Any] = {"precision": precision, "device": place, "batchnorm": "frozen"}
            objective = Objective(model, tested, loss=criterion.loss, **options)
        by_pixel = takes_pixels(network_of(model), train, place)
        batches = Batches(train, recipe, streams, place, by_pixel=by_pixel)
        loop = Loop(model, recipe, streams, criterion, batches, place, cycles)
        if folder is not None:  # all that may be refused was looked at before the folder is touched
            folder.claim(request)
            finished = folder.finished()
            if finished is not None:
                Weights.load(str(finished.final.path), model).put_into(model)
                return finished
        training = _Training(loop, recipe, objective, origin, folder, snapshot_every)
        if cycles is not None:
            training.follow(cycles)
        training.until_the_end(progress)
        provenance = Provenance(
            method="training",
            options={
                "recipe": request["recipe"],
                "loss": request["loss"],
                "start": request["start"],
                **({} if cycles is None else {"cycles": request["cycles"], "collected": training.collected}),
                **({"precision": f"auto: bf16 is {speed_of_bf16(place):.1f} times as fast"} if asked == "auto" else {}),
            },
            seeds=request["streams"],
            model=request["network"],
            data=data.name if isinstance(data, Data) else "",
            split="train",
            fingerprint=train.fingerprint,
            precision=precision,
            batchnorm={"policy": "frozen"},
            device=str(place),
            threads=torch.get_num_threads(),
            cost=training.cost,
        )
        run = training.history.run(name=name, recipe=request["recipe"], seeds=request["streams"], provenance=provenance)
        return run if folder is None else folder.finish(run)


class _Training:
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
            self._cycles_from = _weights(self.folder.resolved([kept])[0]).to(weights.vector.device)
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


def _examples(data: Any, test: Any) -> tuple[Examples, Examples | None]:
    """What to train on and what to measure on (None: nothing)."""
    if not isinstance(data, (Data, Examples, Dataset, DataLoader)):
        raise UsageError(
            f"data must be Data, a Split, a Dataset or a DataLoader, not a {type(data).__name__}; "
            "og.data.load((train_set, test_set)) makes Data of your own"
        )
    train = data.train if isinstance(data, Data) else as_examples(data, "the training data")
    if test is False:
        return train, None
    if test is not None:
        return train, as_examples(test, "the test data")
    return train, data.test if isinstance(data, Data) else None


def _request(
    recipe: Recipe,
    streams: Streams,
    train: Examples,
    tested: Examples | None,
    origin: Weights,
    criterion: Criterion,
    model: nn.Module,
) -> dict[str, Any]:
    """Everything that the run's numbers depend on, as JSON types: two runs with equal requests are equal."""
    return {
        "recipe": asdict(recipe),
        "streams": streams.to_dict(),
        "training data": train.fingerprint,
        "test data": "" if tested is None else tested.fingerprint,
        "start": origin.fingerprint(),
        "loss": criterion.name,
        "network": type(network_of(model)).__name__,
        **({"carried": model.identity} if isinstance(model, Carried) else {}),
        "orograph version": __version__,
    }


def _criterion(recipe: Recipe, loss: str | LossFunction | None) -> Criterion:
    if recipe.direction == "climb":
        if loss not in (None, "abyss"):
            raise UsageError("direction='climb' has its own loss, -log(1 - p_y); leave loss= out")
        return Criterion("abyss")
    criterion = Criterion(loss or "cross_entropy", label_smoothing=recipe.label_smoothing)
    if recipe.label_smoothing and criterion.loss != "cross_entropy":
        raise UsageError(f"label_smoothing is for the loss cross_entropy, not {criterion.name}")
    return criterion


def _weights(start: Start) -> Weights:
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
