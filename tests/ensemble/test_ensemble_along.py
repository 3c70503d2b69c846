"""Networks on a path as an ensemble."""

import numpy as np
import pytest
import torch

import orograph as og
from orograph.basics.errors import UsageError, WeightsError
from orograph.connect import path
from orograph.ensemble import Ensemble, ask, evaluate, on_path
from orograph.objective import Objective
from orograph.results import Path, load
from orograph.train import Recipe, fit
from orograph.weights import Weights


@pytest.fixture(scope="module")
def joined():
    data = og.data.load("digits", train_size=200, test_size=100)
    model = og.models.build("convnet", data, seed=0, width=4, batch_norm=True)
    recipe = Recipe(epochs=1, batch_size=50)
    ends = []
    for seed in (1, 2):
        network = og.models.build("convnet", data, seed=seed, width=4, batch_norm=True)
        ends.append(fit(network, data, recipe, seed=seed).final.weights)
    objective = Objective(model, data.test, calibration=data.train)
    found = path(objective, *ends, train=data.train, recipe=recipe, points=5, names=("a", "b"))
    return data, model, ends, found


def test_members_are_the_points_of_the_path(joined, tmp_path):
    data, model, ends, found = joined
    members = on_path(found, ends[0], [0.0, 0.25, 1.0], ends=400, budget=200)
    assert torch.equal(members.members[0].vector, ends[0].vector)
    assert torch.equal(members.members[2].vector, ends[1].vector)
    assert torch.equal(members.members[1].vector, found.curve.at(0.25).vector)
    # From the saved result too, whose curve is made again from its control points.
    again = on_path(load(found.save(tmp_path / "path.npz")), ends[0], [0.25])
    assert torch.equal(again.members[0].vector, members.members[1].vector)
    # Two networks and a curve: never one budget.
    assert members.ledger.train == 400
    assert members.ledger.curve == 200
    assert members.ledger.budgets(200) == 3.0
    answers = ask(model, members, data.test, calibration=data.train)
    assert answers.names == ("a to b at 0", "a to b at 0.25", "a to b at 1")
    assert evaluate(model, members, data.test, calibration=data.train).ledger.curve == 200
    own = [
        Objective(model, data.test, calibration=data.train)(point, keep_outputs=True).outputs
        for point in members.members
    ]
    np.testing.assert_allclose(answers.logits, np.stack(own), atol=1e-5)
    with pytest.raises(UsageError, match="pass calibration"):
        ask(model, members, data.test)
    together = Ensemble(model, members, calibration=data.train)
    log_p = together(data.test.inputs).numpy()
    wrong = (log_p.argmax(1) != data.test.targets.numpy()).mean()
    assert wrong == pytest.approx(
        evaluate(model, members, data.test, calibration=data.train).probability.error.value, abs=0.011
    )


@pytest.mark.parametrize("ts", [[], [0.5, 0.5], [1.5], [-0.1]])
def test_places_that_are_none(joined, ts):
    with pytest.raises(UsageError, match="different t in"):
        on_path(joined[3], joined[2][0], ts)


def test_a_path_without_its_points_is_refused(joined):
    bare = Path(**{**vars(joined[3]), "control": None})
    with pytest.raises(UsageError, match="without its control points"):
        on_path(bare, joined[2][0], [0.5])
    other = Weights.of(torch.nn.Linear(3, 3))
    with pytest.raises(WeightsError):
        on_path(joined[3], other, [0.5])
    with pytest.raises(UsageError, match="control points have shape"):
        on_path(Path(**{**vars(joined[3]), "curve": None}), other, [0.5])
