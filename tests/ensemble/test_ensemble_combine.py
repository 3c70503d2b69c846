"""Averages and votes against convexity, textbook forms, and themselves with the members in another order."""

from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from sample_pools import nll_before, pool
from scipy.special import log_softmax, logsumexp

from orograph.basics.errors import UsageError
from orograph.ensemble import by_example, combine, disagreement, running, running_vote, vote

logits_of_any_size = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(2, 5)),
    elements=st.floats(-200, 200, width=32),
)


@settings(max_examples=60)
@given(logits=logits_of_any_size, seed=st.integers(0, 1000))
def test_an_average_is_never_worse_than_its_mean_member(logits, seed):
    labels = np.random.default_rng(seed).integers(0, logits.shape[2], logits.shape[1])
    members = [by_example(combine(each[None]), labels) for each in logits]
    mean_nll = np.mean([each["nll"] for each in members], 0)
    for average in ("probability", "logit"):
        assert (by_example(combine(logits, average), labels)["nll"] <= mean_nll * (1 + 1e-12) + 1e-12).all()
    brier = by_example(combine(logits), labels)["brier"]
    assert (brier <= np.mean([each["brier"] for each in members], 0) + 1e-12).all()


@settings(max_examples=40)
@given(logits=logits_of_any_size)
def test_running_averages_are_the_averages_of_the_first_members(logits):
    for average in ("probability", "logit"):
        found = running(logits, average)
        for n in range(1, len(logits) + 1):
            np.testing.assert_allclose(found[n - 1], combine(logits[:n], average), rtol=1e-9, atol=1e-9)


def test_averages_are_their_definitions():
    logits = pool().logits.astype(np.float64)
    each = log_softmax(logits, axis=-1)
    np.testing.assert_allclose(combine(logits), logsumexp(each, axis=0) - np.log(len(each)), rtol=1e-12)
    np.testing.assert_allclose(combine(logits, "logit"), log_softmax(each.mean(0), axis=-1), rtol=1e-12)
    with pytest.raises(UsageError, match="use 'probability' or 'logit'"):
        combine(logits, "votes")


def test_one_member_makes_all_rules_equal():
    alone = pool(1)
    np.testing.assert_allclose(combine(alone.logits), combine(alone.logits, "logit"), rtol=1e-12, atol=1e-15)
    assert np.array_equal(vote(alone.logits), combine(alone.logits).argmax(1))


def test_a_penalty_is_never_capped():
    sure = np.array([[[0.0, 1000.0]]], dtype=np.float32)
    for average in ("probability", "logit"):
        assert by_example(combine(sure, average), np.array([0]))["nll"] == pytest.approx([1000])
    assert nll_before(sure, np.array([0]), 1.0) == pytest.approx([1000])


def test_votes_are_counted_and_ties_go_to_the_mean_probability():
    three = np.array([[[1.0, 0, 0]], [[1.0, 0, 0]], [[0, 0, 30.0]]])
    assert vote(three) == [0]  # two ballots beat any certainty
    assert vote(three[1:]) == [2]
    assert running_vote(three).ravel().tolist() == [0, 0, 0]
    random = pool(7, 200).logits
    for n in range(1, 8):
        assert np.array_equal(running_vote(random)[n - 1], vote(random[:n]))


def test_the_order_of_the_members_does_not_matter():
    logits = pool(6, 300).logits
    turned = logits[[4, 2, 0, 5, 1, 3]]
    for average in ("probability", "logit"):
        np.testing.assert_allclose(combine(logits, average), combine(turned, average), rtol=1e-12)
        np.testing.assert_allclose(running(logits, average)[-1], running(turned, average)[-1], rtol=1e-12)
    assert np.array_equal(vote(logits), vote(turned))


def test_members_beyond_half_the_pool_count_too():
    """A misspelt variable in published code leaves them out, so that its curve is flat from there."""
    found = running(pool(8).logits)
    assert all(np.abs(later - earlier).max() > 1e-3 for earlier, later in pairwise(found))


def test_a_member_that_is_not_finite_is_heard():
    logits = pool(3, 20).logits.copy()
    logits[1, 4, 0] = np.nan
    values = by_example(combine(logits), pool(3, 20).labels)
    assert np.flatnonzero(np.isnan(values["nll"])).tolist() == [4]
    assert np.isnan(values["error"][4])


def test_disagreement_is_counted_pair_by_pair():
    found, names = pool(5), pool(5).logits.argmax(-1)
    result = disagreement(found)
    pairs = [(i, j) for i in range(5) for j in range(i)]
    for i, j in pairs:
        share = np.mean(names[i] != names[j])
        assert result.matrix[i, j] == result.matrix[j, i] == share
        assert result.se[i, j] == pytest.approx((share * (1 - share) / 400) ** 0.5)
        errors = np.mean([names[i] != found.labels, names[j] != found.labels])
        assert result.normalised[i, j] == pytest.approx(share / errors)
    assert result.mean.value == pytest.approx(np.mean([result.matrix[pair] for pair in pairs]))
    by_hand = np.mean([names[i] != names[j] for i, j in pairs], 0)
    assert result.mean.se == pytest.approx(by_hand.std(ddof=1) / 20)
    assert result.mean_normalised == pytest.approx(result.mean.value / np.mean(names != found.labels))
    assert np.isnan(disagreement(pool(1)).mean.value)


def test_disagreement_with_a_broken_member_is_unknown():
    whole = pool(3)
    logits = whole.logits.copy()
    logits[2, 0, 0] = np.inf
    result = disagreement(type(whole).of(logits, whole.labels))
    assert np.isnan(result.matrix[2]).all()
    assert result.matrix[0, 1] == disagreement(whole).matrix[0, 1]
    assert np.isnan(result.mean.value)
