"""Gradients, weights and loss terms that are not what they seem, each with healthy kin."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from patients import X, Y, examine, ids, loader, mlp, sgd
from torch import Tensor, nn

from orograph.diagnose.bounds import bounds_of
from orograph.diagnose.losses import Loss
from orograph.diagnose.patient import Copy

FLAT = X.flatten(1)


class Step:
    """An ordinary step with something between backward and the optimiser, and something after it."""

    def __init__(self, between: Any = None, after: Any = None) -> None:
        self.between, self.after = between, after

    def __call__(self, model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()  # type: ignore[no-untyped-call]
        if self.between is not None:
            self.between(model)
        optimizer.step()
        if self.after is not None:
            self.after(model)
        return loss


@torch.no_grad()
def _noise(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.grad = parameter.grad + 3 * torch.randn_like(parameter)  # type: ignore[operator]


@torch.no_grad()
def _clamp(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.clamp_(-0.003, 0.003)


def _clip(model: nn.Module) -> None:
    nn.utils.clip_grad_norm_(model.parameters(), 0.5)


@pytest.mark.parametrize(
    ("step", "expected"), [(Step(_noise), ["W21"]), (Step(after=_clamp), ["W16"]), (Step(_clip), []), (Step(), [])]
)
def test_steps(step: Step, expected: list[str]) -> None:
    assert ids(examine(mlp(), step=step)) == expected


class Turned(torch.autograd.Function):
    """The identity with the gradient of its opposite."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return -gradients[0]


class Applied(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def _within(layer: nn.Module) -> nn.Module:
    parts = list(mlp())
    return nn.Sequential(*parts[:-1], layer, parts[-1])


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (Applied(Turned.apply), "W22"),
        (Applied(lambda x: (10 * x).round() / 10), "W04"),
        (Applied(lambda x: F.dropout(x, 0.7)), "W23"),
        (nn.Sequential(nn.Linear(64, 1), nn.ReLU(), nn.Linear(1, 64)), "A06"),
        (nn.Sequential(nn.Softmax(1), nn.Softmax(1)), "A07"),
    ],
)
def test_layers_that_stop_the_signal(layer: nn.Module, expected: str) -> None:
    torch.manual_seed(0)
    assert expected in ids(examine(_within(layer)))[:2]


@pytest.mark.parametrize("layer", [Applied(lambda x: x * 1.0), nn.Dropout(0.3), nn.Linear(64, 64)])
def test_layers_that_do_not(layer: nn.Module) -> None:
    torch.manual_seed(0)
    assert ids(examine(_within(layer))) == []


def test_outputs_that_are_divided() -> None:
    found = examine(mlp(Applied(lambda x: x / 300)))
    assert ids(found) == ["L14"]
    assert found.findings[0].verified == "verified"


def _of(change: Any) -> Any:
    """A function of (model, batch)."""
    return lambda model, batch: change(F.cross_entropy(model(batch[0]), batch[1]), model)


def _size(model: nn.Module) -> Tensor:
    return torch.stack([parameter.abs().sum() for parameter in model.parameters()]).sum()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda value, model: value + 0.3 * _size(model), ["L15"]),
        (lambda value, model: value / 64, ["L03"]),
        (lambda value, model: value + 1e-5 * _size(model), []),
        (lambda value, model: value + 1000, []),
        (lambda value, model: value - 20, []),
    ],
)
def test_losses_with_something_beside(change: Any, expected: list[str]) -> None:
    assert ids(examine(mlp(), loss=_of(change))) == expected


def test_adam_takes_no_notice_of_a_factor() -> None:
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    assert ids(examine(model, loss=_of(lambda value, model: 500 * value), optimizer=optimizer)) == []


def test_positives_that_outweigh_everything() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0))
    data = loader(X, (Y > 4).float())
    assert ids(examine(model, data=data, loss=nn.BCEWithLogitsLoss(pos_weight=torch.tensor(1e4))))[:1] == ["L09"]
    rare = loader(X, (Y == 4).float())
    assert ids(examine(model, data=rare, loss=nn.BCEWithLogitsLoss(pos_weight=torch.tensor(9.0)))) == []


class Scheduled(Step):
    """The rate as a function of the step."""

    def __init__(self, rate: Any) -> None:
        super().__init__()
        self.rate, self.count = rate, 0

    def __call__(self, model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.param_groups[0]["lr"] = self.rate(self.count)
        self.count += 1
        return super().__call__(model, batch, optimizer)


@pytest.mark.parametrize(
    ("rate", "expected"), [(lambda t: 0.001 * 1.1**t, ["O11"]), (lambda t: 0.05 * min(1, (t + 1) / 100), [])]
)
def test_rates_that_grow(rate: Any, expected: list[str]) -> None:
    assert ids(examine(mlp(), step=Scheduled(rate))) == expected


def test_adam_with_its_betas_the_wrong_way_round() -> None:
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, betas=(0.999, 0.9))
    assert ids(examine(model, optimizer=optimizer)) == ["O07"]


def test_pictures_that_could_not_be_read() -> None:
    x = X.clone()
    x[torch.rand(len(x), generator=torch.Generator().manual_seed(0)) < 0.95] = 0
    assert ids(examine(mlp(), data=loader(x)))[:1] == ["D03"]


def test_a_network_that_standardises_by_itself() -> None:
    raw = 40 * X + 100
    middle, spread = raw.mean(), raw.std()
    model = nn.Sequential(Applied(lambda x: (x - middle) / spread), *mlp())
    assert ids(examine(model, data=loader(raw))) == []


def test_mixed_examples_with_mixed_targets() -> None:
    shares = torch.rand(len(X), generator=torch.Generator().manual_seed(0))
    other = torch.randperm(len(X), generator=torch.Generator().manual_seed(1))
    hot = F.one_hot(Y, 10).float()
    wide = shares.view(-1, 1, 1, 1)
    x, y = wide * X + (1 - wide) * X[other], shares[:, None] * hot + (1 - shares[:, None]) * hot[other]
    found = examine(mlp(), data=loader(x, y))
    assert ids(found) == []
    assert found.task == "10 classes, loss cross-entropy"


def test_wild_targets_with_a_loss_that_bears_them() -> None:
    random = torch.Generator().manual_seed(0)
    y = 5 * (FLAT[:, :32].mean(1) - FLAT[:, 32:].mean(1))
    wild = torch.rand(len(y), generator=random) < 0.05
    y = torch.where(wild, y + 100 * torch.randn(len(y), generator=random), y)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0))
    data = loader(FLAT, y)
    assert ids(examine(model, data=data, loss=nn.HuberLoss(delta=0.5), optimizer=sgd(model, 0.05))) == []


def test_frozen_embeddings_are_asked_about() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(24, 32), nn.Flatten(), nn.Linear(32 * 12, 64), nn.ReLU(), nn.Linear(64, 3))
    model[0].requires_grad_(False)
    x = torch.randint(0, 24, (512, 12), generator=torch.Generator().manual_seed(0))
    found = examine(model, data=loader(x, (x[:, :4].sum(1) // 16).clamp(0, 2)), lr=0.02)
    assert ids(found) == []


def test_examples_that_come_three_times_are_asked_about() -> None:
    found = examine(mlp(), data=loader(X[:400].repeat(3, 1, 1, 1), Y[:400].repeat(3)))
    assert ids(found) == []
    assert [finding.id for finding in found.findings if finding.severity == "question"] in ([], ["D09"])
    few = examine(mlp(), data=loader(X[:128].repeat(9, 1, 1, 1), Y[:128].repeat(9)))
    assert ids(few) == ["D09"]


def test_a_variational_autoencoder_with_its_divergence_is_healthy() -> None:
    class Variational(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.encoder, self.decoder = (
                nn.Linear(64, 16),
                nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64)),
            )

        def forward(self, x: Tensor) -> Tensor:
            self.mean, self.log_variance = self.encoder(x).chunk(2, 1)
            drawn = self.mean + torch.randn_like(self.mean) * (self.log_variance / 2).exp()
            outputs: Tensor = self.decoder(drawn)
            return outputs

    def bound(model: Any, batch: Any) -> Tensor:
        outputs = model(batch[0])
        divergence = (model.mean.square() + model.log_variance.exp() - 1 - model.log_variance).mean() / 2
        return F.mse_loss(outputs, batch[1]) + divergence

    model = Variational()
    found = examine(model, data=loader(FLAT, FLAT), loss=bound, optimizer=torch.optim.Adam(model.parameters(), 3e-3))
    assert "L15" not in [finding.id for finding in found.findings]
    assert "W23" not in ids(found)


class Ending(nn.Module):
    """A network that ends in a function."""

    def __init__(self, body: nn.Module, end: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.body, self.end = body, end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.body(x))


@pytest.mark.parametrize(
    ("end", "low", "high"),
    [
        (lambda x: x, -math.inf, math.inf),
        (lambda x: x / 1000, -math.inf, math.inf),
        (torch.relu, 0.0, math.inf),
        (torch.tanh, -1.0, 1.0),
        (lambda x: x.clamp(-1, 3), -1.0, 3.0),
        (lambda x: x.log_softmax(1), -math.inf, 0.0),
        (lambda x: x - 100, -math.inf, math.inf),
    ],
)
def test_bounds_of_outputs(end: Callable[[Tensor], Tensor], low: float, high: float) -> None:
    model = Ending(mlp(), end)
    before = [p.clone() for p in model.parameters()]
    made = Copy(model, sgd(model), Loss("cross_entropy"), None)
    assert bounds_of(made, X[:64]) == pytest.approx((low, high), abs=1e-3)
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))


def test_logits_that_are_clamped() -> None:
    assert ids(examine(Ending(mlp(), lambda x: x.clamp(-1, 1)))) == ["L02"]
    assert not ids(examine(Ending(mlp(), lambda x: x.clamp(-15, 15))))


def test_one_logit_that_is_rectified() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1), nn.ReLU())
    assert ids(examine(model, data=loader(X, (Y > 4).float()[:, None]), loss=nn.BCEWithLogitsLoss()))[:1] == ["L02"]


def test_numbers_that_are_clamped_away() -> None:
    model = Ending(nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1)), lambda x: x.clamp(0, 1))
    targets = (Y.float()[:, None] - 4.5) / 3
    assert ids(examine(model, data=loader(X, targets), loss="mse"))[:1] == ["L06"]
