"""The monitor watches, warns the moment something turns, and leaves the training as it would be without it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from patients import X, Y, cnn, mlp, sgd, train
from torch import nn

from orograph.basics.errors import UsageError
from orograph.diagnose import Monitor, MonitorWarning


def test_training_is_the_same_bit_for_bit() -> None:
    one, two = cnn(norm=True), cnn(norm=True)
    plain = train(one, sgd(one))
    with Monitor(two, optimizer := sgd(two), every=7) as monitor:
        watched = train(two, optimizer, monitor)
    assert plain == watched
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert not any(module._forward_hooks for module in two.modules())
    assert monitor.losses == pytest.approx(plain, rel=1e-6)


def test_a_healthy_run_is_one_line_and_has_histograms() -> None:
    model = mlp()
    with Monitor(model, optimizer := sgd(model), every=10) as monitor:
        train(model, optimizer, monitor)
    found = monitor.diagnosis()
    assert found.healthy
    assert found.verdict == "trains"
    assert found.activations is not None
    assert found.gradients is not None
    assert found.activations.names == ("0", "1", "2", "3", "4", "5")
    assert found.activations.steps.tolist() == [1, 11, 21, 31, 41, 51]
    # Histograms hold all that a reading looked at.
    per_layer = found.activations.counts.sum((0, 2)) + found.activations.special.sum((0, 2))
    assert (per_layer == 6 * torch.tensor([4096, 4096, 4096, 4096, 4096, 640]).numpy()).all()
    assert all(1e-4 < one.update_ratio < 0.1 for one in found.parameters if "weight" in one.parameter)


def test_updates_are_measured_exactly() -> None:
    model = nn.Linear(64, 10)
    optimizer = sgd(model, 0.1, momentum=0.0)
    with Monitor(model, optimizer, every=1) as monitor:
        rows = X[:32].flatten(1)
        before = model.weight.detach().clone()
        F.cross_entropy(model(rows), Y[:32]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    expected = float((model.weight.detach() - before).norm() / before.norm())
    assert monitor.series.updates[0]["weight"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.filterwarnings("error")
def test_it_warns_the_moment_a_nan_appears() -> None:
    class Breaks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def forward(self, x: Any) -> Any:
            self.calls += 1
            return x * float("nan") if self.calls == 22 else x

    model = nn.Sequential(*mlp()[:4], Breaks(), nn.Linear(64, 10))
    said: list[str] = []
    with Monitor(model, optimizer := sgd(model), every=1, on_warning=said.append) as monitor:
        train(model, optimizer, monitor, steps=30)
    assert said[0] == "step 22: the outputs of 4, and of no layer before it, are not finite"
    first = monitor.diagnosis().findings[0]
    assert first.id in ("A05", "O01")
    assert "A05" in [finding.id for finding in monitor.diagnosis().findings]


def test_a_rate_too_high_is_told_in_words() -> None:
    model = mlp()
    with (
        pytest.warns(MonitorWarning, match="step 1: a step changes"),
        Monitor(model, optimizer := sgd(model, 20.0)) as m,
    ):
        train(model, optimizer, m)
    assert next(finding.id for finding in m.diagnosis().findings) == "O01"


def test_the_wiring_is_seen_too() -> None:
    model = mlp()
    with Monitor(model, optimizer := sgd(model[5]), every=5) as monitor:
        train(model, optimizer, monitor)
    assert monitor.diagnosis().findings[0].id == "W01"


def test_it_writes_where_it_is_asked_to() -> None:
    class Writer:
        def __init__(self) -> None:
            self.rows: list[tuple[str, int]] = []

        def add_scalar(self, name: str, value: float, step: int) -> None:
            self.rows.append((name, step))

    class Wandb:
        def __init__(self) -> None:
            self.rows: list[dict[str, float]] = []

        def log(self, numbers: dict[str, float], step: int) -> None:
            self.rows.append(numbers)

    model, writer, wandb = mlp(), Writer(), Wandb()
    with Monitor(model, optimizer := sgd(model), every=10, tensorboard=writer, wandb=wandb) as monitor:
        train(model, optimizer, monitor, steps=25)
    assert ("orograph/gradient norm", 11) in writer.rows
    assert {"orograph/loss", "orograph/update ratio, median"} <= wandb.rows[-1].keys()


def test_long_runs_keep_a_bounded_number_of_readings() -> None:
    model = nn.Linear(64, 10)
    with Monitor(model, optimizer := sgd(model, 1e-3), every=1) as monitor:
        for _ in range(700):
            F.cross_entropy(model(X[:8].flatten(1)), Y[:8]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
    assert 50 <= len(monitor.series.steps) <= 121
    assert monitor.series.steps == sorted(monitor.series.steps)


def test_bad_arguments() -> None:
    with pytest.raises(UsageError, match="1 or more"):
        Monitor(mlp(), sgd(mlp()), every=0)
    with pytest.raises(UsageError, match="no parameters"):
        Monitor(nn.Flatten(), sgd(mlp()))
