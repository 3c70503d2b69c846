"""Paths: profiles against plain objectives, barriers, ensembles of two, alignment first, and bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path as FilePath

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from quadratic import bowl, points
from scipy.special import softmax
from stories import digits, trained
from torch import nn

import orograph as og
from orograph.basics.errors import OrographError, TaskError, UsageError, WeightsError
from orograph.connect import Curve, path, permuted_copy
from orograph.results import Path, load
from orograph.train import Recipe

_RECIPE = Recipe(epochs=12, lr=0.03, batch_size=50, schedule="hold-decay")


def _path(name: str = "convnet", *, batch_norm: bool = False, **options: object) -> Path:
    data = digits()
    extra = {"batch_norm": True} if batch_norm else {}
    model = og.models.build(name, data, **extra)
    objective = og.Objective(model, data.test, calibration=data.train)
    a, b = (trained(name, seed, **extra) for seed in (0, 1))
    return path(objective, a, b, train=data.train, **{"recipe": _RECIPE, "points": 7, **options})  # type: ignore[arg-type]


def test_a_curve_has_less_of_a_barrier_than_the_line() -> None:
    found = _path()
    assert found.barrier.height < 0.5 * found.line.train_barrier.height
    assert found.test_error.max() < found.line.test_error.max()
    assert found.length >= found.chord
    assert (found.t[0], found.t[-1], len(found.t)) == (0.0, 1.0, 7)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_figure_is_the_objectives_own(batch_norm: bool) -> None:
    found = _path(batch_norm=batch_norm, barriers=False)
    data = digits()
    model = og.models.build("convnet", data, **({"batch_norm": True} if batch_norm else {}))
    for split, loss, error in ((data.test, "test_loss", "test_error"), (data.train, "train_loss", "train_error")):
        objective = og.Objective(model, split, calibration=data.train)
        for t, height, wrong in zip(found.t, getattr(found.profile, loss), getattr(found.profile, error), strict=True):
            point = objective(found.curve.at(float(t)))
            assert_allclose(height, point.loss, rtol=1e-5)
            assert_allclose(wrong, point.error, atol=2 / len(split))
    norms = [found.curve.at(float(t)).norm() for t in found.t]
    assert_allclose(found.profile.norm, norms)
    assert_allclose(
        found.profile.train_regularized, found.train_loss + 0.5 * _RECIPE.weight_decay * np.square(norms), rtol=1e-9
    )
    assert (found.profile.test_loss_stale is not None) == batch_norm


def test_stale_statistics_are_those_of_the_first_network() -> None:
    found = _path(batch_norm=True, barriers=False)
    data = digits()
    frozen = og.Objective(og.models.build("convnet", data, batch_norm=True), data.test, batchnorm="frozen")
    middle = frozen(trained("convnet", 0, batch_norm=True).with_vector(found.curve.at(0.5).vector))
    assert_allclose(found.profile.test_loss_stale[3], middle.loss, rtol=1e-5)
    assert found.profile.test_loss_stale.max() > found.test_loss.max()


def test_the_pair_is_the_mean_of_two_softmaxes() -> None:
    found = _path(barriers=False)
    data = digits()
    model = og.models.build("convnet", data)

    def probabilities(t: float) -> np.ndarray:
        found.curve.at(t).put_into(model)
        with torch.no_grad():
            return softmax(model.eval()(data.test.inputs).double().numpy(), axis=1)

    labels = data.test.targets.numpy()
    for index in (0, 3, 6):
        both = (probabilities(0.0) + probabilities(float(found.t[index]))) / 2
        assert_allclose(found.profile.pair_error[index], (both.argmax(1) != labels).mean())
        assert_allclose(found.profile.pair_loss[index], -np.log(both[np.arange(len(labels)), labels]).mean(), rtol=1e-5)
    assert_allclose(found.profile.pair_error[0], found.test_error[0])


def test_the_barrier_of_a_curve_in_a_bowl_is_the_closed_form() -> None:
    model, objective = bowl()
    a, b = points(model, 2)
    curve = Curve.straight([a, b], "bezier", 1).with_free((a.vector + b.vector)[None] + 1.5)

    from orograph.connect.profile import Ground, measure_profile

    ground = Ground.of(objective, objective.split, a, 0.0, pair=False)
    profile = measure_profile(ground, curve, np.linspace(0, 1, 9))
    ts = np.linspace(0, 1, 20_001)
    heights = np.array([model.height(curve.at(float(t)).vector) for t in ts])
    rise = heights - ((1 - ts) * heights[0] + ts * heights[-1])
    assert profile.test_barrier.height == pytest.approx(rise.max(), rel=1e-4)
    assert profile.test_barrier.at == pytest.approx(ts[rise.argmax()], abs=2e-3)
    assert profile.length == pytest.approx(sum(curve.lengths(np.linspace(0, 1, 9))))


def test_summaries_of_a_quantity() -> None:
    found = _path(barriers=False)
    profile = replace(found.profile, test_loss=np.array([1.0, 4, 2, 2, 2, 2, 1]), steps=np.array([1.0, 1, 0, 0, 0, 0]))
    summary = profile.summary_of("test_loss")
    assert (summary.start, summary.end, summary.minimum, summary.maximum) == (1.0, 1.0, 1.0, 4.0)
    assert summary.at == pytest.approx(1 / 6)
    assert summary.arc_mean == pytest.approx(2.75)  # (1 + 4) / 2 and (4 + 2) / 2 over two equal steps
    assert summary.mean == pytest.approx((2.5 + 3 + 2 + 2 + 2 + 1.5) / 6)


def test_aligned_first_and_then_curved() -> None:
    found = _path(align=True)
    assert found.alignment.distance_after < found.alignment.distance_before
    assert found.line.train_barrier.height < found.naive_line.train_barrier.height
    assert found.profile.train_barrier.height <= found.line.train_barrier.height


def test_a_permuted_copy_is_joined_by_a_curve_and_by_alignment() -> None:
    data = digits()
    model = og.models.build("convnet", data)
    objective = og.Objective(model, data.test)
    a = trained("convnet", 0)
    copy = permuted_copy(model, a, data.train, seed=1)
    curved = path(objective, a, copy, train=data.train, recipe=_RECIPE, points=7)
    assert curved.line.train_barrier.height > 0.5
    assert_allclose(curved.train_loss[0], curved.train_loss[-1], rtol=1e-4)
    assert curved.barrier.height < 0.5 * curved.line.train_barrier.height
    with pytest.raises(UsageError, match="same point"):  # aligned, they are one network
        path(objective, a, copy, train=data.train, recipe=_RECIPE, points=7, align=True)


def test_bends_are_added_until_the_goal_or_the_most() -> None:
    assert _path(goal=1e9, pair=False).bends == 1
    never = _path(goal=0.0, most_bends=2, recipe=replace(_RECIPE, epochs=0.2), pair=False)
    assert (never.bends, never.goal) == (2, 0.0)


def test_a_path_through_a_third_network() -> None:
    data = digits()
    objective = og.Objective(og.models.build("mlp", data), data.test)
    networks = [trained("mlp", seed) for seed in (0, 1, 2)]
    found = path(objective, networks[0], networks[2], through=[networks[1]], train=data.train, recipe=_RECIPE, points=5)
    assert found.segments == 2
    assert_allclose(found.test_loss[2], objective(networks[1]).loss, rtol=1e-6)


def test_saved_and_loaded_with_its_curve(tmp_path: FilePath) -> None:
    found = _path(points=3, barriers=False)
    again = load(found.save(tmp_path / "path"))
    assert again.equals(found)
    curve = Curve.of(again.kind, again.control, trained("convnet", 0))
    assert torch.equal(curve.at(0.4).vector, found.curve.at(0.4).vector)
    printed = found.to_dict()
    assert printed["test_loss"] == found.test_loss.tolist()
    assert printed["control"] is None


def test_a_killed_path_continues(tmp_path: FilePath) -> None:
    whole = _path(barriers=False)

    def kill(what: str, done: int, total: int) -> None:
        if what == "curve" and done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _path(barriers=False, partial=tmp_path, progress=kill)
    seen: list[str] = []
    again = _path(barriers=False, partial=tmp_path, progress=lambda what, done, total: seen.append(what))
    assert again.equals(replace(whole, training=again.training))
    assert "training" not in seen


def test_what_another_call_has_left_does_not_stand_in_the_way(tmp_path: FilePath) -> None:
    with pytest.raises(TaskError):
        _path(barriers=False, partial=tmp_path, lr=1e9)
    assert _path(barriers=False, partial=tmp_path).equals(_path(barriers=False))


@pytest.mark.parametrize(("options", "message"), [({"epochs": 0}, "more than 0 epochs"), ({"goal": -1.0}, "from 0")])
def test_options_that_ask_for_nothing_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _path(**options)


class _Marked(nn.Module):
    def __init__(self, mark: float) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.register_buffer("mark", torch.tensor(mark))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(1)) + self.mark


def test_bad_input_is_told_in_a_line() -> None:
    data = digits()
    model = og.models.build("mlp", data)
    objective = og.Objective(model, data.test)
    a, b = (trained("mlp", seed) for seed in (0, 1))
    other = og.Weights.of(og.models.build("mlp", data, hidden=(32,)))
    broken = b.with_vector(torch.full_like(b.vector, float("nan")))
    cases: list[tuple[object, dict[str, object], str]] = [
        (other, {}, "one architecture"),
        (broken, {}, "NaN"),
        (a, {}, "same point"),
        (b, {"bends": 0}, "at least 1 bend"),
        (b, {"kind": "spline"}, "bezier or polychain"),
        (b, {"points": 2}, "3 points"),
        (b, {"align": "magic"}, "weights or activations"),
    ]
    for end, options, message in cases:
        with pytest.raises(OrographError, match=message) as caught:
            path(objective, a, end, train=data.train, recipe=_RECIPE, **options)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)


def test_other_buffers_are_refused_by_name() -> None:
    data = digits()
    model = _Marked(0.0)
    ends = [og.Weights.of(_Marked(mark)) for mark in (0.0, 1.0)]
    with pytest.raises(WeightsError, match="buffer mark differs"):
        path(og.Objective(model, data.test), *ends, train=data.train, recipe=_RECIPE)


def test_without_calibration_examples_the_training_ones_serve() -> None:
    data = digits()
    model = og.models.build("convnet", data, batch_norm=True)
    a, b = (trained("convnet", seed, batch_norm=True) for seed in (0, 1))
    bare = og.Objective(model, data.test)
    found = path(bare, a, b, train=data.train, recipe=replace(_RECIPE, epochs=0.2), points=3, barriers=False)
    assert found.batchnorm == "recalibrate"
    assert bare.settings.batchnorm == "frozen"
