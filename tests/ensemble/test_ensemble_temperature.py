"""Temperatures against dense grids and known truths; calibrated NLL against ten separate fits."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from sample_pools import nll_after, nll_before, pool

from orograph.basics.errors import UsageError
from orograph.ensemble import (
    Curve,
    LabelProbabilities,
    after_averaging,
    before_averaging,
    calibrated_nll,
    combine,
    folds,
    temperature,
)


def best_of_a_dense_grid(nll):
    taus = np.geomspace(0.05, 20.0, 481)
    values = [nll(tau) for tau in taus]
    return taus[int(np.argmin(values))], min(values)


@settings(max_examples=12)
@given(seed=st.integers(0, 1000), sharpness=st.floats(0.2, 12), classes=st.integers(2, 9), members=st.integers(1, 5))
def test_the_search_finds_what_a_dense_grid_finds(seed, sharpness, classes, members):
    found = pool(members, 80, classes, sharpness=sharpness, seed=seed)
    log_p = combine(found.logits)
    for curve, nll in (
        (before_averaging(found.logits, found.labels), lambda t: nll_before(found.logits, found.labels, t).mean()),
        (after_averaging(log_p, found.labels), lambda t: nll_after(log_p, found.labels, t).mean()),
    ):
        result, (tau, lowest) = temperature(curve), best_of_a_dense_grid(nll)
        assert result.nll <= lowest * (1 + 1e-6)
        assert result.nll == pytest.approx(nll(result.tau), rel=1e-6)
        assert result.tau == pytest.approx(tau, rel=0.02)
        assert result.at_bound == (result.tau in (pytest.approx(0.05), pytest.approx(20.0)))


@pytest.mark.parametrize(("classes", "sharpness"), [(2, 1.0), (10, 1.7), (10, 30.0), (300, 1.0)])
def test_single_precision_costs_less_than_a_millionth(classes, sharpness):
    found = pool(4, 500, classes, sharpness=sharpness)
    curve = before_averaging(found.logits, found.labels)
    for tau in (0.05, 0.31, 1.0, 3.3, 20.0):
        exact = nll_before(found.logits, found.labels, tau)
        np.testing.assert_allclose(curve(np.log(tau)), exact, rtol=1e-5, atol=1e-6)
        assert curve(np.log(tau)).mean() == pytest.approx(exact.mean(), rel=1e-6)


def test_small_losses_keep_their_digits_too():
    """1 + e^-25 is 1 in float32: the top class is counted apart."""
    logits = np.array([[[25.0, 0.0, 0.0], [0.0, 18.0, 1.0]]], dtype=np.float32)
    labels = np.array([0, 1])
    np.testing.assert_allclose(before_averaging(logits, labels)(0.0), nll_before(logits, labels, 1.0), rtol=1e-4)
    tied = np.zeros((1, 1, 4), dtype=np.float32)
    assert before_averaging(tied, np.array([3]))(0.0) == pytest.approx(np.log(4))


def test_labels_drawn_at_a_temperature_give_it_back():
    chance = np.random.default_rng(0)
    logits = (3 * chance.standard_normal((60_000, 6))).astype(np.float32)
    for tau in (0.5, 1.0, 2.5):
        labels = (logits / tau + chance.gumbel(size=logits.shape)).argmax(1)
        assert temperature(before_averaging(logits[None], labels)).tau == pytest.approx(tau, rel=0.02)


def test_one_member_has_one_temperature_before_and_after_averaging():
    found = pool(1, 300)
    before = temperature(before_averaging(found.logits, found.labels))
    after = temperature(after_averaging(combine(found.logits), found.labels))
    assert before.tau == pytest.approx(after.tau, rel=1e-4)
    assert before.nll == pytest.approx(after.nll, rel=1e-6)


def test_a_large_set_is_searched_from_a_sketch_and_judged_whole():
    found = pool(3, 9000)
    result = temperature(before_averaging(found.logits, found.labels))
    nearby = [nll_before(found.logits, found.labels, result.tau * ratio).mean() for ratio in (0.99, 1.0, 1.01)]
    assert nearby[1] < min(nearby[0], nearby[2])
    assert result.nll == pytest.approx(nearby[1], rel=1e-6)
    curve = before_averaging(found.logits, found.labels)
    sketched = curve.probabilities.sketched  # examples outside the sketch want a temperature several octaves away
    logits = found.logits.copy()
    outside = np.setdiff1d(np.arange(9000), sketched)
    logits[:, outside] *= 8
    result = temperature(before_averaging(logits, found.labels))
    assert result.nll <= min(nll_before(logits, found.labels, tau).mean() for tau in np.geomspace(1, 20, 20)) + 1e-6


def test_without_errors_the_temperature_is_at_its_bound_and_flagged():
    labels = np.arange(30) % 3
    logits = 4 * np.eye(3)[labels][None].astype(np.float32)
    result = temperature(before_averaging(logits, labels))
    assert result.at_bound
    assert result.tau == pytest.approx(0.05)
    hopeless = temperature(before_averaging(logits, (labels + 1) % 3))
    assert hopeless.at_bound
    assert hopeless.tau == pytest.approx(20.0)
    narrow = temperature(before_averaging(pool().logits, pool().labels, (1.0, 1.1)))
    assert narrow.at_bound
    assert narrow.tau == pytest.approx(1.1)


def test_a_penalty_is_not_capped_at_any_temperature():
    logits = np.array([[[0.0, 1000.0], [9.0, 0.0]]], dtype=np.float32)
    curve = before_averaging(logits, np.array([0, 0]))
    assert curve(0.0)[0] == pytest.approx(1000)
    assert curve(np.log(0.05))[0] == pytest.approx(20_000)


def test_calibrated_nll_is_the_mean_of_ten_separate_fits():
    found = pool(3, 241)
    halves = folds(241)
    result = calibrated_nll(before_averaging(found.logits, found.labels), halves)
    values = []
    for seen, tau in zip(halves, result.taus, strict=True):
        fitted = temperature(before_averaging(found.logits[:, seen], found.labels[seen]))
        assert tau == pytest.approx(fitted.tau, rel=1e-3)
        values.append(nll_before(found.logits[:, ~seen], found.labels[~seen], fitted.tau).mean())
    assert len(values) == 10
    assert result.value == pytest.approx(np.mean(values), rel=1e-6)
    assert result.spread == pytest.approx(np.std(values, ddof=1), rel=1e-4)
    assert result.by_example.mean() == pytest.approx(result.value, rel=1e-9)


def test_its_standard_error_is_that_of_repeated_draws():
    found = pool(2, 12_000)
    parts = [slice(k, k + 200) for k in range(0, 12_000, 200)]
    results = [calibrated_nll(before_averaging(found.logits[:, p], found.labels[p]), folds(200)) for p in parts]
    drawn = np.std([result.value for result in results])
    assert np.mean([result.se for result in results]) == pytest.approx(drawn, rel=0.25)


def test_folds_are_halves_shared_by_all():
    halves = folds(101)
    assert halves.shape == (10, 101)
    assert np.array_equal(halves[::2], ~halves[1::2])
    assert set(halves.sum(1)) == {50, 51}
    assert np.array_equal(halves, folds(101))
    assert not np.array_equal(halves, folds(101, seed=1))
    with pytest.raises(UsageError, match="two examples"):
        folds(1)


def test_groups_of_a_pool_need_no_second_look():
    found = pool(6, 300)
    whole, halves = LabelProbabilities(found.logits, found.labels), folds(300)
    for group in ([2], [0, 4], [5, 1, 3]):
        alone = calibrated_nll(before_averaging(found.logits[group], found.labels), halves)
        shared = calibrated_nll(Curve(whole, np.array(group)), halves)
        np.testing.assert_allclose(shared.by_example, alone.by_example, rtol=1e-4, atol=1e-5)
        assert shared.value == pytest.approx(alone.value, rel=1e-6)


def test_the_order_of_the_members_does_not_matter():
    found = pool(5, 200)
    one = temperature(before_averaging(found.logits, found.labels))
    other = temperature(before_averaging(found.logits[::-1].copy(), found.labels))
    assert one.tau == pytest.approx(other.tau, rel=1e-5)
    assert one.nll == pytest.approx(other.nll, rel=1e-9)


def test_a_broken_member_has_no_temperature():
    found = pool(3, 50)
    for value in (np.nan, np.inf):
        logits = found.logits.copy()
        logits[1, 7, 2] = value
        result = temperature(before_averaging(logits, found.labels))
        assert np.isnan(result.tau)
        assert np.isnan(result.nll)
        assert np.isnan(calibrated_nll(after_averaging(combine(logits), found.labels), folds(50)).value)
    with pytest.raises(UsageError, match="from a smaller to a larger"):
        before_averaging(found.logits, found.labels, (2.0, 1.0))
