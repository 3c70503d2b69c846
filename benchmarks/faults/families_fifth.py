"""Seven families of the fifth half. Scores of the healthy configuration over ten seeds are in its JSON file."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import tasks_fifth
from .case import Loading
from .families import Family, Optimizer, adam, adamw, sgd
from .losses_third import SUMMED
from .networks import Network, Recurrent, perceptron
from .networks_fifth import PointSet, excited, inverted, temporal
from .steps_fifth import WithClosure


def rmsprop(lr: float, **options: Any) -> Optimizer:
    """A maker of RMSprop."""
    return lambda parameters: torch.optim.RMSprop(parameters, lr=lr, **options)


def register_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Cross-entropy of a batch of programs."""
    return F.cross_entropy(model(batch["tokens"]), batch["value"])


def summed_register_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The same, summed over the programs."""
    return F.cross_entropy(model(batch["tokens"]), batch["value"], reduction="sum")


SUMMED[register_loss] = summed_register_loss


def position_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Huber's loss of where the hand is."""
    return F.huber_loss(outputs, targets, delta=0.5)


def smoothed(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy with a little label smoothing."""
    return F.cross_entropy(outputs, targets, label_smoothing=0.05)


FAMILIES_FIFTH: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "wine_table", "fifth", tasks_fifth.wines,
            lambda: Network(perceptron([13, 64, 48]), nn.Linear(48, 3)),
            nn.CrossEntropyLoss(), sgd(0.01, nesterov=True), Loading(12, form="list"), 300, 0.90,
            frozenset({"classes", "floats", "relu", "sgd"}),
        ),
        Family(
            "counted_spots_cnn", "fifth", tasks_fifth.spots,
            lambda: Network(excited(12, 24), nn.Linear(24, 5)),
            "cross_entropy", adamw(6e-3), Loading(32), 400, 0.80,
            frozenset({"classes", "floats", "images", "relu", "adam"}),
        ),
        Family(
            "inverted_digits_cnn", "fifth", tasks_fifth.crossed_digits,
            lambda: Network(inverted(12, 20, 40), nn.Linear(40, 10)),
            smoothed, sgd(0.08, weight_decay=1e-4), Loading(40), 300, 0.85,
            frozenset({"classes", "floats", "images", "relu", "batchnorm", "norm", "sgd"}),
        ),
        Family(
            "heartbeat_tcn", "fifth", tasks_fifth.heartbeats,
            lambda: Network(temporal(16, (1, 2, 4)), nn.Linear(16, 4)),
            nn.CrossEntropyLoss(), adamw(5e-3), Loading(32, form="list"), 300, 0.85,
            frozenset({"classes", "floats", "sequence", "norm", "adam"}),
        ),
        Family(
            "register_gru", "fifth", tasks_fifth.registers,
            lambda: Network(
                nn.Sequential(
                    nn.Embedding(tasks_fifth.WORDS, 12), Recurrent(nn.GRU(12, 28, num_layers=2, batch_first=True))
                ),
                nn.Linear(28, tasks_fifth.VALUES),
            ),
            register_loss, adam(8e-3), Loading(40, form="dictionary", keys=("tokens", "value")), 250, 0.95,
            frozenset({"classes", "recurrent", "embedding", "dictionary", "sequence", "adam"}),
        ),
        Family(
            "point_set_attention", "fifth", tasks_fifth.point_sets,
            lambda: Network(PointSet(2, 32, 2), nn.Linear(32, 5)),
            F.cross_entropy, adamw(2e-3), Loading(40), 350, 0.80,
            frozenset({"classes", "floats", "norm", "attention", "adam"}), WithClosure,
        ),
        Family(
            "robot_arm", "fifth", tasks_fifth.robot_arm,
            lambda: Network(perceptron([4, 96, 96, 96]), nn.Linear(96, 3)),
            position_loss, rmsprop(1e-3, alpha=0.95), Loading(40), 600, 0.90,
            frozenset({"regression", "floats", "relu"}),
        ),
    )
}  # fmt: skip
