"""Figures on dashboards have the right names and steps, and a dashboard that fails is told once and left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch.nn.functional as F
from patients import X, Y, mlp, sgd

from orograph.diagnose import Monitor, MonitorWarning

NAMES = {"gradient norm", "update ratio, median", "update ratio, largest", "dead units, most in a layer", "loss"}


class Run:
    """Weights & Biases as far as it matters here: a row whose step lies before the last one's is thrown away."""

    def __init__(self) -> None:
        self.step = 0
        self.rows: dict[int, dict[str, float]] = {}
        self.lost: list[dict[str, float]] = []

    def log(self, numbers: dict[str, float], step: int | None = None) -> None:
        """Add to the row of a step; without one, to the row at hand, and go on to the next."""
        if step is not None and step < self.step:
            self.lost.append(numbers)
            return
        self.step = self.step if step is None else step
        self.rows.setdefault(self.step, {}).update(numbers)
        self.step += step is None


class Writer:
    """A ``SummaryWriter`` that fails from a call on."""

    def __init__(self, fails: int = 10**9) -> None:
        self.rows: list[tuple[str, float, int]] = []
        self.fails = fails
        self.calls = 0

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Note it, or fail."""
        self.calls += 1
        if self.calls > self.fails:
            raise OSError("no space left on device")
        self.rows.append((name, value, step))


def train(monitor: Monitor, model: Any, optimizer: Any, steps: int = 25, each: Any = None, before: Any = None) -> None:
    """An ordinary loop, in which the user may log something too."""
    for i in range(steps):
        rows = slice(16 * i, 16 * i + 16)
        loss = F.cross_entropy(model(X[rows]), Y[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if before is not None:
            before(i)
        optimizer.step()
        monitor.log(loss)
        if each is not None:
            each(i)


def test_tensorboard_has_the_steps_of_the_optimiser(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the package tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = mlp()
    with Monitor(model, optimizer := sgd(model), every=10, tensorboard=str(tmp_path)) as monitor:
        train(monitor, model, optimizer)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {f"orograph/{name}" for name in NAMES}
    norms = events.Scalars("orograph/gradient norm")
    assert [one.step for one in norms] == [1, 11, 21]
    known = [sum(one.norm**2 for one in row.values()) ** 0.5 for row in monitor.series.gradients]
    assert [one.value for one in norms] == pytest.approx(known, rel=1e-5)


def test_a_writer_gets_the_steps_of_the_optimiser() -> None:
    model, writer = mlp(), Writer()
    with Monitor(model, optimizer := sgd(model), every=10, tensorboard=writer) as monitor:
        train(monitor, model, optimizer)
    assert {(name, step) for name, _, step in writer.rows} == {
        (f"orograph/{name}", step) for name in NAMES for step in (1, 11, 21)
    } - {("orograph/loss", 1)}  # the first loss is told after the first step


@pytest.mark.parametrize("style", ["from 0", "from 1", "without", "before the step", "not at all"])
def test_no_row_of_a_run_is_lost_however_the_user_logs(style: str) -> None:
    model, run = mlp(), Run()
    own = {
        "from 0": lambda i: run.log({"mine": i}, step=i),
        "from 1": lambda i: run.log({"mine": i}, step=i + 1),
        "without": lambda i: run.log({"mine": i}),
    }.get(style)
    before = (lambda i: run.log({"mine": i})) if style == "before the step" else None
    with Monitor(model, optimizer := sgd(model), every=10, wandb=run) as monitor:
        train(monitor, model, optimizer, each=own, before=before)
    assert not run.lost
    rows = {step: row for step, row in run.rows.items() if "orograph/gradient norm" in row}
    assert [row["orograph/step"] for row in rows.values()] == [1, 11, 21]
    assert list(rows) == ([1, 11, 21] if before else [0, 10, 20])
    assert rows[max(rows)].keys() - {"mine"} == {f"orograph/{name}" for name in {*NAMES, "step"}}
    assert sum("mine" in row for row in run.rows.values()) == (0 if style == "not at all" else 25)


def test_a_run_that_is_continued_goes_on_where_it_was() -> None:
    model, run = mlp(), Run()
    run.step = 500
    with Monitor(model, optimizer := sgd(model), every=10, wandb=run) as monitor:
        train(monitor, model, optimizer)
    assert not run.lost
    assert list(run.rows) == [500, 510, 520]


def test_dashboards_that_fail_are_told_once_and_left_alone() -> None:
    class Down:
        calls = 0

        def log(self, numbers: Any, step: int) -> None:
            self.calls += 1
            raise ConnectionError("the network is down\nfor good")

    model, writer, down = mlp(), Writer(fails=5), Down()
    with (
        pytest.warns(MonitorWarning) as caught,
        Monitor(model, optimizer := sgd(model), every=5, tensorboard=writer, wandb=down) as monitor,
    ):
        train(monitor, model, optimizer)
    said = sorted(str(one.message) for one in caught)
    assert said == [
        "writing to TensorBoard failed (OSError: no space left on device); nothing more is written there, and training"
        " goes on",
        "writing to Weights & Biases failed (ConnectionError: the network is down); nothing more is written there, and"
        " training goes on",
    ]
    assert writer.calls == 6
    assert down.calls == 1
    assert monitor.series.steps == [1, 6, 11, 16, 21]
