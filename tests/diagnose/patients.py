"""Small networks on the digits, healthy unless something is planted."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import orograph as og
from orograph.diagnose.examination import UNASKED

DIGITS = og.data.load("digits")
X, Y = DIGITS.train.inputs, DIGITS.train.targets


def loader(x: Tensor = X, y: Tensor = Y, *, shuffle: bool = True, size: int = 64) -> DataLoader[Any]:
    """Batches of 64, shuffled."""
    return DataLoader(TensorDataset(x, y), batch_size=size, shuffle=shuffle, generator=torch.Generator().manual_seed(0))


def mlp(*end: nn.Module, seed: int = 0) -> nn.Sequential:
    """64, 64 and 10 units with ReLU, and whatever comes at the end."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10), *end
    )


def cnn(*, norm: bool = False, seed: int = 0) -> nn.Module:
    """Three convolutions, with or without batch norm."""
    return og.models.build("convnet", DIGITS, seed=seed, batch_norm=norm)


def sgd(model: nn.Module, lr: float = 0.05, **more: Any) -> torch.optim.SGD:
    """With momentum."""
    return torch.optim.SGD(model.parameters(), lr=lr, **{"momentum": 0.9, **more})


def examine(model: nn.Module, **more: Any) -> Any:
    """The doctor's diagnosis; the loader and optimiser are the usual ones unless given."""
    options = {"loss": "cross_entropy", **more}
    data = options.pop("data", None) or loader()
    optimizer = options.pop("optimizer", None) or sgd(model, options.pop("lr", 0.05))
    found = og.diagnose.doctor(model, data, optimizer=optimizer, **options)
    assert not any(UNASKED in stage.note for stage in found.stages), found.stages  # a rule that broke
    return found


def ids(diagnosis: Any) -> list[str]:
    """Ids of the findings that alarm, in order."""
    return [finding.id for finding in diagnosis.findings if finding.alarms]


def train(
    model: nn.Module, optimizer: Any, monitor: og.diagnose.Monitor | None = None, x: Tensor = X, steps: int = 60
) -> list[float]:
    """An ordinary loop; the losses."""
    random = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(steps):
        rows = torch.randint(len(x), (64,), generator=random)
        loss = F.cross_entropy(model(x[rows]), Y[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if monitor is not None:
            monitor.log(loss)
        losses.append(float(loss.detach()))
    return losses
