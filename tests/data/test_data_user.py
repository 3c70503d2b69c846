"""The user's own datasets and loaders come through unaltered."""

import random
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from orograph.basics.errors import DataError, UsageError
from orograph.data import Data, load


class Listed(Dataset):
    """A dataset over a list of examples."""

    def __init__(self, examples: list) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> object:
        return self.examples[index]


def pairs(n: int = 10) -> Listed:
    generator = torch.Generator().manual_seed(n)
    return Listed([(torch.randint(0, 256, (3, 2, 2), generator=generator).to(torch.uint8), i % 3) for i in range(n)])


def test_a_dataset_of_pairs_is_stacked_as_it_is() -> None:
    data = load((pairs(600), pairs(5)))
    assert data.train.inputs.dtype == torch.uint8
    assert torch.equal(data.train.inputs, torch.stack([x for x, _ in pairs(600).examples]))
    assert data.test.targets is not None
    assert data.test.targets.tolist() == [0, 1, 2, 0, 1]
    assert (data.name, data.classes, data.mean) == ("user data", 3, ())


def test_one_set_is_both_where_that_is_asked_for() -> None:
    x, y = torch.randn(9, 2), torch.arange(9) % 3
    dataset = TensorDataset(x, y)
    for source in ((x, y), dataset, DataLoader(dataset, 4)):
        data = load(source, single=True)
        assert data.train is data.test
        assert torch.equal(data.train.inputs, x)
        assert data.classes == 3
        with pytest.raises(UsageError):
            load(source)
    assert len(load((dataset, TensorDataset(x[:4], y[:4])), single=True).test) == 4
    with pytest.raises(UsageError, match="the training set alone will do"):
        load(3, single=True)


def test_a_loader_is_read_in_its_order_with_its_last_short_batch() -> None:
    x = torch.arange(10.0)[:, None]
    loader = DataLoader(TensorDataset(x, x), batch_size=4, sampler=list(reversed(range(10))))
    data = load({"train": loader, "test": loader})
    assert data.train.inputs[:, 0].tolist() == list(reversed(range(10)))


def test_reading_leaves_the_users_random_state_alone_and_is_reproducible() -> None:
    class Noisy(Listed):
        def __getitem__(self, index: int) -> object:
            return torch.rand(2) + random.random() + np.random.rand(), 0

    torch.manual_seed(5)
    before = torch.get_rng_state()
    loader = DataLoader(Noisy([0] * 8), batch_size=2, shuffle=True)
    first, again, other = (load((loader, loader), seed=seed).fingerprint for seed in (0, 0, 1))
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), before)


def test_dictionaries_become_columns() -> None:
    rows = Listed([{"tokens": torch.full((4,), i), "mask": torch.ones(4), "label": i} for i in range(6)])
    data = load((rows, rows), train_size=4)
    assert data.train.kind == "dictionary"
    (batch,) = data.train.batches(10)
    assert batch["tokens"].shape == (4, 4)
    assert batch["label"].tolist() == batch["tokens"][:, 0].tolist()
    assert data.summary() == "user data: 4 train + 6 test examples (dictionary)"


def test_ragged_batches_stay_as_the_loader_made_them() -> None:
    sentences = Listed([torch.ones(length) for length in (2, 5, 3, 3, 7)])
    loader = DataLoader(sentences, batch_size=2, collate_fn=lambda rows: torch.nn.utils.rnn.pad_sequence(rows, True))
    data = load((loader, loader))
    assert data.train.kind == "batches"
    assert [tuple(batch.shape) for batch in data.train.batches(1)] == [(2, 5), (2, 3), (1, 7)]
    assert len(data.train) == 5
    with pytest.raises(UsageError, match="smaller loader"):
        load((loader, loader), train_size=2)
    with pytest.raises(DataError, match="collate_fn"):
        load((sentences, sentences))


def test_nested_batches_keep_their_structure() -> None:
    Sentence = namedtuple("Sentence", "tokens mask")
    rows = Listed([(Sentence(torch.ones(3), torch.zeros(3)), 1.5) for _ in range(4)])
    ((sentence, target),) = load((rows, rows)).train.to("cpu").batches(4)
    assert type(sentence).__name__ == "Sentence"
    assert sentence.mask.shape == (4, 3)
    assert target.tolist() == [1.5] * 4


def test_arrays_iterables_and_inputs_alone() -> None:
    class Stream(IterableDataset):
        def __iter__(self):
            return iter([(torch.tensor([float(i)]), i) for i in range(3)])

    frozen = np.arange(8.0).reshape(4, 2)
    frozen.flags.writeable = False
    data = load(((frozen, None), torch.zeros(2, 2)))
    assert (data.train.inputs.dtype, data.train.targets, data.classes) == (torch.float64, None, 0)
    assert load((Stream(), Stream())).test.inputs[:, 0].tolist() == [0, 1, 2]


def test_class_names_of_a_dataset_are_taken_over() -> None:
    named = pairs(6)
    named.classes = ["ant", "bee", "cow"]  # type: ignore[attr-defined]
    assert load((DataLoader(named), pairs(3))).class_names == ("ant", "bee", "cow")
    named.classes = ["ant"]  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="labels go up to 2"):
        load((named, pairs(3)))


FACTORY = """
import torch
from orograph.data import Data
x, y = torch.zeros(4, 2), torch.tensor([0, 1, 0, 1])
def make(): return (x, y), (x, y)
def ready(): return Data.from_tensors((x, y), (x, y), name="mine")
ready_made = ready()
def broken(): raise KeyError("no such column")
def wrong(): return 3
"""


def test_a_reference_names_a_factory_or_the_data(tmp_path: Path) -> None:
    file = tmp_path / "mydata.py"
    file.write_text(FACTORY)
    made = load(f"{file}:make")
    assert (made.name, made.classes) == ("make", 2)
    assert load(f"{file}:ready").name == load(f"{file}:ready_made").name == "mine"
    assert load(f"{file}:ready", train_size=2).fingerprint != made.fingerprint
    with pytest.raises(DataError, match=r"broken raised KeyError: 'no such column'"):
        load(f"{file}:broken")
    with pytest.raises(UsageError, match="cannot make data of a int"):
        load(f"{file}:wrong")


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (3, UsageError, "expected a .train, test. pair"),
        ((torch.zeros(3, 2), torch.zeros(3)), UsageError, "two arrays are one set"),
        ((pairs(), 3), UsageError, "test set: cannot read a int"),
        ((pairs(), []), DataError, "test set"),
        ((Listed([object()]), pairs()), DataError, "train set: reading the Listed raised TypeError"),
        (((torch.tensor([torch.inf]), None), torch.zeros(1)), DataError, "train set: 1 of 1 inputs hold NaN"),
        ((pairs(), Listed([{"x": 1}])), DataError, "kind pair, test batches of kind dictionary"),
        (((np.array(["a"]), None), torch.zeros(1)), DataError, "does not fit into a tensor"),
    ],
)
def test_what_cannot_be_read_is_explained_in_one_line(source, error, message) -> None:
    with pytest.raises(error, match=message) as caught:
        load(source)
    assert "\n" not in str(caught.value)


def test_data_are_returned_as_they_are() -> None:
    x = torch.zeros(3, 1)
    data = Data.from_tensors((x, x), (x, x))
    assert load(data) is data
