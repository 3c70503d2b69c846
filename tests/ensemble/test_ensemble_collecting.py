"""Ensembles within one budget: what is trained, what is collected, what it cost, and what is refused."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

import orograph as og
from orograph.basics.errors import DataError, UsageError
from orograph.ensemble.asking import ask, evaluate
from orograph.ensemble.averaging import mean_weights, soup
from orograph.ensemble.collected import require_within
from orograph.ensemble.collecting import (
    dropout,
    fge,
    fresh,
    independent,
    no_cycle,
    single_cycle,
    snapshot,
    swa,
)
from orograph.results import Evaluation, load
from orograph.results.ledger import Ledger
from orograph.train import Recipe
from orograph.weights import Weights

RECIPE = Recipe(epochs=4, batch_size=25, lr=0.05, schedule="hold-decay")
OPTIONS = {"fge": {"cycle": 0.4, "start": 0.5}, "snapshot": {"cycles": 4}, "no cycle": {"cycles": 4}}


@pytest.fixture(scope="module")
def data():
    return og.data.load("digits", train_size=200, test_size=100)


@pytest.mark.parametrize(
    ("method", "options", "members"),
    [
        (independent, {"count": 1}, 1),
        (snapshot, {"cycles": 4}, 4),
        (no_cycle, {"cycles": 4}, 4),
        (single_cycle, {"cycles": 4}, 4),
        (fge, {"cycle": 0.5, "start": 0.5}, 4),
        (swa, {"start": 0.5}, 1),
    ],
)
def test_every_method_spends_one_budget(data, method, options, members):
    found = method("mlp", data, RECIPE, seed=3, **options)
    assert len(found) == len(found.records) == members
    assert found.budget == 4 * 200
    assert found.ledger.train == 4 * 200
    assert found.ledger.budgets(found.budget) == pytest.approx(1.0)
    assert len({record.weights_hash for record in found.records}) == members
    require_within(found, 1.0)
    with pytest.raises(UsageError, match="budgets where"):
        require_within(found, 0.5)


def test_two_budgets_are_two_runs_pooled_and_one_seed_repeats(data):
    once, twice = (snapshot("mlp", data, RECIPE, cycles=2, runs=runs, seed=1) for runs in (1, 2))
    assert len(twice) == 4
    assert twice.ledger.budgets(twice.budget) == pytest.approx(2.0)
    assert [r.weights_hash for r in twice.records[:2]] == [r.weights_hash for r in once.records]
    assert {record.run for record in twice.last(1).records} == {record.run for record in twice.records}
    assert [r.weights_hash for r in twice.last(1).records] == [twice.records[k].weights_hash for k in (1, 3)]


def test_single_cycles_begin_anew_and_snapshots_do_not(data):
    anew = single_cycle("mlp", data, RECIPE, cycles=4, seed=0)
    along = snapshot("mlp", data, RECIPE, cycles=4, seed=0)
    starts = {run.first.weights.fingerprint() for run in anew.runs}
    assert len(starts) == 4
    assert len(along.runs) == 1
    assert anew.members[0].distance(anew.members[1]) > 2 * along.members[-2].distance(along.members[-1])


def test_swa_is_the_mean_of_what_its_run_passed_through(data):
    found = swa("mlp", data, RECIPE, start=0.5, lr=0.02, seed=5)
    run = found.runs[0]
    collected = [c.weights.vector.double() for c in run.checkpoints if c.step > 16]  # after the start: epochs 3 and 4
    assert len(collected) == 2
    assert_allclose(found.members[0].vector, torch.stack(collected).mean(0), rtol=1e-6)
    assert found.batchnorm == "recalibrate"


def test_a_mean_counts_every_network_once():
    origin = Weights.of(nn.Linear(2, 1))
    points = [origin.with_vector(torch.full((3,), float(value))) for value in (1, 2, 3, 4)]
    assert [float(mean_weights(points[:n]).vector[0]) for n in (1, 2, 3, 4)] == [1.0, 1.5, 2.0, 2.5]


def test_counters_are_copied_and_batch_norm_is_not_averaged():
    networks = []
    for value in (1.0, 3.0):
        network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        nn.init.constant_(network[0].weight, value)
        network[1].num_batches_tracked.fill_(int(value))
        networks.append(Weights.of(network))
    mean = mean_weights(networks)
    assert mean.buffers["1.num_batches_tracked"] == 3
    assert torch.equal(dict(mean.tensors())["0.weight"], torch.full((2, 2), 2.0))


def test_a_greedy_soup_leaves_out_what_spoils_it(data):
    model = og.models.build("mlp", data)
    good = snapshot("mlp", data, RECIPE, cycles=4, seed=0).members[-2:]
    stranger = Weights.of(og.models.build("mlp", data, seed=9))
    validation = og.Objective(model, data.test)
    mixed, taken, ledger = soup([stranger, *good], validation=validation)
    assert 0 not in taken
    assert validation(mixed).accuracy >= max(validation(one).accuracy for one in good)
    assert ledger.selection == (3 + 2) * 100
    everything, indices, nothing = soup(good)
    assert indices == (0, 1)
    assert nothing == Ledger()
    assert_allclose(everything.vector, (good[0].vector + good[1].vector) / 2, rtol=1e-6)


def test_dropout_is_an_option_or_a_layer_and_else_refused(data):
    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.drop, self.head = nn.Linear(64, 16), nn.Dropout(0.0), nn.Linear(16, 10)

        def forward(self, x):
            return self.head(self.drop(torch.relu(self.body(x.flatten(1)))))

    network = Dropping()
    assert len(dropout(network, data, Recipe(epochs=0.2), rate=0.3)) == 1
    assert network.drop.p == 0.3
    with pytest.raises(UsageError, match="no dropout layer"):
        dropout(lambda seed: og.models.build("mlp", data, seed=seed), data, RECIPE)
    with pytest.raises(UsageError, match="no option 'dropout'"):
        dropout("mlp", data, RECIPE)


def test_a_module_begins_anew_from_each_seed_or_says_what_cannot(data):
    network = og.models.build("convnet", data)
    one, two, again = (Weights.of(fresh(network, data, seed)).fingerprint() for seed in (1, 2, 1))
    assert one == again != two
    odd = nn.Module()
    odd.weight = nn.Parameter(torch.zeros(3))
    with pytest.raises(UsageError, match="no reset_parameters"):
        fresh(odd, data, 0)


def test_a_class_begins_anew_from_each_seed(data):
    class Net(nn.Sequential):
        def __init__(self, width=4):
            super().__init__(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, 10))

    one, two, again = (Weights.of(fresh(Net, data, seed)) for seed in (1, 2, 1))
    assert one.fingerprint() == again.fingerprint() != two.fingerprint()
    assert len(one) == 64 * 4 + 4 + 4 * 10 + 10


def test_what_would_overrun_is_refused_before_it_starts(data, monkeypatch):
    started = []
    monkeypatch.setitem(swa.__globals__, "fit", lambda *a, **k: started.append(1))
    with pytest.raises(UsageError, match=r"would overrun the budget .* at least$"):
        swa(lambda seed: og.models.build("convnet", data, seed=seed, batch_norm=True), data, Recipe(epochs=4))
    with pytest.raises(UsageError, match="no cycle of 2 epochs fits"):
        og.train.FastGeometric(cycle=2).plan(5, 8)
    assert not started


def test_averages_get_new_statistics_from_training_examples(data):
    model = og.models.build("convnet", data, batch_norm=True)
    found = swa(model, data, Recipe(epochs=20, batch_size=50, measure_every=20), start=0.9)
    assert found.ledger.batchnorm == 200
    with pytest.raises(UsageError, match="their batch-norm statistics anew"):
        ask(model, found, data.test)
    objective = og.Objective(model, data.test, calibration=data.train)
    wanted = objective(found.members[0], keep_outputs=True).outputs
    assert_allclose(ask(model, found, data.test, calibration=data.train).logits[0], wanted, rtol=1e-5, atol=1e-5)


def test_predictions_are_the_networks_own(data):
    found = snapshot("convnet", data, RECIPE, cycles=2, seed=0)
    model = og.models.build("convnet", data)
    predictions = ask(model, found, data.test)
    for weights, logits in zip(found.members, predictions.logits, strict=True):
        weights.put_into(model)
        with torch.no_grad():
            assert_allclose(logits, model.eval()(data.test.inputs), rtol=1e-4, atol=1e-4)
    assert predictions.names == tuple(record.name for record in found.records)
    assert (predictions.labels == data.test.targets.numpy()).all()


def test_an_evaluation_holds_together(data, tmp_path):
    found = snapshot("mlp", data, RECIPE, cycles=3, seed=0)
    model = og.models.build("mlp", data)
    with pytest.raises(UsageError, match="state dict"):
        evaluate(model, [model.state_dict()], data.test)
    result = evaluate(model, found, data.test)
    predictions = ask(model, found, data.test)
    errors = (predictions.logits.argmax(-1) != predictions.labels).mean(1)
    assert_allclose([member.error.value for member in result.members], errors)
    assert result.running_error[0] == pytest.approx(errors[0])
    assert result.running_error[-1] == pytest.approx(result.probability.error.value)
    assert result.running_nll[-1] == pytest.approx(result.probability.nll.value)
    assert result.distances[0, 1] == pytest.approx(found.members[0].distance(found.members[1]))
    assert result.temperature_before.nll <= result.probability.nll.value + 1e-9
    assert load(result.save(tmp_path / "evaluation")).equals(result)
    assert isinstance(load(tmp_path / "evaluation.npz"), Evaluation)
    assert "1.000 budgets" in result.summary()
    assert np.isnan(evaluate(model, found.members[:1], data.test).mean_distance)


def test_what_cannot_be_evaluated_is_told(data):
    model = og.models.build("mlp", data)
    with pytest.raises(UsageError, match="no networks"):
        ask(model, [], data.test)
    with pytest.raises(DataError, match="class label"):
        ask(model, [Weights.of(model)], (data.test.inputs, torch.zeros(100, 3)))
    with pytest.raises(UsageError, match="unknown option"):
        snapshot("mlp", data, RECIPE, sede=3)


def test_files_of_plain_state_dicts_are_read_with_the_network_that_is_given(data, tmp_path):
    networks = [og.models.build("mlp", data, seed=seed) for seed in (1, 2)]
    paths = []
    for index, network in enumerate(networks):
        paths.append(tmp_path / f"{index}.pt")
        torch.save(network.state_dict(), paths[-1])
    model = og.models.build("mlp", data, seed=0)
    from_files = ask(model, paths, data.test)
    assert_allclose(from_files.logits, ask(model, networks, data.test).logits)


def test_a_mask_among_the_buffers_may_be_infinite(data):
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(64, 10)
            self.register_buffer("mask", torch.full((3, 3), float("-inf")).triu(1))

        def forward(self, inputs):
            return self.layer(inputs.flatten(1))

    assert evaluate(Masked(), [Masked(), Masked()], data.test).names == ("A", "B")
