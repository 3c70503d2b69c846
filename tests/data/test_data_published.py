"""The published data sets themselves, where they lie under $OROGRAPH_DATA."""

import os
from pathlib import Path

import pytest
import torch

from orograph.data import load
from orograph.data.sources import SOURCES

ROOT = Path(os.environ.get("OROGRAPH_DATA", "/nonexistent"))


@pytest.mark.parametrize(
    ("name", "train", "shape", "mean", "std"),
    [
        ("mnist", 60_000, (1, 28, 28), (0.1307,), (0.3081,)),
        ("fashion-mnist", 60_000, (1, 28, 28), (0.2860,), (0.3530,)),
        ("cifar10", 50_000, (3, 32, 32), (0.491, 0.482, 0.447), (0.246, 0.243, 0.261)),
        ("svhn", 73_257, (3, 32, 32), (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
        ("tiny-imagenet", 100_000, (3, 64, 64), (0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821)),
    ],
)
def test_published_data_have_their_published_statistics(name, train, shape, mean, std) -> None:
    if all(SOURCES[name].missing(ROOT / folder) for folder in SOURCES[name].folders):
        pytest.skip(f"$OROGRAPH_DATA has no {name}")
    data = load(name, root=ROOT, download=False, train_size=train // 50)
    assert (len(data.train), data.input_shape) == (train // 50, shape)
    assert data.mean == pytest.approx(mean, abs=1.5e-3)
    assert data.std == pytest.approx(std, abs=1.5e-3)
    assert data.train.targets is not None
    if name not in ("mnist", "svhn"):  # the others have equally many of each class
        assert torch.bincount(data.train.targets).tolist() == [train // 50 // data.classes] * data.classes
