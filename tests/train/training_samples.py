"""Small data and networks that the training tests share, and the runs that their child processes are killed in."""

import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from orograph.data import Data
from orograph.results import Run
from orograph.train import Recipe, fit
from orograph.weights import Weights


def blobs(train: int = 60, test: int = 30, classes: int = 3, features: int = 4) -> Data:
    """Well separated Gaussian clouds, one for each class."""
    generator = torch.Generator().manual_seed(0)
    centres = 3 * torch.randn(classes, features, generator=generator)

    def draw(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.arange(n) % classes
        return centres[labels] + torch.randn(n, features, generator=generator), labels

    return Data.from_tensors(draw(train), draw(test))


def pictures(train: int = 41, test: int = 20) -> Data:
    """Random pictures of 2 x 6 x 6 whose class is the sign of their mean."""
    images = torch.randn(train + test, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    labels = (images.mean((1, 2, 3)) > 0).long()
    return Data.from_tensors((images[:train], labels[:train]), (images[train:], labels[train:]))


def initialised(model: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5)
            elif parameter.dim() == 1:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator) + 0.5)
    return model


def dense(seed: int = 0, dropout: float = 0.0) -> nn.Module:
    return initialised(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 3)), seed)


def convolutional(seed: int = 0) -> nn.Module:
    layers = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2)
    return initialised(nn.Sequential(*layers, nn.Linear(4 * 36, 2)), seed)


SHORT: dict[str, Recipe] = {
    "convolutional": Recipe(
        epochs=3, batch_size=8, lr=0.05, nesterov=True, warmup=0.5, crop=1, flip=True, cutout=2, measure_every=0.6,
        checkpoints=(0.5, 1.7), clip_norm=2.0,
    ),
    "dense": Recipe(
        epochs=2.5, batch_size=16, lr=0.02, optimizer="adam", schedule="one-cycle", checkpoint_accuracies=(0.4, 0.9),
        decay_norm_and_bias=False,
    ),
    "decoupled": Recipe(epochs=2, batch_size=16, lr=0.02, optimizer="adamw", schedule="step", label_smoothing=0.1),
}  # fmt: skip


def sample(kind: str) -> tuple[nn.Module, Data]:
    if kind == "convolutional":
        return convolutional(), pictures()
    return dense(dropout=0.3), blobs()


def same_run(left: Run, right: Run) -> None:
    """Assert that both recorded the same numbers and kept the same weights, bit for bit; paths may differ."""
    for name in ("epochs", "steps", "train_loss", "train_accuracy", "test_loss", "learning_rate", "gradient_norm",
                 "weight_norm", "distance_from_start", "test_accuracy"):  # fmt: skip
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
    assert [(c.step, c.epoch, c.test_accuracy) for c in left.checkpoints] == [
        (c.step, c.epoch, c.test_accuracy) for c in right.checkpoints
    ]
    for one, other in zip(left.checkpoints, right.checkpoints, strict=True):
        assert weights_of(one).fingerprint() == weights_of(other).fingerprint(), f"checkpoint at step {one.step}"


def weights_of(checkpoint) -> Weights:
    return checkpoint.weights if checkpoint.weights is not None else Weights.load(checkpoint.path)


def train_slowly(kind: str, out: Path, pause: float, may_end: bool) -> None:
    """What a child process does until it is killed; unless it may end, it waits at its last step for that."""
    torch.set_num_threads(1)
    model, data = sample(kind)

    def progress(done: int, total: int) -> None:
        time.sleep(pause if done < total or may_end else 120)

    fit(model, data, SHORT[kind], seed=5, out=out, snapshot_every=0.2, progress=progress)
