"""A run of the user's own steps on a copy, watched from outside, with a glance at the answers now and then."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import torch

from orograph.basics.errors import in_a_line
from orograph.basics.seeds import reseed
from orograph.data.structure import map_tensors
from orograph.diagnose.glances import glance
from orograph.diagnose.patient import Copy
from orograph.diagnose.producer import Producer, finite, first_producer
from orograph.diagnose.recorder import Recorder
from orograph.diagnose.recording import Watcher
from orograph.diagnose.run import ENOUGH, Run
from orograph.diagnose.task import Task

_MARKS = (0, 5, 10, 25, 50, 75, 100, 150, 200, 300, 400)
_READINGS = 24  # of layers and gradients in a run


def train(
    made: Copy,
    batches: Sequence[Any],
    probe: Sequence[Any],
    task: Task,
    *,
    steps: int,
    seed: int,
    record: bool = True,
    epoch: int = 0,
    longer: Callable[[Run], int] | None = None,
) -> Run:
    """Train a copy for ``steps`` steps on ``batches`` in their order and look at ``probe`` now and then.

    It ends early where loss or weights are no longer finite; then the producer is looked for. The caller isolates the
    random state; each step begins from a seed of its own, so that equal steps draw equal dropout. ``epoch`` is how many
    batches are known to be new before any comes again. ``longer`` is asked once, at the end of the steps, how many more
    there shall be.
    """
    recorder = Recorder(made) if record else None
    run = Run() if recorder is None else recorder.run
    watcher = Watcher(made.model, made.optimizer, max(steps // _READINGS, 1), lambda step: None)
    if record:
        watcher.attach()
    began = perf_counter()
    try:
        _steps(made, batches, probe, task, run, recorder, steps=steps, seed=seed, epoch=epoch, longer=longer)
    finally:
        watcher.detach()
        if recorder is not None:
            recorder.close()
    run.series = watcher.series
    run.seconds = perf_counter() - began
    return run


def _steps(
    made: Copy,
    batches: Sequence[Any],
    probe: Sequence[Any],
    task: Task,
    run: Run,
    recorder: Recorder | None,
    *,
    steps: int,
    seed: int,
    epoch: int,
    longer: Callable[[Run], int] | None,
) -> None:
    began = perf_counter()
    device = next(made.model.parameters()).device.type
    step = -1
    try:
        while True:
            step += 1
            if step == steps:
                _look(made, probe, task, run, step, recorder)
                run.seconds = perf_counter() - began
                more, longer = longer(run) if longer is not None else 0, None
                steps += more
                if not more:
                    break
                if epoch >= step + 2 * ENOUGH:  # there are still new batches: later answers say more
                    run.fresh.clear()
            elif step == 0 or (recorder is not None and step in _MARKS):
                _look(made, probe, task, run, step, recorder)
            batch = batches[step % len(batches)]
            if recorder is not None and step >= 10 and min(epoch, steps) // 2 <= step < epoch and len(run.fresh) < 12:
                recorder.pause()
                run.fresh.append(glance(made, [batch], task, step).quality)
                recorder.resume()
            if recorder is not None and step == 0:
                recorder.compare(batch, seed)
            reseed(seed + step, device)
            loss = made.train(batch, step)
            if recorder is not None:
                recorder.next(loss)
            else:
                run.losses.append(loss)
            if not math.isfinite(loss) and (made.step is None or any(map(math.isfinite, run.losses))):
                run.stopped = step
                break
            if step % 10 == 9 and not all(finite(p) for p in made.model.parameters()):
                run.stopped = step
                break
    except Exception as error:  # the user's own code may raise anything
        run.error = in_a_line(error)
        run.stopped = len(run.losses)
    if run.stopped is not None and not run.error:
        batch = made.change(batches[run.stopped % len(batches)])
        reseed(seed + run.stopped, device)
        if recorder is not None:
            recorder.back()
        run.producer = _stepper(made, run.overflown) if run.overflown else _producer(made, batch)


def _look(made: Copy, probe: Sequence[Any], task: Task, run: Run, step: int, recorder: Recorder | None) -> None:
    if recorder is not None:
        recorder.pause()
    try:
        run.glances.append(glance(made, probe, task, step))
    finally:
        if recorder is not None:
            recorder.resume()


def _stepper(made: Copy, name: str) -> Producer:
    """The optimiser, which broke a parameter."""
    weights = made.model.get_parameter(name)
    return Producer(name, type(made.optimizer).__name__, "step", 1.0, math.nan, math.nan, tuple(weights.shape),
                    str(weights.dtype))  # fmt: skip


def _producer(made: Copy, batch: Any) -> Producer | None:
    try:
        return first_producer(made.model, lambda: made.loss(made.model, map_tensors(torch.clone, batch)))
    except Exception:
        return None
