"""Steps that get hold of the user's own objects: all of it comes back, however the step knows it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from patients import X, Y, examine, ids, loader, mlp, sgd
from torch import Tensor, nn

import orograph as og
from orograph.diagnose.reach import put_back, within


class Trainer:
    """A loop as people write it, with everything that loops have."""

    def __init__(self) -> None:
        self.model = mlp()
        self.optimizer = sgd(self.model)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, 5, 0.9)
        self.average = copy.deepcopy(self.model)
        self.shadow = [p.detach().clone() for p in self.model.parameters()]
        self.random = torch.Generator().manual_seed(3)
        self.seen = 0
        self.history: list[float] = []

    def train(self, batch: Any) -> Tensor:
        torch.rand(2, generator=self.random)
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(batch[0]), batch[1])
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.schedule.step()
        with torch.no_grad():
            for kept, mean, new in zip(self.shadow, self.average.parameters(), self.model.parameters(), strict=True):
                kept.lerp_(new, 0.1)
                mean.lerp_(new, 0.1)
        self.seen += 1
        self.history.append(float(loss))
        return loss

    def state(self) -> list[Any]:
        """All of it, for comparison."""
        tensors = [*self.model.state_dict().values(), *self.average.state_dict().values(), *self.shadow]
        flat = [tensor.clone() for tensor in tensors]
        rates = [group["lr"] for group in self.optimizer.param_groups]
        return [flat, rates, len(self.optimizer.state), self.schedule.last_epoch, self.random.get_state(), self.seen,
                list(self.history), [p.grad is None for p in self.model.parameters()]]  # fmt: skip


TRAINER = Trainer()


def _by_helper(batch: Any) -> Tensor:
    return TRAINER.train(batch)


WAYS: dict[str, Callable[[Trainer], Callable[..., Any]]] = {
    "method": lambda trainer: trainer.train,
    "lambda": lambda trainer: lambda batch: trainer.train(batch),
    "lambda in a lambda": lambda trainer: lambda model, batch, optimizer: (lambda b: trainer.train(b))(batch),
    "global helper": lambda trainer: lambda model, batch, optimizer: _by_helper(batch),
    "in a dictionary": lambda trainer: lambda batch, tools={"t": trainer}: tools["t"].train(batch),
}


@pytest.mark.parametrize("way", list(WAYS))
def test_everything_that_a_step_reaches_is_put_back(way: str) -> None:
    trainer = TRAINER if way == "global helper" else Trainer()
    before = trainer.state()
    found = og.diagnose.doctor(trainer.model, loader(), optimizer=trainer.optimizer, step=WAYS[way](trainer))
    after = trainer.state()
    assert found.verdict == "trains"
    assert not ids(found), found.summary()
    for one, other in zip(before[0], after[0], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert torch.equal(before[4], after[4])
    assert [*before[1:4], *before[5:]] == [*after[1:4], *after[5:]]


def test_an_interrupt_leaves_nothing_behind() -> None:
    model = mlp()
    optimizer = sgd(model)
    before = [p.detach().clone() for p in model.parameters()]
    count = [0]

    def step(batch: Any) -> Tensor:
        count[0] += 1
        if count[0] > 40:
            raise KeyboardInterrupt
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss

    with pytest.raises(KeyboardInterrupt):
        og.diagnose.doctor(model, loader(), optimizer=optimizer, step=step)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert not optimizer.state
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in model.modules())
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    assert not any(p._backward_hooks for p in model.parameters())
    assert count == [0]


def test_a_second_optimiser_counts() -> None:
    model = mlp()
    first, second = sgd(model[1]), torch.optim.Adam([*model[3].parameters(), *model[5].parameters()], lr=1e-3)

    def step(model: nn.Module, batch: Any, optimizer: Any) -> Tensor:
        first.zero_grad()
        second.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()  # type: ignore[no-untyped-call]
        first.step()
        second.step()
        return loss

    found = examine(model, optimizer=first, step=step)
    assert not ids(found), found.summary()
    assert not second.state


def test_a_network_that_works_in_place_does_not_change_the_data() -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = mlp()

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x.sub_(1.0))  # type: ignore[no-any-return]

    batches = [(X[i : i + 64].clone(), Y[i : i + 64]) for i in range(0, 1024, 64)]
    before = [x.clone() for x, _ in batches]
    found = examine(InPlace(), data=batches)
    assert not ids(found), found.summary()
    assert all(torch.equal(a, b) for a, (b, _) in zip(before, batches, strict=True))


def test_what_is_reached() -> None:
    inner, tensor = {"a": [nn.Linear(2, 2)]}, torch.ones(3)

    def helper() -> Any:
        return inner

    def step() -> Any:
        return helper(), tensor

    found = within(step)
    assert any(one is inner["a"][0] for one in found)
    assert any(one is tensor for one in found)
    with put_back(step):
        inner["a"].append(1)
        inner["b"] = []
        tensor.add_(1)
    assert len(inner["a"]) == 1
    assert "b" not in inner
    assert torch.equal(tensor, torch.ones(3))


def test_the_area_under_the_curve_is_that_of_all_pairs() -> None:
    """Ranks give what comparing every pair does, also with equal scores."""
    from orograph.diagnose.glances import quality
    from orograph.diagnose.task import Task

    torch.manual_seed(0)
    scores = torch.randint(0, 9, (80, 1)).float()
    truth = torch.rand(80, 1) < 0.4
    one, other = scores[truth], scores[~truth]
    pairs = (one[:, None] > other[None]).float().mean() - (one[:, None] < other[None]).float().mean()
    assert quality(scores, truth.float(), Task("binary")) == pytest.approx(float(pairs), abs=1e-6)


@pytest.mark.parametrize("lr", [10.0, 1000.0])
def test_a_loss_that_explodes_is_no_success_even_where_answers_are_right(lr: float) -> None:
    model = mlp()
    found = examine(model, optimizer=torch.optim.Adam(model.parameters(), lr=lr))
    assert found.verdict == "does not train"
    assert ids(found)[0] == "O01", found.summary()
