"""Data, outputs and steps of unusual form that are healthy: several heads, time or labels first, games, rare labels."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from patients import X, Y, examine, ids, loader, mlp, sgd
from test_doctor_odd import NUMBERS, TABLE
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.data import DataLoader, TensorDataset

import orograph as og


def _adam(model: nn.Module, lr: float = 2e-3) -> torch.optim.Adam:
    return torch.optim.Adam(model.parameters(), lr)


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _net(*sizes: int, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for one, other in pairwise(sizes):
        layers += [nn.Linear(one, other), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class _Gaussian(nn.Module):
    """The last layer to run belongs to the variance, and the first output is no answer."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.mean, self.log = _net(10, 48, 48), nn.Linear(48, 1), nn.Linear(48, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(self.body(x))
        mean = self.mean(h)
        return F.softplus(self.log(h)) + 1e-3, mean


def _two_outputs() -> Any:
    def loss(model: nn.Module, batch: Any) -> Tensor:
        spread, mean = model(batch[0])
        return F.gaussian_nll_loss(mean, batch[1], spread)

    model = _Gaussian()
    return examine(model, data=loader(TABLE, NUMBERS), loss=loss, optimizer=_adam(model))


class _TiedHead(nn.Module):
    """The head's weights are the embedding's, and what ends before it is normalised."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.norm = nn.Embedding(20, 32), nn.LayerNorm(32)
        nn.init.normal_(self.embed.weight, std=0.05)
        self.mix, self.head = nn.GRU(32, 32, batch_first=True), nn.Linear(32, 20, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.mix(self.embed(x))[0]))  # type: ignore[no-any-return]


def _tied() -> Any:
    start, stride = torch.randint(0, 20, (1200, 1), generator=_seeded()), torch.tensor([[1], [3]]).repeat(600, 1)
    tokens = (start + stride * torch.arange(13)) % 20
    wrong = torch.rand(tokens.shape, generator=_seeded(1)) < 0.1
    tokens = torch.where(wrong, torch.randint(0, 20, tokens.shape, generator=_seeded(2)), tokens)
    model = _TiedHead()
    return examine(model, data=loader(tokens[:, :-1], tokens[:, 1:]), optimizer=_adam(model, 5e-3),
                   loss=lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten()))  # fmt: skip


class _TimeFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.cells, self.head = nn.Embedding(12, 16), nn.GRU(16, 32), nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cells(self.embed(x))[0])  # type: ignore[no-any-return]


def _time_first(*, stacked: bool = False) -> Any:
    tokens = torch.randint(0, 12, (900, 20), generator=_seeded())
    parity = (tokens % 2).cumsum(1) % 2

    def turned(rows: Any) -> Any:
        return tuple(torch.stack([row[i] for row in rows], 1) for i in (0, 1))

    data = DataLoader(TensorDataset(tokens, parity), 32, shuffle=True, generator=_seeded(),
                      collate_fn=None if stacked else turned)  # fmt: skip
    model = _TimeFirst()
    return examine(model, data=data, loss=lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten()),
                   optimizer=_adam(model, 1e-2))  # fmt: skip


def _labels_first() -> Any:
    data = DataLoader(TensorDataset(Y, X), 64, shuffle=True, generator=_seeded())
    return examine(mlp(), data=data, loss=lambda model, batch: F.cross_entropy(model(batch[1]), batch[0]))


class _Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.body = nn.Embedding(8, 4), _net(7, 32, 3)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.body(torch.cat([self.embed(batch["kind"]), batch["numbers"]], 1))  # type: ignore[no-any-return]


def _few_names() -> Any:
    """The first input has eight values only."""
    kind, numbers = torch.randint(0, 8, (900,), generator=_seeded(1)), torch.randn(900, 3, generator=_seeded(2))
    y = (kind > 3).long() + (numbers[:, 0] > 0)
    rows = [{"kind": kind[i], "numbers": numbers[i], "label": y[i]} for i in range(900)]
    model = _Named()
    return examine(model, data=DataLoader(rows, 32, shuffle=True, generator=_seeded()),  # type: ignore[arg-type]
                   loss=lambda model, batch: F.cross_entropy(model(batch), batch["label"]),
                   optimizer=_adam(model, 5e-3))  # fmt: skip


class _Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.norm, self.body = nn.Embedding(8, 4), nn.BatchNorm1d(3), _net(7, 32, 1)

    def forward(self, kind: Tensor, numbers: Tensor) -> Tensor:
        return self.body(torch.cat([self.embed(kind), self.norm(numbers)], 1))  # type: ignore[no-any-return]


def _normed_inside() -> Any:
    kind, numbers = torch.randint(0, 8, (1500,), generator=_seeded(1)), torch.randn(1500, 3, generator=_seeded(2))
    y = numbers[:, :1] * ((kind > 3) * 2 - 1)[:, None]
    data = DataLoader(TensorDataset(kind, numbers * torch.tensor([100.0, 1.0, 10.0]) + 50, y), 64, shuffle=True,
                      generator=_seeded())  # fmt: skip
    model = _Scaled()
    return examine(model, data=data, loss=lambda model, batch: F.mse_loss(model(batch[0], batch[1]), batch[2]),
                   optimizer=_adam(model, 1e-2))  # fmt: skip


def _mixed() -> Any:
    """The network never sees an example by itself."""

    def loss(model: nn.Module, batch: Any) -> Tensor:
        share, order = float(torch.rand(())), torch.randperm(len(batch[0]))
        out = model(share * batch[0] + (1 - share) * batch[0][order])
        return share * F.cross_entropy(out, batch[1]) + (1 - share) * F.cross_entropy(out, batch[1][order])

    return examine(mlp(), loss=loss)


def _pruned() -> Any:
    model = mlp()
    for layer in (model[1], model[3]):
        prune.random_unstructured(layer, "weight", 0.5)
    before = copy.deepcopy(model.state_dict())
    diagnosis = examine(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    return diagnosis


def _of_the_batch() -> Any:
    """Batch norm without running statistics, in which examples influence each other by design."""
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(64, track_running_stats=False)
    return examine(nn.Sequential(nn.Flatten(), nn.Linear(64, 64, bias=False), norm, nn.ReLU(), nn.Linear(64, 10)))


class _Game(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.draws, self.judges = _net(8, 64, 64, 2), _net(2, 64, 64, 1, seed=1)

    def forward(self, noise: Tensor) -> Tensor:
        return self.draws(noise)  # type: ignore[no-any-return]


def _game() -> Any:
    """The other player's loss leaves gradients behind, which are cleared before they count."""
    model = _Game()
    second = torch.optim.Adam(model.draws.parameters(), 1e-3, betas=(0.5, 0.999))

    def losses(model: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        drawn = model(torch.randn(len(x), 8))
        judged = F.softplus(-model.judges(x)).mean() + F.softplus(model.judges(drawn.detach())).mean()
        return judged, F.softplus(-model.judges(drawn)).mean()

    def step(model: Any, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
        judged, drawn = losses(model, batch[0])
        optimizer.zero_grad()
        judged.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        second.zero_grad()
        losses(model, batch[0])[1].backward()  # type: ignore[no-untyped-call]
        second.step()
        return judged + drawn

    angle = torch.rand(1500, generator=_seeded()) * 6.28
    x = torch.stack([1.5 * angle.cos() + 0.5, 0.7 * angle.sin() - 0.5], 1)
    data = DataLoader(TensorDataset(x), 128, shuffle=True, drop_last=True, generator=_seeded())
    return examine(model, data=data, step=step, loss=lambda model, batch: sum(losses(model, batch[0])),
                   optimizer=torch.optim.Adam(model.judges.parameters(), 1e-3, betas=(0.5, 0.999)))  # fmt: skip


def _background() -> Any:
    """Nineteen of twenty pixels are background."""
    marks = torch.zeros(500, 16, 16)
    corner = torch.randint(0, 13, (500, 2), generator=_seeded())
    for mark, (i, j) in zip(marks, corner.tolist(), strict=True):
        mark[i : i + 3, j : j + 3] = 1
    x = marks[:, None] + 0.3 * torch.randn(500, 1, 16, 16, generator=_seeded(1))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    return examine(model, data=loader(x, marks[:, None], size=32), loss=nn.BCEWithLogitsLoss(),
                   optimizer=_adam(model, 5e-3))  # fmt: skip


def _rare() -> Any:
    """Losses begin at ln 2, which is far above what a constant answer costs."""
    y = (TABLE @ torch.randn(10, 12, generator=_seeded(8)) > 5).float()
    model = _net(10, 64, 12)
    return examine(model, data=loader(TABLE, y), loss=nn.BCEWithLogitsLoss(), optimizer=_adam(model, 3e-3))


def _weak() -> Any:
    """A tenth of the variance can be explained, by one of ten columns."""
    y = 0.35 * TABLE[:, :1] + torch.randn(1200, 1, generator=_seeded(8))
    model = _net(10, 16, 1)
    return examine(model, data=loader(TABLE, y), loss="mse", optimizer=_adam(model))


def _categories() -> Any:
    """Sixty inputs, each with many targets."""
    kinds = torch.stack([torch.randint(0, n, (1200,), generator=_seeded(n)) for n in (5, 4, 3)], 1)
    y = ((kinds[:, 0] > 2).float() + 0.5 * torch.randn(1200, generator=_seeded(1)))[:, None]
    x = torch.cat([F.one_hot(kinds[:, i], n) for i, n in enumerate((5, 4, 3))], 1).float()
    model = _net(12, 32, 1)
    return examine(model, data=loader(x, y), loss="mse", optimizer=_adam(model, 5e-3))


def _one_at_a_time() -> Any:
    """Four hundred steps are three passes over the examples."""
    x = torch.randn(120, 4, generator=_seeded())
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0)
    model = _net(4, 16, 3)
    return examine(model, data=loader(x, y, size=1), optimizer=_adam(model, 1e-3))


class _Set(nn.Module):
    """Points of which the last column says whether they count."""

    def __init__(self, *, threshold: bool = False) -> None:
        super().__init__()
        self.body, self.head, self.threshold = _net(5, 32, 32), nn.Linear(32, 2), threshold

    def forward(self, sets: Tensor) -> Tensor:
        counts = (sets[..., -1:] > 0).to(sets.dtype)
        points = (sets[..., :-1] > 0).to(sets.dtype) if self.threshold else sets[..., :-1]
        h = self.body(torch.cat([points[..., :2], sets[..., 2:-1]], -1))
        return self.head((h * counts).sum(1) / counts.sum(1).clamp_min(1))  # type: ignore[no-any-return]


def _marked(*, threshold: bool = False) -> Any:
    sets = torch.randn(1200, 8, 6, generator=_seeded())
    sets[..., -1] = torch.where(torch.rand(1200, 8, generator=_seeded(1)) < 0.7, 1.0, -1.0)
    y = ((sets[..., 0] * (sets[..., -1] > 0)).sum(1) > 0).long()
    torch.manual_seed(0)
    model = _Set(threshold=threshold)
    return examine(model, data=loader(sets, y), optimizer=_adam(model, 3e-3))


def _rotated() -> Any:
    """A rotation that is drawn once and loses nothing."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64, bias=False), *mlp()[1:])
    nn.init.orthogonal_(model[1].weight)
    model[1].requires_grad_(False)
    return examine(model, optimizer=sgd(model[2:]))


def _spare() -> Any:
    torch.manual_seed(0)
    return examine(nn.Sequential(*mlp()[:5], nn.Linear(64, 16)))


def _slow_restarts() -> Any:
    """Rates that come back after the first look is over."""
    model = mlp()
    optimizer = sgd(model)
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 61)

    def step(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        return loss

    return examine(model, step=step, optimizer=optimizer)


@pytest.mark.parametrize(
    "patient",
    [_two_outputs, _tied, _time_first, _labels_first, _few_names, _normed_inside, _mixed, _pruned, _of_the_batch, _game,
     _background, _rare, _weak, _categories, _one_at_a_time, _marked, _rotated, _spare, _slow_restarts],
)  # fmt: skip
def test_a_healthy_training_of_unusual_form_raises_no_alarm(patient: Callable[[], Any]) -> None:
    diagnosis = patient()
    assert not ids(diagnosis), diagnosis.summary()


def _squeezed() -> Any:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1), nn.ReLU(), nn.Linear(1, 32),
                          nn.ReLU(), nn.Linear(32, 10))  # fmt: skip
    return examine(model)


def _frozen_body() -> Any:
    model = mlp()
    model[1].requires_grad_(False)
    model[3].requires_grad_(False)
    return examine(model, optimizer=sgd(model[5:]))


def _nearly_one_label() -> Any:
    y = torch.where(torch.rand(len(Y), generator=_seeded()) < 0.98, 0, Y)
    return examine(mlp(), data=loader(X, y))


def _few_pairs() -> Any:
    return examine(mlp(), data=loader(X[:40].repeat(30, *[1] * (X.dim() - 1)), Y[:40].repeat(30)))


def _bounded() -> Any:
    model = _net(10, 48, 1).append(nn.Tanh())
    return examine(model, data=loader(TABLE, 3 * NUMBERS), loss="mse", optimizer=_adam(model))


def _shuffled_labels() -> Any:
    return examine(mlp(), data=loader(X, Y[torch.randperm(len(Y), generator=_seeded())]), lr=0.1)


@pytest.mark.parametrize(
    ("patient", "id"),
    [(lambda: _time_first(stacked=True), "W09"), (_squeezed, "A06"), (_nearly_one_label, "D06"), (_few_pairs, "D09"),
     (_bounded, "L06"), (_shuffled_labels, "D05"),
     (lambda: _marked(threshold=True), "W04"), (_frozen_body, "W03")],
)  # fmt: skip
def test_the_fault_that_it_resembles_is_still_found(patient: Callable[[], Any], id: str) -> None:
    diagnosis = patient()
    assert id in ids(diagnosis), diagnosis.summary()


def test_a_sum_that_ends_no_better_is_not_proved() -> None:
    """Loss and learning rate change together, so a lower loss says nothing."""
    x = torch.linspace(-3.14, 3.14, 500)[:, None]
    powers = torch.cat([x, x**2, x**3], 1)
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    diagnosis = examine(model, data=[(powers, torch.sin(x))], loss=nn.MSELoss(reduction="sum"),
                        optimizer=torch.optim.SGD(model.parameters(), 1e-6))  # fmt: skip
    for finding in diagnosis.findings:
        trial = finding.trial
        assert not (finding.id == "L03" and trial.outcome == "verified" and trial.after <= trial.before)


def test_a_network_that_keeps_results_can_be_copied() -> None:
    model = mlp()
    model.kept = model(X[:2])  # type: ignore[assignment]
    model.more = [model(X[:2])]  # type: ignore[assignment]
    assert not ids(og.diagnose.doctor(model, loader(), loss="cross_entropy", optimizer=sgd(model)))
    assert model.kept.grad_fn is not None  # type: ignore[union-attr]
