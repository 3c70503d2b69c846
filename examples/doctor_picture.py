"""The picture of the doctor in the README: what layers put out, and their gradients, over the steps of a healthy run.

python examples/doctor_picture.py docs/images/doctor.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

import orograph as og


def draw(path: Path, steps: int = 120) -> None:
    """Examine a small convolutional network on the digits and draw its histograms side by side."""
    data = og.data.load("digits")
    model = og.models.build("convnet", data, seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    found = og.diagnose.doctor(model, data, optimizer=optimizer, steps=steps)
    assert found.activations is not None
    assert found.gradients is not None
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    found.activations.plot(left)
    left.set_title("what each layer puts out")
    found.gradients.plot(right)
    right.set_title("gradients")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
