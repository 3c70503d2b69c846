"""Eight families of the seventh part, each with a healthy way to train it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from . import tasks_seventh as tasks
from .case import Loading
from .families import Family, Optimizer, adam, adamw, sgd
from .networks import Network, perceptron
from .networks_seventh import (
    Elman,
    Graph,
    Hourglass,
    Pairs,
    Swarm,
    evidence_loss,
    evidence_summed,
    huber_loss,
    huber_summed,
    overlap_loss,
    overlap_summed,
    separable_body,
    variational_body,
)
from .plants import SUMMED
from .steps import Clipped, Scheduled

SUMMED.update({overlap_loss: overlap_summed, huber_loss: huber_summed, evidence_loss: evidence_summed})


def other(kind: type[torch.optim.Optimizer], lr: float, **options: Any) -> Optimizer:
    """A maker of any optimiser."""
    maker: Any = kind
    return lambda parameters: maker(parameters, lr=lr, **options)


#: Further traits of this part: "adaptive" (an optimiser with an epsilon), "single" (one output), "masked" (padding is
#: left out), "light" (cheap enough for large batches), "variational" (the loss looks for a module of the network).
FAMILIES_SEVENTH: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "loan_table", "seventh", tasks.loans, lambda: Network(perceptron([21, 48, 32]), nn.Linear(32, 1)),
            nn.BCEWithLogitsLoss(), other(torch.optim.RMSprop, 3e-3), Loading(48), 300, 0.90,
            frozenset({"binary", "floats", "relu", "adaptive", "single", "light"}),
        ),
        Family(
            "cell_hourglass", "seventh", tasks.cells, lambda: Network(Hourglass(2, 10), nn.Linear(10, 3)),
            overlap_loss, sgd(0.1), Loading(16), 200, 0.90,
            frozenset({"classes", "floats", "images", "channels", "pixels", "relu", "sgd"}),
        ),
        Family(
            "rune_separable", "seventh", tasks.runes, lambda: Network(separable_body(12), nn.Linear(24, 6)),
            nn.CrossEntropyLoss(), sgd(0.08, nesterov=True, weight_decay=1e-4), Loading(48), 200, 0.93,
            frozenset({"classes", "floats", "images", "relu", "batchnorm", "norm", "sgd"}),
            step=lambda loss: Scheduled(loss, 20, 260),
        ),
        Family(
            "tank_elman", "seventh", tasks.tanks, lambda: Network(Elman(3, 40), nn.Linear(40, 1)),
            huber_loss, adam(3e-3), Loading(32, form="dictionary", keys=("series", "level")), 450, 0.80,
            frozenset({"regression", "column", "floats", "recurrent", "dictionary", "adam", "adaptive", "single"}),
            step=lambda loss: Clipped(loss, 1.0),
        ),
        Family(
            "swarm_encoder", "seventh", tasks.swarms, lambda: Network(Swarm(3, 32, 2), nn.Linear(32, 4)),
            "cross_entropy", adamw(2e-3), Loading(32), 300, 0.90,
            frozenset({"classes", "floats", "norm", "attention", "padded", "adam", "adaptive", "masked"}),
        ),
        Family(
            "spectra_variational", "seventh", tasks.spectra,
            lambda: Network(variational_body(40, 64, 8), nn.Linear(64, 40)),
            evidence_loss, other(torch.optim.NAdam, 3e-3), Loading(32, form="list"), 350, 0.80,
            frozenset({"regression", "floats", "relu", "dictionary", "adam", "adaptive", "light", "variational"}),
        ),
        Family(
            "graph_messages", "seventh", tasks.molecules, lambda: Network(Graph(10, 24), nn.Linear(48, 5)),
            "cross_entropy", other(torch.optim.Adagrad, 0.03), Loading(32), 250, 0.92,
            frozenset({"classes", "floats", "relu", "adaptive"}),
        ),
        Family(
            "rating_pairs", "seventh", tasks.ratings, lambda: Network(Pairs(40, 30, 12), nn.Linear(48, 1)),
            "mse", adam(1e-2), Loading(64), 450, 0.80,
            frozenset({"regression", "column", "relu", "embedding", "adam", "adaptive", "single", "light"}),
        ),
    )
}  # fmt: skip
