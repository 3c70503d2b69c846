"""Metrics against plain loops, their errors against repeated draws, and the equivalent number of networks."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from sample_pools import pool

from orograph.basics.errors import DataError, UsageError
from orograph.ensemble import by_example, combine, compare, deep_ensemble_equivalent, ece, scores


def ece_by_a_loop(log_p, labels, bins):
    total = 0.0
    confidence, right = np.exp(log_p).max(1), log_p.argmax(1) == labels
    for k in range(bins):
        inside = [k / bins < c <= (k + 1) / bins for c in confidence]
        if any(inside):
            total += np.mean(inside) * abs(right[inside].mean() - confidence[inside].mean())
    return total


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), bins=st.integers(1, 20), classes=st.integers(2, 12))
def test_calibration_error_is_that_of_a_loop_over_its_bins(seed, bins, classes):
    found = pool(1, 60, classes, seed=seed)
    log_p = combine(found.logits)
    assert ece(log_p, found.labels, bins=bins) == pytest.approx(ece_by_a_loop(log_p, found.labels, bins), abs=1e-12)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    log_p = np.log(np.array([[0.6, 0.4], [0.62, 0.38]]))  # 9/15 and a little more
    both = abs(1 - 0.6) / 2 + abs(0 - 0.62) / 2
    assert ece(log_p, np.array([0, 1])) == pytest.approx(both)  # in one bin they would nearly cancel
    assert ece(np.log(np.array([[1.0, 1e-300]])), np.array([1])) == pytest.approx(1.0)


def test_equal_mass_bins_hold_equally_many():
    found = pool(1, 90)
    log_p = combine(found.logits)
    order = np.exp(log_p).max(1).argsort(kind="stable")
    right, confidence = (log_p.argmax(1) == found.labels)[order], np.exp(log_p).max(1)[order]
    by_hand = np.mean([abs(right[k : k + 6].mean() - confidence[k : k + 6].mean()) for k in range(0, 90, 6)])
    assert ece(log_p, found.labels, equal_mass=True) == pytest.approx(by_hand)


def test_means_are_their_definitions():
    found = pool(3)
    log_p = combine(found.logits)
    p, n = np.exp(log_p), len(found.labels)
    result = scores(log_p, found.labels)
    truth = np.eye(p.shape[1])[found.labels]
    for estimate, values in (
        (result.nll, -(truth * log_p).sum(1)),
        (result.brier, ((p - truth) ** 2).sum(1)),
        (result.error, p.argmax(1) != found.labels),
    ):
        assert estimate.value == pytest.approx(values.mean())
        assert estimate.se == pytest.approx(values.std(ddof=1) / n**0.5)
    with pytest.raises(DataError, match=r"give \(examples, classes\)"):
        by_example(log_p[:-1], found.labels)


def test_standard_errors_are_those_of_repeated_draws():
    found = pool(2, 20_000)
    log_p = combine(found.logits)
    parts = [scores(log_p[k : k + 200], found.labels[k : k + 200], resamples=100) for k in range(0, 20_000, 200)]
    for name in ("error", "nll", "brier"):
        drawn = np.std([getattr(part, name).value for part in parts])
        assert np.mean([getattr(part, name).se for part in parts]) == pytest.approx(drawn, rel=0.25)
    drawn = np.std([part.ece.value for part in parts])
    assert 0.75 < np.mean([part.ece.se for part in parts]) / drawn < 1.75  # resamples add a scatter of their own


def test_methods_are_compared_on_the_same_examples():
    found = pool(8, 2000)
    few, many = combine(found.logits[:7]), combine(found.logits)
    gap = compare(many, few, found.labels)
    assert gap.nll.value < 0
    assert gap.nll.value == pytest.approx(scores(many, found.labels).nll.value - scores(few, found.labels).nll.value)
    assert gap.nll.se < scores(many, found.labels).nll.se / 5
    assert gap.ece.value == pytest.approx(ece(many, found.labels) - ece(few, found.labels))
    nothing = compare(many, many, found.labels)
    assert nothing.ece.value == nothing.ece.se == nothing.nll.se == 0
    assert compare(many, few, found.labels, seed=3) == compare(many, few, found.labels, seed=3)


def test_broken_predictions_have_no_score():
    log_p = np.full((4, 3), np.nan)
    result = scores(log_p, np.zeros(4, dtype=np.int64))
    assert all(np.isnan(getattr(result, name).value) for name in ("error", "nll", "brier", "ece", "adaptive_ece"))


REFERENCE = [1.0, 0.7, 0.6, 0.55]


@pytest.mark.parametrize(
    ("cnll", "value", "words"),
    [
        (1.2, -np.inf, "< 1"),
        (1.0, 1.0, "1.00"),
        (0.85, 1.5, "1.50"),
        (0.7, 2.0, "2.00"),
        (0.575, 3.5, "3.50"),
        (0.55, 4.0, "4.00"),
        (0.54, np.inf, "> 4"),
    ],
)
def test_the_equivalent_number_of_networks(cnll, value, words):
    found = deep_ensemble_equivalent(cnll, REFERENCE)
    assert found.value == pytest.approx(value)
    assert str(found) == words


@settings(max_examples=50)
@given(y=st.floats(0.3, 1.2), less=st.floats(0, 0.3))
def test_a_lower_nll_never_equals_fewer_networks(y, less):
    better, worse = (deep_ensemble_equivalent(value, REFERENCE).value for value in (y - less, y))
    assert better >= worse


def test_the_band_comes_from_the_spread_of_the_reference():
    found = deep_ensemble_equivalent(0.65, REFERENCE, spread=[0.05] * 4)
    assert (found.low, found.value, found.high) == pytest.approx((2.0, 2.5, 4.0 - 1.0))
    assert str(deep_ensemble_equivalent(0.56, REFERENCE, spread=0.05)) == "3.80 [2.90, > 4]"
    sparse = deep_ensemble_equivalent(0.65, [1.0, 0.7, 0.6], sizes=[1, 2, 4])
    assert sparse.value == pytest.approx(3.0)
    with pytest.raises(UsageError, match="ascending from one"):
        deep_ensemble_equivalent(0.5, REFERENCE, sizes=[2, 3, 4, 5])
    with pytest.raises(UsageError, match="finite"):
        deep_ensemble_equivalent(float("nan"), REFERENCE)
