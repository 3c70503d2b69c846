"""Healthy training and the protocol's silent traps: nothing is alarming, and a healthy report is one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from patients import X, Y, cnn, examine, ids, loader, mlp, sgd
from torch import Tensor, nn

import orograph as og
from networks import TinyTransformer


def _accumulating() -> Any:
    seen = [0]

    def step(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
        loss = F.cross_entropy(model(batch[0]), batch[1])
        (loss / 2).backward()  # type: ignore[no-untyped-call]
        seen[0] += 1
        if seen[0] % 2 == 0:
            optimizer.step()
            optimizer.zero_grad()
        return loss

    return examine(mlp(), step=step, data=loader(size=32), lr=0.1)


def _clipping() -> Any:
    def step(model: nn.Module, batch: Any, optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        return loss

    return examine(mlp(), step=step, lr=0.3)


def _fine_tuning() -> Any:
    model = mlp()
    og.train.fit(model, og.data.load("digits"), og.train.Recipe(epochs=5, lr=0.05, batch_size=64), test=False)
    for layer in model[:5]:
        layer.requires_grad_(False)
    model[5].reset_parameters()
    return examine(model, optimizer=sgd(model[5]))


def _imbalanced() -> Any:
    kept = (Y == 0) | (torch.rand(len(Y), generator=torch.Generator().manual_seed(0)) < 0.15)
    return examine(mlp(), data=loader(X[kept], Y[kept]))


def _zero_head() -> Any:
    model = mlp()
    nn.init.zeros_(model[5].weight)
    nn.init.zeros_(model[5].bias)
    return examine(model)


def _zero_branches() -> Any:
    model = og.models.build("resnet8", og.data.load("digits"), seed=0, width=0.5)
    og.initialize.apply(model, "zero-branches", example=X[:8])
    return examine(model)


def _language() -> Any:
    random = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 10, (400, 8), generator=random)
    batches = [{"input_ids": part, "labels": 10 - part} for part in tokens.split(40)]
    torch.manual_seed(0)
    model = TinyTransformer()
    return examine(model, data=batches, optimizer=torch.optim.Adam(model.parameters(), lr=3e-3))


def _reconstruction() -> Any:
    torch.manual_seed(0)
    flat = X.flatten(1)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 64))
    return examine(model, data=loader(flat, flat), loss="mse", lr=0.2)


def _activation(kind: type[nn.Module]) -> Callable[[], Any]:
    def made() -> Any:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), kind(), nn.Linear(64, 64), kind(), nn.Linear(64, 10))
        return examine(model)

    return made


def _slow_statistics() -> Any:
    model = cnn(norm=True)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.01
    return examine(model)


HEALTHY: dict[str, Callable[[], Any]] = {
    "mlp": lambda: examine(mlp()),
    "convolutions": lambda: examine(cnn()),
    "batch norm": lambda: examine(cnn(norm=True)),
    "adam": lambda: examine(m := mlp(), optimizer=torch.optim.Adam(m.parameters(), lr=1e-3)),
    "log_softmax before cross-entropy": lambda: examine(mlp(nn.LogSoftmax(1))),
    "frozen trained body": _fine_tuning,
    "gradient accumulation": _accumulating,
    "large rate with clipping": _clipping,
    "label smoothing": lambda: examine(mlp(), loss=nn.CrossEntropyLoss(label_smoothing=0.1)),
    "class imbalance": _imbalanced,
    "tanh": _activation(nn.Tanh),
    "GELU": _activation(nn.GELU),
    "SiLU": _activation(nn.SiLU),
    "slow batch-norm statistics": _slow_statistics,
    "head at zero": _zero_head,
    "branches at zero": _zero_branches,
    "language model on dictionaries": _language,
    "autoencoder": _reconstruction,
    "dropout of one half": lambda: examine(nn.Sequential(*mlp()[:5], nn.Dropout(0.5), nn.Linear(64, 10))),
}


@pytest.mark.parametrize("name", list(HEALTHY))
def test_nothing_is_alarming(name: str) -> None:
    found = HEALTHY[name]()
    assert not ids(found), found.summary()
    if not found.findings:
        assert found.healthy
        assert found.summary().startswith("healthy")
        assert "\n" not in found.summary()


def test_a_run_that_time_cut_short_raises_no_alarm_over_speed() -> None:
    """A rate that is slow at first: with hardly any time a question, with enough of it an alarm."""
    short = examine(cnn(norm=True), lr=1.0, seconds=0.05)
    assert len(short.loss) < 60
    assert not ids(short), short.summary()
    assert [finding.severity for finding in short.findings] == ["question"]
    assert ids(examine(cnn(norm=True), lr=1.0)) == ["O01"]
