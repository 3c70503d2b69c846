"""Rates that come back: the published formulas step by step, where networks are collected, and what a run keeps."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import orograph as og
from orograph.basics.errors import StoreError, UsageError
from orograph.results import Comparison
from orograph.train import Averaging, Cycles, FastGeometric, Moments, NoCycle, Recipe, Snapshots, Stretch, fit
from orograph.train.cycles import cycle_lengths
from orograph.train.schedule import learning_rates
from orograph.weights import Weights

RECIPE = Recipe(lr=0.1, schedule="hold-decay")


def test_snapshot_rates_are_the_published_formula():
    total, cycles = 60, 5
    n = math.ceil(total / cycles)
    wanted = [0.2 / 2 * (math.cos(math.pi * ((t - 1) % n) / n) + 1) for t in range(1, total + 1)]
    assert_allclose(Snapshots(cycles, 0.2).rates(RECIPE, total, 10), wanted)
    assert Snapshots(cycles, 0.2).collected(total, 10) == (12, 24, 36, 48, 60)


@given(st.integers(1, 400), st.integers(1, 12))
def test_cycles_share_what_is_left_over_and_end_low(total, cycles):
    if cycles > total:
        with pytest.raises(UsageError, match="at least as many steps"):
            cycle_lengths(total, cycles)
        return
    lengths = cycle_lengths(total, cycles)
    assert (sum(lengths), len(lengths)) == (total, cycles)
    assert max(lengths) - min(lengths) <= 1
    schedule = Snapshots(cycles)
    rates, ends = schedule.rates(RECIPE, total, 10), schedule.collected(total, 10)
    assert len(rates) == total
    assert ends[-1] == total
    for end, length in zip(ends, lengths, strict=True):
        assert rates[end - 1] == pytest.approx(0.05 * (1 - math.cos(math.pi / length)))


def test_without_cycles_the_rates_are_the_ordinary_ones():
    assert_allclose(NoCycle(4).rates(RECIPE, 50, 10), learning_rates(RECIPE, 50, 10))
    assert NoCycle(4).collected(50, 10) == Snapshots(4).collected(50, 10)


@given(st.integers(40, 600), st.integers(4, 30), st.floats(0.3, 4.0), st.floats(0.0, 0.9))
def test_fast_geometric_triangles_are_the_published_formula(total, per_epoch, cycle, start):
    schedule = FastGeometric(cycle=cycle, high=0.05, low=0.001, start=start)
    try:
        begin, length, members = schedule.plan(total, per_epoch)
    except UsageError:
        return
    rates, ends = schedule.rates(RECIPE, total, per_epoch), schedule.collected(total, per_epoch)
    assert length % 2 == 0
    assert total - begin == (members - 0.5) * length  # what n members cost
    assert_allclose(rates[:begin], learning_rates(RECIPE, total, per_epoch)[:begin])
    for i in range(1, total - begin + 1):
        t = ((i - 1) % length + 1) / length
        wanted = (1 - 2 * t) * 0.05 + 2 * t * 0.001 if t <= 0.5 else (2 - 2 * t) * 0.001 + (2 * t - 1) * 0.05
        assert rates[begin + i - 1] == pytest.approx(wanted)
    # Collected after the step with the lowest rate, the last time at the end of the budget.
    assert ends[-1] == total
    assert_allclose(rates[np.array(ends) - 1], 0.001)
    assert len(ends) == members
    # The next member more would begin before the start that was asked for.
    assert (members + 1 - 0.5) * length > (1 - start) * total - 1e-6


def test_averaging_falls_to_its_rate_and_collects_once_an_epoch():
    rates = Averaging(lr=0.02, start=0.8).rates(RECIPE, 100, 10)
    assert_allclose(rates[:41], 0.1)
    assert_allclose(rates[60], 0.1 - 0.08 * (60 / 80 - 0.5) / 0.4)
    assert_allclose(rates[72:], 0.02)
    assert Averaging(lr=0.02, start=0.8).collected(100, 10) == (90, 100)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Snapshots(0), "whole number from 1"),
        (lambda: Snapshots(3, -0.1), "above 0"),
        (lambda: FastGeometric(high=0.01, low=0.01), "below high"),
        (lambda: FastGeometric(cycle=0), "above 0"),
        (lambda: FastGeometric(start=1.0), "from 0 to below 1"),
        (lambda: FastGeometric(cycle=50).plan(100, 10), "no cycle of 50 epochs fits"),
        (lambda: Averaging(start=0.0), "above 0 and below 1"),
        (lambda: Averaging(every=0.0), "above 0"),
        (lambda: Stretch(3.0, 4.0), "between 0 and 3 epochs"),
        (lambda: Stretch(3.0, 2.0).rates(RECIPE, 20, 10), "do not fit into the 30 steps"),
        (lambda: Cycles.from_dict({"name": "snapshots"}), "did you mean 'snapshot'"),
    ],
)
def test_impossible_cycles_are_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()


@pytest.fixture(scope="module")
def data():
    return og.data.load("digits", train_size=300)


def test_a_run_keeps_what_its_cycles_collect(data, tmp_path):
    recipe = Recipe(epochs=2, batch_size=30, lr=0.05)
    cycles = FastGeometric(cycle=0.4, high=0.05, low=0.001, start=0.5)
    model = og.models.build("mlp", data, seed=0)
    run = fit(model, data, recipe, seed=1, cycles=cycles, test=False)
    steps = {checkpoint.step for checkpoint in run.checkpoints}
    assert set(cycles.collected(20, 10)) <= steps
    assert run.learning_rate[-1] == pytest.approx(0.001)
    out = tmp_path / "run"
    fit(og.models.build("mlp", data, seed=0), data, recipe, seed=1, cycles=cycles, test=False, out=out)
    with pytest.raises(StoreError, match="another"):
        fit(og.models.build("mlp", data, seed=0), data, recipe, seed=1, cycles=Snapshots(2), test=False, out=out)


@pytest.mark.parametrize(
    "cycles", [Snapshots(3, 0.1), NoCycle(4), FastGeometric(0.5, 0.1, 0.01, 0.4), Averaging(), Stretch(5.0, 1.0, 0.5)]
)
def test_cycles_come_back_from_their_options(cycles):
    assert Cycles.from_dict(cycles.to_dict()) == cycles


@pytest.mark.parametrize("optimizer", [{}, {"optimizer": "adam", "lr": 0.01}])
def test_stretch_after_stretch_is_the_whole_run(data, optimizer):
    recipe = Recipe(**{"epochs": 4, "batch_size": 32, "schedule": "hold-decay", "warmup": 1, "crop": 1, **optimizer})
    moments = Moments()
    whole, parts = (og.models.build("convnet", data, seed=0) for _ in range(2))
    fit(whole, data, recipe, seed=3)
    for begin, length in ((0.0, 1.0), (1.0, 0.5), (1.5, 2.5)):
        part = replace(recipe, epochs=length, warmup=0.0)
        fit(parts, data, part, seed=3, cycles=Stretch(4.0, begin, 1.0), test=False, moments=moments)
    assert torch.equal(Weights.of(whole).vector, Weights.of(parts).vector)


def test_moments_are_handed_on_in_memory_only(data, tmp_path):
    with pytest.raises(UsageError, match="leave out= out"):
        fit(og.models.build("mlp", data, seed=0), data, RECIPE, moments=Moments(), out=tmp_path / "x")


def test_a_run_is_measured_along_its_cycles(data, tmp_path):
    recipe = Recipe(epochs=2, batch_size=30, lr=0.05)
    cycles = FastGeometric(cycle=0.4, high=0.05, low=0.001, start=0.5)
    run = fit(og.models.build("mlp", data, seed=0), data, recipe, seed=1, cycles=cycles)
    begin, collected = cycles.begin(20, 10), cycles.collected(20, 10)
    assert cycles.watched(20, 10) <= set(run.steps)
    assert run.provenance.options["collected"] == list(collected)
    after = run.steps >= begin
    assert np.isnan(run.distance_from_cycles[~after]).all()
    anchor = next(c.weights for c in run.checkpoints if c.step == begin)
    for checkpoint in run.checkpoints:
        if checkpoint.step >= begin:
            row = list(run.steps).index(checkpoint.step)
            assert run.distance_from_cycles[row] == checkpoint.weights.distance(anchor)
    figure = Comparison.along(run)
    assert figure.series["run"].values.shape == (3, after.sum())
    assert_allclose(figure.series["collected"].x, np.array(collected) / 10)
    assert_allclose(figure.series["collected"].values[0], 0.001)

    # A run that was stopped between two of its cycles knows from where they began.
    def stop(done, total):
        if done == collected[0] + 1:
            raise InterruptedError

    out = tmp_path / "run"
    options = {"seed": 1, "cycles": cycles, "out": out, "snapshot_every": 0.1}
    with pytest.raises(InterruptedError):
        fit(og.models.build("mlp", data, seed=0), data, recipe, progress=stop, **options)
    continued = fit(og.models.build("mlp", data, seed=0), data, recipe, **options)
    assert_allclose(continued.distance_from_cycles, run.distance_from_cycles, rtol=0)
    assert fit(og.models.build("mlp", data, seed=0), data, recipe, seed=1).distance_from_cycles is None
