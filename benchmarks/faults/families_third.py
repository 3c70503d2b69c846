"""Seven families of the third half. Scores of the healthy configuration over ten seeds are in its JSON file."""

from __future__ import annotations

from torch import nn

from . import tasks, tasks_third
from .case import Loading, Loss, Step
from .families import Family, adam, adamw, sgd
from .losses_third import pixel_loss, review_loss
from .networks import Network
from .networks_third import Forecaster, Hourglass, Patches, Reader, lenet, perceptron_with_dropout, separable
from .steps_third import WarmedAndClipped


def warmed_and_clipped(loss: Loss) -> Step:
    """A step with a short warm-up and the norm of the gradient clipped at one."""
    return WarmedAndClipped(loss, 20, 1.0)


FAMILIES_THIRD: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "attributes_mlp", "third", tasks_third.digit_attributes,
            lambda: Network(perceptron_with_dropout([64, 64, 40], 0.1), nn.Linear(40, 4)),
            nn.BCEWithLogitsLoss(), sgd(0.1), Loading(32), 400, 0.95,
            frozenset({"binary", "floats", "images", "relu", "sgd"}),
        ),
        Family(
            "lenet_glyphs", "third", tasks_third.glyphs,
            lambda: Network(lenet(), nn.Linear(48, 6)),
            nn.CrossEntropyLoss(), sgd(0.03), Loading(40), 450, 0.93,
            frozenset({"classes", "floats", "images", "relu", "sgd"}),
        ),
        Family(
            "separable_textures", "third", tasks_third.textures,
            lambda: Network(separable([16, 24, 32]), nn.Linear(32, 6)),
            "cross_entropy", adamw(5e-3), Loading(32, form="list"), 250, 0.90,
            frozenset({"classes", "floats", "images", "channels", "relu", "batchnorm", "norm", "adam"}),
        ),
        Family(
            "lstm_reviews", "third", tasks_third.reviews,
            lambda: Network(Reader(tasks_third.WORDS, 16, 20), nn.Linear(40, 3)),
            review_loss, adam(6e-3), Loading(32, form="dictionary", keys=("tokens", "label")), 300, 0.95,
            frozenset({"classes", "recurrent", "embedding", "padded", "dictionary", "adam"}),
        ),
        Family(
            "vision_transformer", "third", tasks.digits,
            lambda: Network(Patches(8, 4, 32, 2), nn.Linear(32, 10)),
            "cross_entropy", adamw(3e-3), Loading(32), 300, 0.90,
            frozenset({"classes", "floats", "images", "norm", "attention", "adam"}), warmed_and_clipped,
        ),
        Family(
            "gru_sensors", "third", tasks_third.sensors,
            lambda: Network(Forecaster(3, 24), nn.Linear(48, 1)),
            "mse", adam(5e-3), Loading(32), 250, 0.90,
            frozenset({"regression", "column", "floats", "channels", "recurrent", "adam"}),
        ),
        Family(
            "unet_cells", "third", tasks_third.cells,
            lambda: Network(Hourglass(8), nn.Linear(8, 3)),
            pixel_loss, sgd(0.01), Loading(16), 100, 0.95,
            frozenset({"classes", "pixels", "floats", "images", "relu", "batchnorm", "norm", "sgd"}),
        ),
    )
}  # fmt: skip
