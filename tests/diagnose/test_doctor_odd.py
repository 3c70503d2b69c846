"""Kinds of training that break some rule of thumb and are healthy; beside each kind of loss or step a sick twin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from patients import X, Y, examine, ids, loader, mlp, sgd
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

TABLE = torch.randn(1200, 10, generator=torch.Generator().manual_seed(5))
NUMBERS = 2 * TABLE[:, :1] + TABLE[:, 1:2] * TABLE[:, 2:3]


def _adam(model: nn.Module, lr: float = 2e-3, **more: Any) -> torch.optim.Adam:
    return torch.optim.Adam(model.parameters(), lr, **more)


def _numbers(inputs: int = 10, outputs: int = 1) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(inputs, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, outputs)
    )  # fmt: skip


def _counts() -> Any:
    """Outputs are logarithms of rates, so that a squared error would be another task."""
    counts = torch.poisson((TABLE[:, :1] * 0.5 + 0.5).exp(), generator=torch.Generator().manual_seed(3))
    model = _numbers()
    return examine(model, data=loader(TABLE, counts), loss=nn.PoissonNLLLoss(), optimizer=_adam(model))


def _other_units() -> Any:
    wanted = NUMBERS * 50
    model = _numbers()

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(outputs, targets / wanted.std())

    return examine(model, data=loader(TABLE, wanted), loss=loss, optimizer=_adam(model))


def _margins() -> Any:
    signs = torch.where(NUMBERS > 0, 1.0, -1.0)
    model = _numbers()
    return examine(model, data=loader(TABLE, signs), loss=nn.SoftMarginLoss(), optimizer=_adam(model))


def _triplets() -> Any:
    """More outputs than labels: places in a space, of which labels say who belongs to whom."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))

    def loss(model: nn.Module, batch: Any) -> Tensor:
        places = F.normalize(model(batch[0]), dim=1)
        same = (batch[1][:, None] == batch[1][None]).float().fill_diagonal_(0)
        near = places @ places.T / 0.2 - 1e9 * torch.eye(len(places))
        return -(near.log_softmax(1) * same).sum() / same.sum().clamp(min=1)

    return examine(model, loss=loss, optimizer=_adam(model))


class _Gated(nn.Module):
    """A residual block whose gate begins at zero, as in ReZero: at the start the network is linear."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.gate = nn.Linear(64, 64), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gate * F.relu(self.linear(x))


def _gates() -> Any:
    torch.manual_seed(0)
    return examine(nn.Sequential(nn.Flatten(), _Gated(), _Gated(), _Gated(), nn.Linear(64, 10)))


def _restarts() -> Any:
    model = mlp()
    optimizer = sgd(model)
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 20)

    def step(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        return loss

    return examine(model, step=step, optimizer=optimizer)


def _hardest() -> Any:
    """A class that is learned gets no gradient in many batches."""

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, reduction="none").topk(len(targets) // 2).values.mean()

    return examine(mlp(), loss=loss)


def _uphill() -> Any:
    model = mlp()
    return examine(model, loss=lambda o, t: -F.cross_entropy(o, t), optimizer=sgd(model, maximize=True))


class _Adversaries(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.draws, self.judges = _numbers(4, 2), _numbers(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.judges(x)  # type: ignore[no-any-return]


def _adversaries() -> Any:
    """Two optimisers in turns; the second changes weights that the first does not know."""
    model = _Adversaries()
    second = torch.optim.Adam(model.draws.parameters(), 1e-3)

    def step(model: Any, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
        drawn = model.draws(torch.randn(len(batch[0]), 4))
        optimizer.zero_grad()
        loss = F.softplus(-model.judges(batch[0])).mean() + F.softplus(model.judges(drawn.detach())).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        second.zero_grad()
        F.softplus(-model.judges(drawn)).mean().backward()
        second.step()
        return loss

    x = torch.randn(1200, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 0.3]) + 1
    data = DataLoader(TensorDataset(x), 64, shuffle=True, generator=torch.Generator().manual_seed(0))
    return examine(model, data=data, loss=lambda model, batch: F.softplus(-model(batch[0])).mean(), step=step,
                   optimizer=torch.optim.Adam(model.judges.parameters(), 1e-3))  # fmt: skip


class _Weighed(nn.Module):
    """Two terms, weighed by parameters of the loss that outputs do not depend on (Kendall et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.logs = mlp(), nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)  # type: ignore[no-any-return]


def _weighed() -> Any:
    def loss(model: Any, batch: Any) -> Tensor:
        out = model(batch[0])
        terms = F.cross_entropy(out, batch[1]), (out.mean(1) - batch[1] / 10).square().mean()
        return sum((-log).exp() * term + log for log, term in zip(model.logs, terms, strict=True))  # type: ignore[return-value]

    model = _Weighed()
    return examine(model, loss=loss, optimizer=_adam(model))


def _warm() -> Any:
    """At the start, with outputs near zero, the value of this loss is that of logits which went through a sigmoid."""
    return examine(mlp(), loss=lambda o, t: F.cross_entropy(o / 4, t), lr=0.2)


def _linear_code() -> Any:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Linear(16, 64))

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return F.mse_loss(model(batch[0]), batch[0].flatten(1))

    return examine(model, loss=loss, optimizer=_adam(model, 3e-3))


class _Factors(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.users, self.items = nn.Embedding(60, 8), nn.Embedding(40, 8)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.3)

    def forward(self, pairs: Tensor) -> Tensor:
        return (self.users(pairs[:, 0]) * self.items(pairs[:, 1])).sum(1)  # type: ignore[no-any-return]


def _factors() -> Any:
    """Inputs are names, whose neighbours have nothing in common."""
    random = torch.Generator().manual_seed(1)
    users, items = torch.randn(60, 3, generator=random), torch.randn(40, 3, generator=random)
    pairs = torch.stack([torch.randint(0, n, (2000,), generator=random) for n in (60, 40)], 1)
    wanted = (users[pairs[:, 0]] * items[pairs[:, 1]]).sum(1)
    model = _Factors()
    return examine(model, data=loader(pairs, wanted), loss="mse", optimizer=_adam(model, 2e-2))


@pytest.mark.parametrize(
    "patient",
    [_counts, _other_units, _margins, _triplets, _gates, _restarts, _hardest, _uphill, _adversaries, _weighed, _warm,
     _linear_code, _factors],
)  # fmt: skip
def test_an_odd_and_healthy_training_raises_no_alarm(patient: Callable[[], Any]) -> None:
    diagnosis = patient()
    assert not ids(diagnosis), diagnosis.summary()
    assert diagnosis.verdict in ("trains", "unclear")  # what an embedding is worth, the doctor cannot say


def _wrong_way() -> Any:
    model = mlp()
    return examine(model, optimizer=sgd(model, maximize=True))


def _minus() -> Any:
    model = _numbers()
    return examine(model, data=loader(TABLE, NUMBERS), loss=lambda o, t: -F.mse_loss(o, t), optimizer=_adam(model))


def _squashed_first() -> Any:
    return examine(mlp(), loss=lambda o, t: F.cross_entropy(o.sigmoid(), t), lr=0.2)


def _decays_at_once() -> Any:
    model = mlp()
    optimizer = sgd(model)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.7)

    def step(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        return loss

    return examine(model, step=step, optimizer=optimizer)


def _linear() -> Any:
    torch.manual_seed(0)
    return examine(nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Linear(16, 10)))


def _shuffled_numbers() -> Any:
    order = torch.randperm(len(TABLE), generator=torch.Generator().manual_seed(0))
    model = _numbers()
    return examine(model, data=loader(TABLE, NUMBERS[order]), loss="mse", optimizer=_adam(model))


def _classes_left_out() -> Any:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return (F.cross_entropy(outputs, targets, reduction="none") * (targets > 4)).mean()

    return examine(mlp(), loss=loss)


@pytest.mark.parametrize(
    ("patient", "id"),
    [(_wrong_way, "L04"), (_minus, "L04"), (_squashed_first, "L01"), (_decays_at_once, "O10"), (_linear, "A02"),
     (_shuffled_numbers, "D05"), (_classes_left_out, "L09")],
)  # fmt: skip
def test_its_sick_twin_is_still_found(patient: Callable[[], Any], id: str) -> None:
    diagnosis = patient()
    assert id in ids(diagnosis), diagnosis.summary()


def test_what_may_be_on_purpose_is_a_question_where_the_network_answers_well() -> None:
    """A random body that is meant to keep still, under a head that learns; taking it along brings nothing."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2048), nn.ReLU(), nn.Linear(2048, 10))
    model[1].requires_grad_(False)
    doubtful = torch.where(torch.rand(len(Y)) < 0.35, torch.randint(10, (len(Y),)), Y)
    found = examine(model, data=loader(X, doubtful), optimizer=torch.optim.Adam(model[3].parameters(), lr=1e-2))
    assert found.verdict == "trains"
    (one,) = [one for one in found.findings if one.id == "W03"]
    assert one.trial is not None
    assert 0.4 <= one.trial.before < 0.85
    assert not ids(found)
