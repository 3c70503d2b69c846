"""Networks that learn, and less than they could have; and healthy kin of each."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from patients import X, Y, cnn, examine, ids, loader, mlp, sgd
from torch import Tensor, nn

from orograph.diagnose.edits import redrawn
from orograph.diagnose.pictures import grain_of
from orograph.diagnose.plain import plain_copy
from orograph.diagnose.second_look import SecondLook
from orograph.diagnose.second_look import _Answers as Told
from orograph.diagnose.task import Task
from orograph.diagnose.unexplained import cured

ROWS = X.squeeze(1)  # eight times eight numbers


class Gathering:
    """A step in so many batches."""

    def __init__(self, every: int) -> None:
        self.every, self.count = every, 0

    def __call__(self, model: nn.Module, batch: Any, optimizer: Any) -> Tensor:
        loss = F.cross_entropy(model(batch[0]), batch[1])
        (loss / self.every).backward()  # type: ignore[no-untyped-call]
        self.count += 1
        if self.count % self.every == 0:
            optimizer.step()
            optimizer.zero_grad()
        return loss


@pytest.mark.parametrize(("every", "expected"), [(24, ["W06"]), (4, [])])
def test_a_step_in_so_many_batches(every: int, expected: list[str]) -> None:
    assert ids(examine(mlp(), step=Gathering(every))) == expected


def forgetful(model: nn.Module, batch: Any, optimizer: Any) -> Tensor:
    """Clears what the optimiser remembers."""
    optimizer.state.clear()
    return ordinary(model, batch, optimizer)


def made_anew(model: nn.Module, batch: Any, optimizer: Any) -> Tensor:
    """Makes an optimiser in each step."""
    return ordinary(model, batch, torch.optim.Adam(model.parameters(), 1e-2))


def ordinary(model: nn.Module, batch: Any, optimizer: Any) -> Tensor:
    """zero_grad, loss, backward, step."""
    optimizer.zero_grad()
    loss = F.cross_entropy(model(batch[0]), batch[1])
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss


@pytest.mark.parametrize(("step", "expected"), [(forgetful, ["W24"]), (made_anew, ["W24"]), (ordinary, [])])
def test_an_optimiser_that_forgets(step: Any, expected: list[str]) -> None:
    model = mlp()
    assert ids(examine(model, step=step, optimizer=torch.optim.Adam(model.parameters(), 1e-2))) == expected


class Memory(nn.Module):
    """A recurrent cell over the rows of a picture; ``cut``: its state is detached before each."""

    def __init__(self, cut: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.head, self.cut = nn.GRUCell(8, 32), nn.Linear(32, 10), cut

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 32)
        for row in x.unbind(1):
            state = self.cell(row, state.detach() if self.cut else state)
        found: Tensor = self.head(state)
        return found


@pytest.mark.parametrize(("cut", "expected"), [(True, ["W04"]), (False, [])])
def test_memory_that_is_cut_off(cut: bool, expected: list[str]) -> None:
    model = Memory(cut)
    adam = torch.optim.Adam(model.parameters(), 1e-2)
    assert ids(examine(model, data=loader(ROWS, Y), optimizer=adam)) == expected


class Weighing(nn.Module):
    """Attention of its own over the rows of a picture, with or without their places."""

    def __init__(self, places: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.into, self.key, self.head = nn.Linear(8, 32), nn.Linear(32, 32), nn.Linear(32, 10)
        self.places = nn.Parameter(torch.randn(8, 32)) if places else None

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.into(x) if self.places is None else self.into(x) + self.places
        weights = (self.key(hidden) @ hidden.transpose(1, 2) / 6).softmax(-1)
        found: Tensor = self.head((weights @ hidden).relu().mean(1))
        return found


@pytest.mark.parametrize(("places", "expected"), [(False, ["A04"]), (True, [])])
def test_attention_by_hand_without_places(places: bool, expected: list[str]) -> None:
    model = Weighing(places)
    adam = torch.optim.Adam(model.parameters(), 1e-2)
    assert ids(examine(model, data=loader(ROWS, Y), optimizer=adam)) == expected


def test_binary_cross_entropy_of_one_and_two() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))
    data = loader(X, (Y > 4).float()[:, None] + 1)
    assert ids(examine(model, data=data, loss=nn.BCEWithLogitsLoss()))[0] == "L16"
    assert not ids(examine(mlp(), data=data, loss=lambda model, batch: F.mse_loss(model(batch[0])[:, :1], batch[1])))


def shuffled_pixels() -> Tensor:
    """The pixels of each picture in an order of its own."""
    order = torch.rand(len(X), 64, generator=torch.Generator().manual_seed(0)).argsort(1)
    return X.flatten(1).gather(1, order).reshape(X.shape)


def test_pictures_that_are_none_any_more() -> None:
    assert ids(examine(cnn(), data=loader(shuffled_pixels(), Y))) == ["D11"]
    few = F.interpolate(F.interpolate(X, size=(2, 2), mode="area"), size=(8, 8))
    assert ids(examine(cnn(), data=loader(few, Y)))[0] == "D12"


def test_grain() -> None:
    digits = grain_of([(X[:400], Y[:400])])
    assert min(digits.across, digits.down) > 0.3
    assert digits.doubled == 0
    fixed = X.flatten(1)[:, torch.randperm(64, generator=torch.Generator().manual_seed(1))].reshape(X.shape)
    assert max(grain_of([(fixed[:400], Y[:400])])[:2]) < 0.08
    noise = grain_of([(torch.randn(400, 1, 8, 8), Y[:400])])
    assert max(noise[:2]) < 0.05
    assert noise.tails == pytest.approx(3, abs=0.1)
    assert grain_of([(X.flatten(1), Y)]) != grain_of([(X, Y)])
    assert all(value != value for value in grain_of([(X.flatten(1), Y)]))


def test_noise_in_the_shape_of_pictures_is_asked_about() -> None:
    torch.manual_seed(0)
    noise = torch.randn(1000, 1, 8, 8)
    labels = (noise.flatten(1) @ torch.randn(64, 10)).argmax(1)
    found = examine(mlp(), data=loader(noise, labels))
    assert not ids(found)
    assert "D11" in [one.id for one in found.findings if one.severity == "question"]


class Sorting(nn.Module):
    """A forward pass that loses where each number stood."""

    def __init__(self, sort: bool) -> None:
        super().__init__()
        self.body, self.sort = mlp(), sort

    def forward(self, x: Tensor) -> Any:
        return self.body(x.flatten(1).sort(1).values if self.sort else x)


@pytest.mark.parametrize(("sort", "expected"), [(True, ["A08"]), (False, [])])
def test_a_plain_network_learns_what_this_one_does_not(sort: bool, expected: list[str]) -> None:
    found = examine(Sorting(sort))
    assert ids(found) == expected
    if sort:
        seen = {one.what: one.value for one in found.findings[0].evidence}
        assert seen["the same of a plain network"] > 0.8


def test_depth_that_costs_the_network_its_start() -> None:
    torch.manual_seed(0)
    layers = [part for _ in range(10) for part in (nn.Linear(64, 64), nn.ReLU())]
    found = examine(nn.Sequential(nn.Flatten(), *layers, nn.Linear(64, 10)), lr=0.01)
    assert found.findings[0].id[0] in "IO"
    assert found.findings[0].verified == "verified"


def test_labels_of_which_most_are_of_other_examples() -> None:
    random = torch.Generator().manual_seed(0)
    rows = torch.randperm(len(Y), generator=random)[: int(0.9 * len(Y))]
    wrong = Y.clone()
    wrong[rows] = Y[rows.roll(1)]
    assert ids(examine(mlp(), data=loader(X, wrong))) == ["D05"]


class Rising:
    """The ordinary step with a rate that rises for a thousand steps."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, model: nn.Module, batch: Any, optimizer: Any) -> Tensor:
        self.count += 1
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * self.count / 2000
        return ordinary(model, batch, optimizer)


def test_a_long_warm_up_is_no_alarm() -> None:
    assert not ids(examine(mlp(), step=Rising()))


def test_without_time_there_is_no_second_look() -> None:
    found = examine(Sorting(True), seconds=0.05)
    assert not ids(found)


def test_a_plain_network_takes_what_it_can() -> None:
    classes = Task("classes", "cross-entropy", classes=10, output_shape=(64, 10))
    made = plain_copy([(X[:64], Y[:64])], classes)
    assert made is not None
    assert made.model(X[:5]).shape == (5, 10)
    symbols = (X[:64].flatten(1) * 3 + 8).clamp(0, 16).long()
    assert plain_copy([(symbols, Y[:64])], classes).model(symbols).shape == (64, 10)  # type: ignore[union-attr]
    assert plain_copy([(X[:64], Y[:64]), (X[:64, :, :4], Y[:64])], classes) is None  # of two sizes
    assert plain_copy([({"a": X[:64], "b": X[:64]}, Y[:64])], classes) is None
    assert plain_copy([(X[:64], Y[:64])], Task("other")) is None


def test_what_the_second_look_trains_is_a_copy() -> None:
    model = Sorting(True)
    optimizer = sgd(model)
    before = [p.clone() for p in model.parameters()]
    examine(model, optimizer=optimizer)
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))
    assert not optimizer.state


def _kept(sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that the second look keeps aside, of a slow network on batches of these sizes."""
    looked: list[SecondLook] = []
    begin = SecondLook.__init__

    def begun(self: SecondLook, *args: Any, **more: Any) -> None:
        begin(self, *args, **more)
        looked.append(self)

    monkeypatch.setattr(SecondLook, "__init__", begun)
    model = mlp()
    places = torch.arange(sum(sizes)).split(sizes)
    examine(model, data=[(X[rows], Y[rows]) for rows in places], optimizer=torch.optim.Adam(model.parameters(), 1e-3))
    return [len(targets) for _, targets in looked[0]._aside]


def test_a_few_left_over_examples_are_not_all_that_is_kept_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _kept([64, 64, 64, 64, 64, 11], monkeypatch) == [64, 11]


def test_a_handful_of_examples_aside_raises_a_question_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def severity(size: int) -> str:
        chart: Any = SimpleNamespace(
            patient=SimpleNamespace(epoch=4, batches=[(X[:size], Y[:size])] * 4, step=None),
            run=SimpleNamespace(seconds=1.0, losses=[1.0] * 60, lr=[0.1], updates={}),
            probe=SimpleNamespace(task=Task("classes", classes=10)),
        )
        look = SecondLook(chart, [], seconds=20.0, seed=0)
        monkeypatch.setattr(type(look), "_early", False)
        return look._told(cured("I00", "the initial weights", redrawn(), True), Told(0.3, 0.3), Told(0.9, 0.9)).severity

    assert severity(64) == "warning"
    assert severity(11) == "question"
