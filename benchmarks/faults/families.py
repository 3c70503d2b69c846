"""Fourteen families of networks on small tasks, each with a healthy default that is validated by outcome.

Held-out score of the healthy configuration after ``steps`` steps over ten seeds, measured by ``validate.py``. The
controls of a family count because every seed reaches ``reference``.

====================  ============  ========= ====== ======= ========
family                half          score     median  lowest  highest
====================  ============  ========= ====== ======= ========
mlp_digits            development   accuracy   0.950   0.922    0.969
cnn_digits            development   accuracy   0.964   0.922    0.981
cnn_norm_digits       development   accuracy   0.986   0.942    0.989
gru_rows              development   accuracy   0.964   0.950    0.981
transformer_tokens    development   accuracy   0.992   0.975    1.000
autoencoder_digits    development   R^2        0.746   0.695    0.793
regression_waves      development   R^2        0.960   0.945    0.970
residual_digits       held out      accuracy   0.978   0.967    0.981
language_model        held out      accuracy   0.760   0.760    0.760
regression_friedman   held out      R^2        0.916   0.896    0.926
conv_shapes           held out      accuracy   1.000   1.000    1.000
mlp_moons             held out      accuracy   0.997   0.977    1.000
lstm_frequencies      held out      accuracy   1.000   1.000    1.000
deep_mlp_shapes       held out      accuracy   0.989   0.919    1.000
====================  ============  ========= ====== ======= ========
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import tasks
from .case import Case, Loading, Loss, Step, Task
from .networks import Network, Recurrent, Tokens, convolutions, convolutions_in_time, perceptron, residual_body

Optimizer = Callable[[Any], torch.optim.Optimizer]


@dataclass(frozen=True)
class Family:
    """A network, a task and a healthy way to train it.

    ``traits`` are what faults ask for: "classes" (a cross-entropy over classes), "regression", "column" (one target),
    "binary", "floats" (inputs that are no tokens), "images", "relu", "batchnorm", "norm" (any norm layer with gains),
    "residual", "recurrent", "attention", "embedding", "language", "sgd", "adam"; in the third half also "channels" (of
    several inputs), "pixels" (a class each), "padded" and "dictionary" (batches). ``step`` makes a step of the user's
    own from the loss.
    """

    name: str
    half: str
    task: Callable[[], Task]
    model: Callable[[], nn.Module]
    loss: Loss
    optimizer: Optimizer
    loading: Loading
    steps: int
    reference: float
    traits: frozenset[str]
    step: Callable[[Loss], Step] | None = None

    def build(self, seed: int) -> Case:
        """The healthy case of one seed: the weights and the order of the data depend on it."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.model().train()
        task = self.task()
        loading = Loading(self.loading.batch, form=self.loading.form, seed=1000 + seed, keys=self.loading.keys)
        return Case(
            family=self.name,
            seed=seed,
            model=model,
            loader=loading.loader(task.inputs, task.targets),
            loss=self.loss,
            optimizer=self.optimizer(model.parameters()),
            task=task,
            loading=loading,
            traits=self.traits,
            steps=self.steps,
            step=None if self.step is None else self.step(self.loss),
        )


def sgd(lr: float, momentum: float = 0.9, **options: Any) -> Optimizer:
    """A maker of SGD."""
    return lambda parameters: torch.optim.SGD(parameters, lr=lr, momentum=momentum, **options)


def adam(lr: float) -> Optimizer:
    """A maker of Adam."""
    return lambda parameters: torch.optim.Adam(parameters, lr=lr)


def adamw(lr: float) -> Optimizer:
    """A maker of AdamW."""
    return lambda parameters: torch.optim.AdamW(parameters, lr=lr, weight_decay=0.01)


def language_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Cross-entropy of the next tokens over all places."""
    logits = model(batch["input_ids"])
    return F.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())


LANGUAGE_KEYS = ("input_ids", "labels")

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "mlp_digits", "development", tasks.digits, lambda: Network(perceptron([64, 64, 48, 48]), nn.Linear(48, 10)),
            "cross_entropy", sgd(0.02), Loading(32), 250, 0.90,
            frozenset({"classes", "floats", "images", "relu", "sgd"}),
        ),
        Family(
            "cnn_digits", "development", tasks.digits,
            lambda: Network(convolutions([1, 8, 16, 16, 24], norm=False), nn.Linear(96, 10)),
            nn.CrossEntropyLoss(), sgd(0.03), Loading(32), 250, 0.90,
            frozenset({"classes", "floats", "images", "relu", "sgd"}),
        ),
        Family(
            "cnn_norm_digits", "development", tasks.digits,
            lambda: Network(convolutions([1, 8, 16, 16, 24], norm=True), nn.Linear(96, 10)),
            "cross_entropy", sgd(0.02), Loading(64, form="list"), 150, 0.90,
            frozenset({"classes", "floats", "images", "relu", "batchnorm", "norm", "sgd"}),
        ),
        Family(
            "gru_rows", "development", tasks.digit_rows,
            lambda: Network(Recurrent(nn.GRU(8, 32, batch_first=True)), nn.Linear(32, 10)),
            "cross_entropy", adam(5e-3), Loading(32), 250, 0.90,
            frozenset({"classes", "floats", "recurrent", "adam"}),
        ),
        Family(
            "transformer_tokens", "development", tasks.frequent_tokens,
            lambda: Network(Tokens(20, 12, 32, 2, causal=False), nn.Linear(32, 6)),
            F.cross_entropy, adamw(3e-3), Loading(32), 200, 0.93,
            frozenset({"classes", "norm", "attention", "embedding", "adam"}),
        ),
        Family(
            "autoencoder_digits", "development", tasks.digit_copies,
            lambda: Network(perceptron([64, 48, 16, 48]), nn.Linear(48, 64)),
            "mse", adam(3e-3), Loading(32), 300, 0.65,
            frozenset({"regression", "floats", "images", "relu", "adam"}),
        ),
        Family(
            "regression_waves", "development", tasks.waves,
            lambda: Network(perceptron([6, 48, 48]), nn.Linear(48, 1)),
            nn.MSELoss(), sgd(0.03), Loading(32, form="list"), 300, 0.90,
            frozenset({"regression", "column", "floats", "relu", "sgd"}),
        ),
        Family(
            "residual_digits", "held out", tasks.digits,
            lambda: Network(residual_body(12, 2), nn.Linear(48, 10)),
            nn.CrossEntropyLoss(), sgd(0.02, nesterov=True), Loading(48), 150, 0.93,
            frozenset({"classes", "floats", "images", "relu", "batchnorm", "norm", "residual", "sgd"}),
        ),
        Family(
            "lstm_frequencies", "held out", tasks.frequencies,
            lambda: Network(Recurrent(nn.LSTM(2, 32, batch_first=True)), nn.Linear(32, 4)),
            "cross_entropy", adam(5e-3), Loading(32, form="list"), 250, 0.95,
            frozenset({"classes", "floats", "recurrent", "adam"}),
        ),
        Family(
            "language_model", "held out", tasks.chain_text,
            lambda: Network(Tokens(16, 16, 32, 2, causal=True), nn.Linear(32, 16, bias=False)),
            language_loss, adamw(2e-3), Loading(16, form="dictionary", keys=LANGUAGE_KEYS), 150, 0.72,
            frozenset({"classes", "norm", "attention", "embedding", "language", "adam"}),
        ),
        Family(
            "regression_friedman", "held out", tasks.friedman,
            lambda: Network(perceptron([10, 40, 40, 40]), nn.Linear(40, 1)),
            "mse", adam(3e-3), Loading(40), 300, 0.85,
            frozenset({"regression", "column", "floats", "relu", "adam"}),
        ),
        Family(
            "conv_shapes", "held out", tasks.shapes,
            lambda: Network(convolutions_in_time([1, 16, 24, 24]), nn.Linear(24, 5)),
            "cross_entropy", sgd(0.05), Loading(32), 200, 0.95,
            frozenset({"classes", "floats", "norm", "sgd"}),
        ),
        Family(
            "deep_mlp_shapes", "held out", tasks.shapes,
            lambda: Network(perceptron([32, 64, 48, 48, 48, 48]), nn.Linear(48, 5)),
            "cross_entropy", sgd(0.03), Loading(40), 450, 0.90,
            frozenset({"classes", "floats", "relu", "sgd"}),
        ),
        Family(
            "mlp_moons", "held out", tasks.moons,
            lambda: Network(perceptron([2, 32, 32]), nn.Linear(32, 1)),
            nn.BCEWithLogitsLoss(), sgd(0.1), Loading(32, form="list"), 200, 0.95,
            frozenset({"binary", "floats", "relu", "sgd"}),
        ),
    )
}  # fmt: skip
