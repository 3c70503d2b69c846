"""Subsets have the mixture of the whole."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orograph.basics.errors import UsageError
from orograph.data import Data, load
from orograph.data.subset import quotas, stratified, train_test

labels_and_share = st.tuples(
    st.lists(st.integers(0, 5), min_size=1, max_size=80), st.floats(0, 1), st.integers(0, 2**32)
)


@given(labels_and_share)
def test_each_class_is_within_one_example_of_its_share(drawn) -> None:
    listed, share, seed = drawn
    labels, m = torch.tensor(listed), max(1, round(share * len(listed)))
    chosen = stratified(labels, m, torch.Generator().manual_seed(seed))
    assert len(set(chosen.tolist())) == m
    assert chosen.tolist() == sorted(chosen.tolist())
    for label in set(listed):
        exact = m * listed.count(label) / len(listed)
        assert abs(int((labels[chosen] == label).sum()) - exact) < 1


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.floats(0, 1))
def test_quotas_are_hamiltons(counts: list[int], share: float) -> None:
    m, total = round(share * sum(counts)), sum(counts)
    oracle = [m * count // total for count in counts]
    while sum(oracle) < m:  # give one more to the largest remainder not yet served, the first of equals
        remainders = [
            (m * count % total) if given_ == m * count // total else -1
            for count, given_ in zip(counts, oracle, strict=True)
        ]
        oracle[int(np.argmax(remainders))] += 1
    assert quotas(np.array(counts), m).tolist() == oracle


def test_train_and_test_share_nothing_and_lose_nothing() -> None:
    labels = torch.arange(100) % 4
    train, test = train_test(labels, 100, torch.Generator().manual_seed(0))
    assert sorted(torch.cat([train, test]).tolist()) == list(range(100))
    assert torch.bincount(labels[test]).tolist() == [5, 5, 5, 5]


def test_digits_are_always_split_alike_and_sampled_by_the_seed() -> None:
    whole = load("digits")
    assert (len(whole.train), len(whole.test), whole.input_shape, whole.classes) == (1437, 360, (1, 8, 8), 10)
    assert whole.fingerprint == load("digits", seed=7).fingerprint
    first, again, other = (load("digits", train_size=100, test_size=0.25, seed=seed) for seed in (0, 0, 1))
    assert (len(first.train), len(first.test)) == (100, 90)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.test.inputs.shape == (90, 1, 8, 8)
    # The same units whatever the subset: each kept picture is found in the whole, bit for bit.
    assert (first.mean, first.std) == (whole.mean, whole.std)
    rows = {picture.numpy().tobytes() for picture in whole.train.inputs}
    assert all(picture.numpy().tobytes() in rows for picture in first.train.inputs)


def test_digits_are_standardised_by_their_train_set() -> None:
    inputs = load("digits").train.inputs.double()
    assert inputs.mean().item() == pytest.approx(0, abs=1e-6)
    assert inputs.std(correction=0).item() == pytest.approx(1, abs=1e-6)


def test_too_many_examples_are_refused_with_the_number_there_is() -> None:
    with pytest.raises(UsageError, match="train_size=5,000 but there are 1,437"):
        load("digits", train_size=5000)
    with pytest.raises(UsageError, match="test_size"):
        load("digits", test_size=1.5)
    with pytest.raises(UsageError, match="ask for 1 to 360"):
        load("digits", test_size=0)


def test_the_users_own_data_are_sampled_too() -> None:
    x, y = torch.arange(40.0)[:, None], torch.arange(40) % 2
    data = load(Data.from_tensors((x, y), (x, y)), train_size=10, test_size=0.5, seed=3)
    assert data.train.targets is not None
    assert torch.bincount(data.train.targets).tolist() == [5, 5]
    assert len(data.test) == 20
    regression = load(((x, x), (x, x)), train_size=7)
    assert torch.equal(regression.train.inputs, regression.train.targets)
