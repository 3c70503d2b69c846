"""Rates that come back: the published formulas step by step, where networks are collected, and what a run keeps."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import orograph as og
from orograph.basics.errors import StoreError, UsageError
from orograph.train import Averaging, FastGeometric, NoCycle, Recipe, Snapshots, fit
from orograph.train.cycles import cycle_lengths
from orograph.train.schedule import learning_rates

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
