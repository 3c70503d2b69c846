"""Six families of the fourth half. Scores of the healthy configuration over ten seeds are in its JSON file."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from . import tasks_fourth
from .case import Loading, Loss, Step
from .families import Family, adam, adamw, sgd
from .losses_third import SUMMED
from .networks import Network, perceptron
from .networks_fourth import SignalEncoder, TokenRecurrence, denoiser, pairs_of_convolutions, pooled
from .steps_fourth import ClippedThenCleared


def likelihood(outputs: Tensor, targets: Tensor) -> Tensor:
    """The negative likelihood of the targets."""
    return F.nll_loss(F.log_softmax(outputs, dim=-1), targets)


def order_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Cross-entropy of a batch of token sequences."""
    return F.cross_entropy(model(batch["ids"]), batch["label"])


def summed_order_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The same, summed over the sequences."""
    return F.cross_entropy(model(batch["ids"]), batch["label"], reduction="sum")


SUMMED[order_loss] = summed_order_loss


def clipped_then_cleared(loss: Loss) -> Step:
    """A step that clips the norm of the gradient at one and ends in zero_grad."""
    return ClippedThenCleared(loss, 1.0)


FAMILIES_FOURTH: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "tumour_table", "fourth", tasks_fourth.tumours,
            lambda: Network(perceptron([30, 32, 24]), nn.Linear(24, 1)),
            nn.BCEWithLogitsLoss(), sgd(0.03, weight_decay=1e-4), Loading(20), 250, 0.93,
            frozenset({"binary", "floats", "relu", "sgd"}),
        ),
        Family(
            "moved_digits_cnn", "fourth", tasks_fourth.moved_digits,
            lambda: Network(pooled([1, 16, 24], 40, 9), nn.Linear(40, 10)),
            likelihood, adamw(4e-3), Loading(36, form="list"), 400, 0.85,
            frozenset({"classes", "floats", "images", "relu", "adam"}),
        ),
        Family(
            "coloured_digits_cnn", "fourth", tasks_fourth.coloured_digits,
            lambda: Network(pairs_of_convolutions([3, 12, 20]), nn.Linear(20, 10)),
            "cross_entropy", sgd(0.05, weight_decay=5e-4), Loading(50), 160, 0.90,
            frozenset({"classes", "floats", "images", "channels", "relu", "batchnorm", "norm", "sgd"}),
        ),
        Family(
            "token_order_lstm", "fourth", tasks_fourth.token_order,
            lambda: Network(TokenRecurrence(tasks_fourth.TOKENS, 12, 28), nn.Linear(28, 4)),
            order_loss, adam(1e-2), Loading(40, form="dictionary", keys=("ids", "label")), 300, 0.95,
            frozenset({"classes", "recurrent", "embedding", "dictionary", "adam"}), clipped_then_cleared,
        ),
        Family(
            "event_transformer", "fourth", tasks_fourth.event_order,
            lambda: Network(SignalEncoder(6, 10, 32, 2), nn.Linear(32, 6)),
            nn.CrossEntropyLoss(), adamw(3e-3), Loading(32), 450, 0.90,
            frozenset({"classes", "floats", "relu", "norm", "attention", "adam"}),
        ),
        Family(
            "denoising_digits", "fourth", tasks_fourth.noisy_digits,
            lambda: Network(denoiser(12, 20, 64), nn.Linear(64, 64)),
            F.smooth_l1_loss, adam(4e-3), Loading(48), 300, 0.65,
            frozenset({"regression", "floats", "images", "relu", "adam"}),
        ),
    )
}  # fmt: skip
