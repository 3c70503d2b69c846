"""The twenty public faults of the protocol: each is the first finding, and where a change was tried, it helped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from patients import X, Y, cnn, examine, ids, loader, mlp, sgd
from torch import Tensor, nn

import orograph as og

Plant = Callable[[], Any]


def _no_zero_grad(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
    loss = F.cross_entropy(model(batch[0]), batch[1])
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss


def _drawn(scheme: str) -> nn.Module:
    model = mlp()
    og.initialize.apply(model, scheme)
    return model


def _constant() -> nn.Module:
    model = mlp()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.05)
    return model


def _dead() -> nn.Module:
    model = mlp()
    for layer in (model[1], model[3]):
        nn.init.constant_(layer.bias, -20.0)
    return model


def _frozen() -> nn.Module:
    model = mlp()
    for layer in model[:5]:
        layer.requires_grad_(False)
    return model


def _sigmoids(layers: int, scale: float = 1.0) -> nn.Module:
    torch.manual_seed(0)
    body = [layer for _ in range(layers) for layer in (nn.Linear(64, 64), nn.Sigmoid())]
    model = nn.Sequential(nn.Flatten(), *body, nn.Linear(64, 10))
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.Linear) and scale != 1:
                layer.weight.mul_(scale)
    return model


class Rows(nn.Module):
    """Digits row by row through a recurrent layer."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cells, self.head = nn.RNN(8, 32, batch_first=True), nn.Linear(32, 10)
        with torch.no_grad():
            nn.init.orthogonal_(self.cells.weight_hh_l0).mul_(scale)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.cells(x.squeeze(1))[0][:, -1])
        return logits


def _head_only() -> Any:
    model = mlp()
    return examine(model, optimizer=sgd(model[5]))


def _in_evaluation() -> Any:
    model = cnn(norm=True).eval()
    return examine(model, data=loader(X * 30 + 40))


ORDER = Y.argsort()
PLANTS: dict[str, tuple[Plant, tuple[str, ...]]] = {
    "rate too high": (lambda: examine(mlp(), lr=5.0), ("O01",)),
    "rate too low": (lambda: examine(mlp(), lr=5e-6), ("O02",)),
    "softmax before cross-entropy": (lambda: examine(mlp(nn.Softmax(1))), ("L01",)),
    "ReLU on logits": (lambda: examine(mlp(nn.ReLU())), ("L02",)),
    "labels shuffled": (lambda: examine(mlp(), data=loader(y=Y[torch.randperm(len(Y))])), ("D05",)),
    "labels shifted": (lambda: examine(mlp(), data=[(x, y.roll(1)) for x, y in loader()]), ("D05",)),
    "zero_grad missing": (lambda: examine(mlp(), step=_no_zero_grad), ("W05",)),
    "frozen body": (lambda: examine(_frozen()), ("W03",)),
    "head alone in the optimiser": (_head_only, ("W01",)),
    "weights too small": (lambda: examine(_drawn("normal(0.002)")), ("I01",)),
    "weights too large": (lambda: examine(_drawn("normal(1.0)")), ("I02",)),
    "constant weights": (lambda: examine(_constant()), ("I03",)),
    "saturated sigmoid": (lambda: examine(_sigmoids(2, 60.0), lr=0.5), ("I05",)),
    "deep sigmoid": (lambda: examine(_sigmoids(9)), ("I06",)),
    "dead ReLU": (lambda: examine(_dead()), ("I04", "I09")),
    "inputs from 0 to 255": (lambda: examine(mlp(), data=loader((X - X.min()) * 60)), ("D02",)),
    "batch norm in evaluation mode": (_in_evaluation, ("W07",)),
    "sorted by class": (lambda: examine(mlp(), data=loader(X[ORDER], Y[ORDER], shuffle=False)), ("D04",)),
    "loss summed": (lambda: examine(mlp(), loss=nn.CrossEntropyLoss(reduction="sum")), ("L03",)),
    "exploding recurrence": (lambda: examine(Rows(4.0)), ("I07", "I05")),
}


@pytest.mark.parametrize("name", list(PLANTS))
def test_a_public_fault_is_the_first_finding(name: str) -> None:
    plant, expected = PLANTS[name]
    found = plant()
    assert ids(found), found.summary()
    assert ids(found)[0] in expected, found.summary()
    first = found.findings[0]
    assert first.cause
    assert first.prescription
    assert first.evidence or name == "zero_grad missing"
    assert first.verified != "made worse"


def _broadcast() -> Any:
    torch.manual_seed(0)
    x = torch.randn(512, 6)
    y = x @ torch.randn(6) + 0.1 * torch.randn(512)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1))
    return examine(model, data=loader(x, y), loss=nn.MSELoss())


class Mixed(nn.Module):
    """A reshape that tears the examples of a batch apart."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = mlp()

    def forward(self, x: Tensor) -> Tensor:
        torn = x.flatten(1).T.reshape(x.shape[0], 1, 8, 8)
        logits: Tensor = self.body(torn)
        return logits


class Cut(nn.Module):
    """The body's features are detached."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = mlp(), nn.Linear(10, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(x).detach())
        return logits


class LogOfZero(nn.Module):
    """A logarithm of rectified numbers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.rest = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.rest(torch.log(torch.relu(self.first(x.flatten(1)))))
        return logits


def _no_step(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
    optimizer.zero_grad()
    loss = F.cross_entropy(model(batch[0]), batch[1])
    loss.backward()  # type: ignore[no-untyped-call]
    return loss


def _erased(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
    loss = _no_step(model, batch, optimizer)
    optimizer.zero_grad()
    optimizer.step()
    return loss


def _uphill(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
    optimizer.zero_grad()
    loss = F.cross_entropy(model(batch[0]), batch[1])
    (-loss).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss


def _clipped(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
    loss = _no_step(model, batch, optimizer)
    nn.utils.clip_grad_norm_(model.parameters(), 1e-5)
    optimizer.step()
    return loss


def _with_nan() -> Any:
    x = X.clone()
    x[100, 0, 3, 3] = float("nan")
    return examine(mlp(), data=loader(x))


def _strangers() -> Any:
    model, other = mlp(), mlp(seed=1)
    return examine(model, optimizer=sgd(other))


class Slipping(torch.optim.SGD):
    """Its seventh step leaves a NaN behind."""

    count = 0

    def step(self, closure: Any = None) -> Any:
        found = super().step(closure)
        self.count += 1
        if self.count == 7:
            with torch.no_grad():
                self.param_groups[0]["params"][2][0, 0] = float("nan")
        return found


def _slipping() -> Any:
    model = mlp()
    return examine(model, optimizer=Slipping(model.parameters(), lr=0.05))


def _cleared_once_an_epoch() -> Any:
    count = [0]

    def step(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
        if count[0] % 23 == 0:
            optimizer.zero_grad()
        count[0] += 1
        return _no_zero_grad(model, batch, optimizer)

    return examine(mlp(), step=step)


def _moved() -> Any:
    batches = [(x, y.roll(1)) for x, y in loader()]
    return examine(mlp(), data=batches)


MORE: dict[str, tuple[Plant, tuple[str, ...]]] = {
    "outputs (n, 1) against targets (n,)": (_broadcast, ("L05",)),
    "examples mixed": (lambda: examine(Mixed()), ("W09",)),
    "features detached": (lambda: examine(Cut()), ("W04",)),
    "logarithm of zero": (lambda: examine(LogOfZero()), ("A05",)),
    "no step": (lambda: examine(mlp(), step=_no_step), ("W06",)),
    "gradients erased": (lambda: examine(mlp(), step=_erased), ("W06",)),
    "uphill by the step": (lambda: examine(mlp(), step=_uphill), ("L04",)),
    "clipped to nothing": (lambda: examine(mlp(), step=_clipped), ("O06",)),
    "NaN in one example": (_with_nan, ("D01",)),
    "optimiser of another network": (_strangers, ("W02",)),
    "dropout of 97 %": (lambda: examine(nn.Sequential(nn.Flatten(), nn.Dropout(0.97), mlp()[1:])), ("A01",)),
    "softmax over the batch": (lambda: examine(mlp(nn.Softmax(0))), ("L10", "W09")),
    "one example again and again": (lambda: examine(mlp(), data=[(X[:32], Y[:32])] * 20), ("D09",)),
    "one class": (lambda: examine(mlp(), data=loader(X[Y == 3], Y[Y == 3])), ("D06",)),
    "eps of Adam": (
        lambda: examine(m := mlp(), optimizer=torch.optim.Adam(m.parameters(), lr=1e-3, eps=10.0)),
        ("O07",),
    ),
    "an optimiser that makes NaN": (_slipping, ("A05",)),
    "gradients cleared once an epoch": (_cleared_once_an_epoch, ("W05",)),
    "targets moved by one within batches": (_moved, ("D05",)),
    "weight decay": (lambda: examine(m := mlp(), optimizer=sgd(m, weight_decay=3.0)), ("O05",)),
}


@pytest.mark.parametrize("name", list(MORE))
def test_further_faults_are_found(name: str) -> None:
    plant, expected = MORE[name]
    found = plant()
    assert ids(found), found.summary()
    assert ids(found)[0] in expected, found.summary()
    if name in ("features detached", "targets moved by one within batches", "gradients cleared once an epoch"):
        assert found.findings[0].verified == "verified", found.summary()
    if name == "an optimiser that makes NaN":
        assert found.findings[0].where == "3.weight"
        assert found.findings[0].step == 7
