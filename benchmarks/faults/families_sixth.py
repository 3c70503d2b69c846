"""Six families of the sixth half. Scores of the healthy configuration over ten seeds are in its JSON file."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from . import tasks_sixth
from .case import Loading, Loss, Step
from .families import Family, adam, adamw, sgd
from .families_fifth import rmsprop
from .losses_third import SUMMED
from .networks import Network, Recurrent, perceptron
from .networks_sixth import Columns, hidden_after_convolutions, preactivated, residual_perceptron
from .steps import Clipped, Scheduled


def hand_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Cross-entropy of a batch of clock hands."""
    return F.cross_entropy(model(batch["image"]), batch["direction"])


def summed_hand_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The same, summed over the images."""
    return F.cross_entropy(model(batch["image"]), batch["direction"], reduction="sum")


SUMMED[hand_loss] = summed_hand_loss


def clipped(loss: Loss) -> Step:
    """A step that clips the norm of the gradient at one."""
    return Clipped(loss, 1.0)


def warmed_cosine(loss: Loss) -> Step:
    """A step with a warm-up and a cosine."""
    return Scheduled(loss, 20, 400)


FAMILIES_SIXTH: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "quality_table", "sixth", tasks_sixth.qualities,
            lambda: Network(perceptron([16, 80, 64, 48]), nn.Linear(48, 5)),
            F.cross_entropy, sgd(0.02, nesterov=True), Loading(32), 400, 0.80,
            frozenset({"classes", "floats", "relu", "sgd", "table"}),
        ),
        Family(
            "clock_hands_cnn", "sixth", tasks_sixth.hands,
            lambda: Network(hidden_after_convolutions(10, 20, 48), nn.Linear(48, 8)),
            hand_loss, adam(3e-3), Loading(40, form="dictionary", keys=("image", "direction")), 300, 0.85,
            frozenset({"classes", "floats", "images", "relu", "dictionary", "adam"}),
        ),
        Family(
            "spectrogram_resnet", "sixth", tasks_sixth.spectrograms,
            lambda: Network(preactivated(12, 24), nn.Linear(24, 6)),
            nn.CrossEntropyLoss(), sgd(0.04, weight_decay=5e-4), Loading(36, form="list"), 200, 0.85,
            frozenset({"classes", "floats", "images", "relu", "batchnorm", "norm", "residual", "sgd"}),
        ),
        Family(
            "letters_rnn", "sixth", tasks_sixth.snippets,
            lambda: Network(
                nn.Sequential(nn.Embedding(tasks_sixth.LETTERS, 16), Recurrent(nn.RNN(16, 40, batch_first=True))),
                nn.Linear(40, tasks_sixth.LANGUAGES),
            ),
            "cross_entropy", adam(3e-3), Loading(32), 400, 0.75,
            frozenset({"classes", "recurrent", "embedding", "sequence", "adam"}), clipped,
        ),
        Family(
            "column_transformer", "sixth", tasks_sixth.shells,
            lambda: Network(Columns(6, 32, 2), nn.Linear(32, 3)),
            nn.CrossEntropyLoss(), adamw(3e-3), Loading(50), 300, 0.80,
            frozenset({"classes", "floats", "norm", "attention", "adam", "table"}), warmed_cosine,
        ),
        Family(
            "impedance_mlp", "sixth", tasks_sixth.impedances,
            lambda: Network(residual_perceptron(4, 48, 2), nn.Linear(48, 1)),
            "mse", rmsprop(1e-3), Loading(32, form="list"), 400, 0.90,
            frozenset({"regression", "column", "floats", "norm", "residual", "table"}),
        ),
    )
}  # fmt: skip
