"""Workers that are averaged: against a plain loop, and what must hold of any team."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.nn import functional

import orograph as og
from orograph.basics.errors import UsageError
from orograph.ensemble import average_workers
from orograph.ensemble.workers import _shards
from orograph.results import Workers, load
from orograph.train import Recipe, Streams, fit
from orograph.weights import Weights

PLAIN = Recipe(epochs=2, batch_size=20, lr=0.1, momentum=0.0, weight_decay=0.0, schedule="constant")


@pytest.fixture(scope="module")
def data():
    return og.data.load("digits", train_size=80, test_size=50)


def network(data, **options):
    return og.models.build("mlp", data, seed=0, hidden=(8,), **options)


def test_averaged_after_every_step_they_are_one_step_on_all_their_examples(data):
    """Without momentum the mean of workers' steps is a step along the mean of their gradients."""
    model = network(data)
    found = average_workers(model, data, PLAIN, workers=2, every=0.25, shards=True, seed=5, points=0)
    by_hand = network(data).double()
    halves = _shards(data.train, 2, 5)
    steps = round(PLAIN.epochs * 4)
    for step in range(steps):
        by_hand.zero_grad()
        for worker, half in enumerate(halves):
            streams = Streams.of(og.basics.seeds.derive(5, "worker", worker))
            epoch, index = divmod(step, 2)
            rows = streams.permutation(40, epoch)[20 * index : 20 * index + 20]
            batch = half.take(rows)
            (functional.cross_entropy(by_hand(batch.inputs.double()), batch.targets) / 2).backward()
        with torch.no_grad():
            for parameter in by_hand.parameters():
                parameter -= PLAIN.lr * parameter.grad
    wanted = torch.cat([parameter.flatten() for parameter in by_hand.parameters()])
    assert_allclose(found.average.vector.numpy(), wanted.detach().numpy(), atol=1e-5)
    assert torch.equal(Weights.of(model).vector, found.average.vector)
    assert len(found.epochs) == steps


def test_one_worker_averaged_once_is_an_ordinary_run(data):
    recipe = Recipe(epochs=2, batch_size=20, lr=0.1)
    alone = average_workers(network(data), data, recipe, workers=1, seed=7)
    own = og.basics.seeds.derive(7, "worker", 0)
    run = fit(network(data), data, recipe, seed=Streams(7, own, own, own))
    assert torch.equal(alone.average.vector, run.final.weights.vector)
    assert alone.average_error[-1] == pytest.approx(1 - run.test_accuracy[-1])
    assert alone.worker_error.shape == (1, 1)
    assert alone.barriers == ()
    assert np.isnan(alone.error_barrier)


@pytest.mark.parametrize("options", [{}, {"optimizer": "adam", "lr": 0.01}])
def test_averages_of_one_worker_change_nothing(data, options):
    """Momentum goes on through an average, so one worker that is averaged often is one that never is."""
    recipe = Recipe(**{"epochs": 2, "batch_size": 20, "lr": 0.1, "schedule": "linear", **options})
    never = average_workers(network(data), data, recipe, workers=1, seed=7)
    often = average_workers(network(data), data, recipe, workers=1, every=0.5, seed=7)
    assert torch.equal(never.average.vector, often.average.vector)
    assert len(often.epochs) == 4


def test_a_team_says_what_its_average_is_worth(data, tmp_path):
    found = average_workers(
        network(data), data, Recipe(epochs=3, batch_size=20), workers=3, every=1.0, points=5, seed=1
    )
    assert found.worker_error.shape == (3, 3)
    assert_allclose(found.epochs, [1, 2, 3])
    assert len(found.barriers) == 3
    assert (found.distance > 0).all()
    cost = found.provenance.cost
    assert cost.backward == 3 * 3 * 80
    assert cost.forward == cost.backward + (3 * 4 + sum(wall.evaluations for wall in found.barriers)) * 50
    assert "averaged every 1 epochs" in found.summary()
    again = load(found.save(tmp_path / "team.npz"))
    assert again.equals(found)
    drawn = Workers.compared({"team": again})
    assert set(drawn.series) == {"average, team", "one worker, team"}


def test_it_continues_where_a_common_start_ended(data):
    """From a start of one epoch, two are left of three, at the rates of the whole run."""
    recipe = Recipe(epochs=3, batch_size=20, lr=0.1, schedule="linear", momentum=0.0)
    found = average_workers(network(data), data, recipe, workers=2, began=1.0, points=0)
    assert found.provenance.cost.backward == 2 * 2 * 80
    longer = average_workers(network(data), data, recipe, workers=1, began=1.0, whole=5.0, points=0)
    assert longer.provenance.cost.backward == 4 * 80
    assert longer.epochs[-1] == 5.0


def test_shards_share_all_examples(data):
    each = _shards(data.train, 3, 0)
    assert sorted(map(len, each)) == [26, 27, 27]
    together = torch.cat([part.inputs.flatten(1) for part in each])
    assert len(torch.unique(together, dim=0)) == len(torch.unique(data.train.inputs.flatten(1), dim=0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "whole number from 1"),
        ({"workers": 50, "shards": True}, "cannot be shared"),
        ({"began": 2.0}, "nothing is left to train"),
        ({"began": 1.99}, "less than a step"),
        ({"every": 0.0}, "above 0"),
    ],
)
def test_teams_that_cannot_be(data, options, message):
    with pytest.raises(UsageError, match=message):
        average_workers(network(data), data, PLAIN, **options)


def test_batch_norm_of_an_average_is_re_estimated_before_it_is_measured(data):
    model = og.models.build("convnet", data, seed=0, width=4, batch_norm=True)
    found = average_workers(model, data, Recipe(epochs=2, batch_size=20, lr=0.1), workers=2, seed=3, points=0)
    fresh = og.models.build("convnet", data, seed=1, width=4, batch_norm=True)
    renewed = og.Objective(fresh, data.test, calibration=data.train)(found.average)
    stale = og.Objective(fresh, data.test, batchnorm="frozen")(found.average)
    assert found.average_loss[-1] == pytest.approx(renewed.loss, rel=1e-6)
    assert abs(stale.loss - renewed.loss) > 1e-3
