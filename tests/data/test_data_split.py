"""Examples in memory: nothing is dropped, and the fingerprint is the content."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orograph.basics.errors import DataError, UsageError
from orograph.data import BatchList, Data, Split


def numbered(n: int) -> Split:
    return Split(torch.arange(2 * n, dtype=torch.float32).reshape(n, 2), torch.arange(n))


@given(n=st.integers(0, 40), size=st.integers(1, 50))
def test_batches_hold_every_example_once_and_in_order(n: int, size: int) -> None:
    split = numbered(n)
    batches = list(split.batches(size))
    assert all(len(targets) == size for _, targets in batches[:-1])
    assert [int(target) for _, targets in batches for target in targets] == list(range(n))


def test_an_order_rearranges_repeats_and_leaves_out() -> None:
    split = numbered(6)
    order = torch.tensor([5, 0, 0, 3])
    batches = list(split.batches(3, order))
    assert [targets.tolist() for _, targets in batches] == [[5, 0, 0], [3]]
    assert torch.equal(batches[1][0], split.inputs[3:4])
    assert torch.equal(split.take(np.array([5, 0])).inputs, split.inputs[[5, 0]])
    assert split.head(2).targets is not None
    assert len(split.head(2)) == 2
    assert len(split.head(99)) == 6


def test_dictionary_batches_keep_their_keys() -> None:
    split = Split(columns={"tokens": torch.arange(10).reshape(5, 2), "mask": torch.ones(5, 2)})
    assert split.kind == "dictionary"
    assert [set(batch) for batch in split.batches(2)] == [{"tokens", "mask"}] * 3
    assert split.take([4]).batch(slice(None))["tokens"].tolist() == [[8, 9]]
    with pytest.raises(UsageError, match="tokens, mask"):
        _ = split.inputs


def test_inputs_without_targets_come_with_none() -> None:
    split = Split(torch.zeros(3, 2))
    inputs, targets = split.batch([0, 2])
    assert inputs.shape == (2, 2)
    assert targets is None
    assert split.head(1).targets is None


@pytest.mark.parametrize(
    "change",
    [
        lambda x, y: (x + torch.eye(4, 3)[:, :, None] * 1e-6, y),
        lambda x, y: (x.double(), y),
        lambda x, y: (x.reshape(4, 2, 3), y),
        lambda x, y: (x.flip(0), y),
        lambda x, y: (x, y + 1),
        lambda x, y: (x, None),
    ],
)
def test_the_fingerprint_changes_with_the_content(change) -> None:
    x, y = torch.rand(4, 3, 2, generator=torch.Generator().manual_seed(0)), torch.arange(4)
    assert Split(x.clone(), y.clone()).fingerprint == Split(x, y).fingerprint
    assert Split(*change(x, y)).fingerprint != Split(x, y).fingerprint
    assert len(Split(x, y).fingerprint) == 24


def test_the_fingerprint_is_of_the_values_not_of_how_they_lie_in_memory() -> None:
    x = torch.rand(4, 3, 8, 8)
    assert Split(x.contiguous(memory_format=torch.channels_last)).fingerprint == Split(x).fingerprint
    assert Split(x.bfloat16()).fingerprint != Split(x).fingerprint
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    assert {Split(x).to(device).fingerprint for device in devices} == {Split(x).fingerprint}
    hashed = Split(x)
    assert hashed.fingerprint == hashed.to("cpu").fingerprint == pickle.loads(pickle.dumps(hashed)).fingerprint
    a, b = torch.zeros(2), torch.ones(2)
    assert Split(columns={"a": a, "b": b}).fingerprint == Split(columns={"b": b, "a": a}).fingerprint
    assert Split(columns={"a": a, "b": b}).fingerprint != Split(columns={"a": b, "b": a}).fingerprint


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="4 inputs, 3 targets"):
        Split(torch.zeros(4, 1), torch.zeros(3))
    with pytest.raises(UsageError, match="at least one"):
        list(numbered(3).batches(0))


def ragged() -> BatchList:
    return BatchList(
        (
            ({"tokens": torch.zeros(2, 5)}, torch.tensor([0, 1])),
            ({"tokens": torch.ones(3, 7)}, torch.tensor([2, 3, 4])),
            ({"tokens": torch.ones(1, 2)}, torch.tensor([5])),
        )
    )


def test_ready_made_batches_keep_their_shapes_and_count_examples() -> None:
    batches = ragged()
    assert len(batches) == 6
    assert [len(targets) for _, targets in batches.batches(100)] == [2, 3, 1]
    assert len(batches.head(1)) == 2
    assert len(batches.head(3)) == 5
    assert len(batches.to("cpu")) == 6


def test_shuffled_batches_come_where_their_first_example_stands() -> None:
    order = [5, 1, 2, 4, 0, 3]  # the first examples of the three batches are 0, 2 and 5
    assert [int(targets[0]) for _, targets in ragged().batches(1, order)] == [5, 2, 0]
    with pytest.raises(UsageError, match="permute all 6"):
        ragged().batches(1, [0, 1])
    with pytest.raises(UsageError, match="Dataset"):
        ragged().take([0])


def test_ready_made_batches_have_a_fingerprint_of_their_content() -> None:
    changed = ragged()
    changed.items[1][0]["tokens"][2, 6] = 9
    assert ragged().fingerprint == ragged().fingerprint != changed.fingerprint
    with pytest.raises(DataError, match="object"):
        _ = BatchList(((torch.zeros(1), object()),)).fingerprint


def test_data_knows_its_classes_shape_and_content() -> None:
    x, y = torch.rand(6, 3, 4, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    data = Data.from_tensors((x, y), (x[:2], y[:2]), name="toy")
    assert (data.classes, data.input_shape, data.class_names) == (3, (3, 4, 4), ("0", "1", "2"))
    assert data.summary() == "toy: 6 train + 2 test examples of shape (3, 4, 4), 3 classes"
    assert data.fingerprint == Data.from_tensors((x, y), (x[:2], y[:2]), name="other").fingerprint
    assert data.fingerprint != Data.from_tensors((x, y), (x[:3], y[:3]), name="toy").fingerprint


def test_classes_that_nothing_can_learn_are_named() -> None:
    inputs = torch.zeros(3, 2)
    data = Data.from_tensors((inputs, torch.tensor([0, 2, 2])), (inputs, torch.tensor([0, 1, 3])))
    assert data.unseen_classes == ("1", "3")
    assert "of which only the test set has 1, 3" in data.summary()
    assert Data.from_tensors((inputs, torch.tensor([0, 1, 2])), (inputs, torch.tensor([0, 0, 1]))).unseen_classes == ()
    assert Data.from_tensors((inputs, torch.zeros(3)), (inputs, torch.zeros(3))).unseen_classes == ()


def test_regression_has_no_classes() -> None:
    x = np.zeros((4, 2), dtype=np.float64)
    data = Data.from_tensors((x, x[:, 0]), (x, x[:, 0]))
    assert data.classes == 0
    assert data.train.inputs.dtype == torch.float64


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ((torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)), "train set is empty"),
        ((torch.zeros(3, 2), torch.zeros(2, dtype=torch.long)), "3 inputs, 2 targets"),
        ((torch.tensor([[0.0], [torch.nan], [torch.inf]]), torch.zeros(3, dtype=torch.long)), "2 of 3 .* example 1"),
        ((torch.zeros(1, 2), torch.tensor([7])), "labels go up to 7 but there are 2 class names"),
    ],
)
def test_data_that_cannot_be_used_say_why(train, message: str) -> None:
    good = (torch.zeros(1, 2), torch.zeros(1, dtype=torch.long))
    with pytest.raises(DataError, match=message) as caught:
        Data.from_tensors(train, good, class_names=("a", "b"))
    assert "\n" not in str(caught.value)
