"""The store of predictions: what it refuses, what it lists, and that it comes back as it was."""

import numpy as np
import pytest
from sample_pools import pool

from orograph.basics.errors import DataError, UsageError
from orograph.results.predictions import Member, Predictions

LABELS = [0, 1, 2, 1]


def logits(members=2, examples=4, classes=3):
    return np.random.default_rng(0).standard_normal((members, examples, classes))


def test_predictions_come_back_bit_for_bit_with_who_made_them(tmp_path):
    members = [Member("a", "fge", "run-3", 7, 1200, "9f31", "own"), Member("b")]
    made = Predictions.of(logits(), LABELS, members, example_ids=[5, 3, 9, 1], part="validation")
    back = Predictions.load(made.save(tmp_path / "predictions"))
    assert back.equals(made)
    assert back.members[0] == members[0]
    assert back.logits.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"logits": [np.zeros((4, 3)), np.zeros((4, 2))]}, r"b gave logits of shape \(4, 2\), a of \(4, 3\)"),
        ({"logits": []}, "none of them 0"),
        ({"labels": [0, 1, 3, 1]}, "label 3 is not among the 3 classes"),
        ({"labels": [0, -1, 2, 1]}, "label -1"),
        ({"labels": [0, 1, 2]}, "3 labels .* give 4"),
        ({"members": ["a"]}, "1 members .* give 2"),
        ({"members": ["a", "a"]}, "'a' stands here 2 times"),
        ({"members": [Member("a", weights_hash="77"), Member("b", weights_hash="77")]}, "the weights 77 stands"),
        ({"example_ids": [1, 2, 2, 3]}, "an example stands here twice"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(change, complaint):
    fields = {"logits": logits(), "labels": LABELS, "members": ["a", "b"], **change}
    with pytest.raises(DataError, match=complaint) as refusal:
        Predictions.of(**fields)
    assert "\n" not in str(refusal.value)


def test_one_network_under_two_batch_norm_protocols_is_two_members():
    members = [Member("a", weights_hash="77", batchnorm="own"), Member("b", weights_hash="77", batchnorm="recalibrate")]
    assert len(Predictions.of(logits(), LABELS, members)) == 2


def test_of_few_examples_a_network_that_is_always_right_is_no_guess():
    labels = np.array([0, 0, 1])
    assert not Predictions.of([5 * np.eye(2)[labels]], labels, ["right"]).collapsed


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_collapsed_members_are_listed_whatever_the_number_of_classes(classes):
    """Published code drops accuracies of 0.15 or less: a guess among 2 classes stays, an honest 14 % of 100 goes."""
    chance = np.random.default_rng(0)
    labels = chance.integers(0, classes, 2000)
    constant = np.zeros((2000, classes))
    constant[:, 1] = 5
    weak = chance.standard_normal((2000, classes))
    taught = chance.random(2000) < 0.14
    weak[taught, labels[taught]] += 10
    broken = weak.copy()
    broken[3, 0] = np.nan
    found = Predictions.of([constant, weak, broken], labels, ["constant", "weak", "broken"])
    assert set(found.collapsed) == {"constant", "broken"}
    assert found.collapsed["broken"] == "non-finite logits"
    assert len(found) == 3
    assert "collapsed: constant (accuracy" in found.summary()


def test_subsets_and_joins_keep_the_order_asked_for():
    whole = pool(4)
    parts = whole.subset([3, 1])
    assert parts.names == ("3", "1")
    assert np.array_equal(parts.logits[0], whole.logits[3])
    joined = parts.join(whole.subset(np.array([True, False, True, False])))
    assert joined.names == ("3", "1", "0", "2")
    with pytest.raises(UsageError, match="at least one"):
        whole.subset([])
    with pytest.raises(DataError, match="stands here 2 times"):
        parts.join(whole)
    with pytest.raises(DataError, match="other examples"):
        whole.join(pool(2, 300))
    with pytest.raises(DataError, match="5 and 3 classes"):
        whole.join(pool(2, classes=3))
