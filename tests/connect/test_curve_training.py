"""Training a curve: the chain rule against autograd, the optimum against a closed form, and a module left in peace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from quadratic import bowl, bowl_loss, points
from stories import digits, trained
from torch import nn
from torch.func import functional_call

import orograph as og
from networks import BatchNormNet, TinyTransformer
from orograph.basics.errors import TaskError, UsageError
from orograph.connect.curves import Curve
from orograph.connect.training import CurvePoint, decay_of, penalty, train_curve
from orograph.data import Split
from orograph.objective.workspace import Workspace
from orograph.train import Recipe, fit
from orograph.weights import Weights

_QUICK = Recipe(epochs=2, lr=0.02, batch_size=50, schedule="hold-decay")


def _step(model: nn.Module, curve: Curve, decay: float, loss: object, step: int = 4) -> tuple[torch.Tensor, float]:
    """The gradient of the free points at one step, as the package forms it, and the t of the step."""
    layout = curve.points[0].layout
    rows = torch.zeros(2, layout.size, dtype=torch.float64)
    with Workspace(model, layout, torch.device("cpu"), torch.float64, flat=rows[1]) as workspace:
        workspace.put(curve.points[0])
        carried = CurvePoint(model, curve, rows, seed=1, decay=decay)
        carried.place(step)
        model.train()
        loss(model).backward()  # type: ignore[operator]
        carried.pull()
        for parameter in model.parameters():
            parameter.grad = None
        return carried.bends.grad.clone(), carried.draw(step)


@pytest.mark.parametrize("kind", ["bezier", "polychain"])
@pytest.mark.parametrize("bends", [1, 3])
@pytest.mark.parametrize("case", ["batch norm", "tied weights"])
def test_the_gradient_is_that_of_autograd_through_the_curve(kind: str, bends: int, case: str) -> None:
    torch.manual_seed(0)
    if case == "batch norm":
        model: nn.Module = BatchNormNet()
        model.dropout.p = 0.0
        x, y = torch.randn(8, 1, 6, 6, dtype=torch.float64), torch.randint(3, (8,))

        def loss(network: object) -> torch.Tensor:
            return F.cross_entropy(network(x), y)  # type: ignore[operator]
    else:
        model = TinyTransformer()
        model.attention.dropout = 0.0
        tokens = torch.randint(11, (4, 8))

        def loss(network: object) -> torch.Tensor:
            return F.cross_entropy(network(tokens).logits.flatten(0, 1), tokens.flatten())  # type: ignore[operator]

    origin = Weights.of(model)
    ends = [origin.with_vector(origin.vector + 0.3 * torch.randn(len(origin))) for _ in range(2)]
    curve = Curve.straight(ends, kind, bends).with_free(ends[0].vector + 0.1 * torch.randn(bends, len(origin)))
    found, t = _step(model, curve, 0.01, loss)

    theta = torch.stack([p.vector.double() for p in curve.points[1:-1]]).requires_grad_()
    control = torch.cat([ends[0].vector.double()[None], theta, ends[1].vector.double()[None]])
    phi = torch.from_numpy(curve.shares(t)) @ control
    model.double().train()
    named = {slot.name: slot.view(phi) for slot in origin.layout.slots}
    wanted = loss(lambda *inputs: functional_call(model, named, inputs)) + 0.005 * phi.square().sum()
    (expected,) = torch.autograd.grad(wanted, theta)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_in_a_bowl_the_bend_finds_its_closed_form() -> None:
    # The mean over t of L(phi(t)) is quadratic in the bend; its minimum is 5/2 m - 3/4 (w1 + w2).
    model, _ = bowl()
    a, b = points(model, 2)
    split = Split(torch.zeros(400, 2), torch.zeros(400, dtype=torch.long))
    recipe = Recipe(epochs=300, lr=0.15, batch_size=20, momentum=0.9, weight_decay=0.0, schedule="linear")
    curve, _ = train_curve(model, Curve.straight([a, b]), split, recipe, loss=bowl_loss, seed=0)
    expected = 2.5 * model.minimum - 0.75 * (a.vector + b.vector)
    start = ((a.vector + b.vector) / 2 - expected).norm()
    assert (curve.points[1].vector - expected).norm() < 0.02 * start


def test_weight_decay_pulls_on_the_point_of_the_curve() -> None:
    # With no loss at all, the mean of |phi(t)|^2 over a Bezier curve is least at the bend -3/4 (w1 + w2).
    model, _ = bowl()
    a, b = points(model, 2)
    split = Split(torch.zeros(400, 2), torch.zeros(400, dtype=torch.long))
    recipe = Recipe(epochs=200, lr=0.15, batch_size=20, weight_decay=1.0, schedule="linear")
    curve, _ = train_curve(
        model, Curve.straight([a, b]), split, recipe, loss=lambda network, batch: 0 * bowl_loss(network, batch), seed=0
    )
    expected = -0.75 * (a.vector + b.vector)
    assert (curve.points[1].vector - expected).norm() < 0.02 * expected.norm()


def test_decay_by_parameter_spares_norm_layers_and_biases() -> None:
    model = BatchNormNet()
    weights = Weights.of(model)
    whole = decay_of(model, weights.layout, Recipe(weight_decay=0.1))
    assert penalty(weights, whole) == pytest.approx(0.05 * weights.norm() ** 2)
    part = decay_of(model, weights.layout, Recipe(weight_decay=0.1, decay_norm_and_bias=False))
    matrices = sum(float(p.detach().double().square().sum()) for p in model.parameters() if p.dim() > 1)
    assert penalty(weights, part) == pytest.approx(0.05 * matrices, rel=1e-6)


def test_the_module_comes_back_bit_for_bit_and_seeds_repeat(state: Callable[[nn.Module], object]) -> None:
    data = digits()
    model = og.models.build("convnet", data, seed=5, batch_norm=True)
    model.eval()
    model.features.conv1.weight.grad = torch.ones_like(model.features.conv1.weight)
    before = state(model)
    curve = Curve.straight([trained("convnet", s, batch_norm=True) for s in (0, 1)])
    one, run = train_curve(model, curve, data.train, _QUICK, seed=3)
    assert state(model) == before
    two, _ = train_curve(model, curve, data.train, _QUICK, seed=3)
    other, _ = train_curve(model, curve, data.train, _QUICK, seed=4)
    assert torch.equal(one.points[1].vector, two.points[1].vector)
    assert not torch.equal(one.points[1].vector, other.points[1].vector)
    assert run.train_loss[-1] < run.train_loss[1]
    assert torch.equal(one.points[0].vector, curve.points[0].vector)
    assert torch.equal(one.points[-1].vector, curve.points[-1].vector)


@pytest.mark.slow
def test_a_killed_training_continues_to_the_same_bits(tmp_path: Path) -> None:
    data = digits()
    model = og.models.build("convnet", data, seed=0)
    curve = Curve.straight([trained("convnet", s) for s in (0, 1)])
    whole, _ = train_curve(model, curve, data.train, _QUICK, seed=3, out=tmp_path / "whole")

    class Killed(Exception):
        pass

    def kill(done: int, total: int) -> None:
        if done == total - 2:
            raise Killed

    with pytest.raises(Killed):
        train_curve(model, curve, data.train, _QUICK, seed=3, out=tmp_path / "killed", progress=kill)
    found, _ = train_curve(model, curve, data.train, _QUICK, seed=3, out=tmp_path / "killed")
    assert torch.equal(found.points[1].vector, whole.points[1].vector)


def test_way_points_stay_while_bends_move() -> None:
    data = digits()
    model = og.models.build("mlp", data)
    networks = [trained("mlp", s) for s in (0, 1, 2)]
    curve, _ = train_curve(model, Curve.straight(networks, "polychain", 1), data.train, _QUICK, seed=0)
    assert curve.segments == 2
    assert [torch.equal(curve.points[k].vector, networks[k // 2].vector) for k in (0, 2, 4)] == [True] * 3
    straight = Curve.straight(networks, "polychain", 1)
    assert all(curve.points[k].distance(straight.points[k]) > 0.01 for k in (1, 3))


def test_diverging_is_told_and_the_module_is_given_back() -> None:
    data = digits()
    model = og.models.build("convnet", data, seed=0)
    before = Weights.of(model).fingerprint()
    curve = Curve.straight([trained("convnet", s) for s in (0, 1)])
    with pytest.raises(TaskError, match="diverged"):
        train_curve(model, curve, data.train, replace(_QUICK, lr=1e6), seed=0)
    assert Weights.of(model).fingerprint() == before


def test_accuracies_on_the_way_are_refused() -> None:
    data = digits()
    model = og.models.build("convnet", data, seed=0)
    curve = Curve.straight([trained("convnet", s) for s in (0, 1)])
    with pytest.raises(UsageError, match="for networks"):
        train_curve(model, curve, data.train, replace(_QUICK, stop_at_accuracy=0.5), seed=0)


def test_plain_training_is_not_changed_by_what_carries_it() -> None:
    # A polychain with equal points everywhere, without decay, at t = bend: as plain SGD with the share as its factor.
    data = digits()
    model = og.models.build("mlp", data, seed=0)
    recipe = replace(_QUICK, epochs=0.1, momentum=0.0, weight_decay=0.0, schedule="constant")
    start = Weights.of(model)
    curve = Curve("polychain", (start, start, start))
    one = replace(recipe, epochs=1 / 12)  # one step
    carried, _ = train_curve(model, curve, data.train, one, seed=0)
    plain = fit(model, data, one, seed=0, test=False).final.weights
    moved, whole = carried.points[1] - start, plain - start
    share = moved.norm() / whole.norm()
    assert 0 < share <= 1
    np.testing.assert_allclose(moved.vector, share * whole.vector, atol=1e-6)
