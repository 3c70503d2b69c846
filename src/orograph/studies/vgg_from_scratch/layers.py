"""What tells starts apart, layer by layer: how spread outputs are, how large gradients, how many units are dead, and
how much of the spread still depends on the image (the ratio r).

Cost: one pass forward and backward over the probe.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from orograph.diagnose.watching import Reading, reading_of, watching

_WEIGHTY = (nn.modules.conv._ConvNd, nn.Linear)


def weighty(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Layers with weights, by name, in the order in which they were made (in a VGG, that in which they run)."""
    return [(name, layer) for name, layer in model.named_modules() if isinstance(layer, _WEIGHTY)]


def look(model: nn.Module, inputs: Tensor, targets: Tensor) -> NDArray[np.float64]:
    """(4, L) of :data:`~orograph.studies.vgg_from_scratch.trial.QUANTITIES`, without dropout.

    ``inputs`` (n, ...) and class numbers ``targets`` (n,). Dead units are those of the activation behind a layer, NaN
    where there is none. Modes come back as they were, and gradients are cleared.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with watching(model, gradients=False) as watch:
            loss = F.cross_entropy(model(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        behind = _activations(watch.readings, {name for name, _ in weighty(model)})
        by_name = {reading.layer: reading for reading in watch.readings}
        rows = [_row(by_name[name], behind.get(name), layer, len(inputs)) for name, layer in weighty(model)]
    finally:
        for module, training in modes:
            module.training = training
        for parameter in model.parameters():
            parameter.grad = None
    return np.array(rows, dtype=np.float64).T


def _row(reading: Reading, activation: Reading | None, layer: nn.Module, examples: int) -> tuple[float, ...]:
    found = reading_of(reading, examples)
    gradient = layer.get_parameter("weight").grad
    largest = float("nan") if gradient is None else float(gradient.abs().max())
    dead = float("nan") if activation is None else reading_of(activation, examples).dead
    return found.std, largest, dead, found.between


def _activations(readings: list[Reading], layers: set[str]) -> dict[str, Reading]:
    """The first ReLU behind each layer with weights, before the next one."""
    found: dict[str, Reading] = {}
    last = ""
    for reading in readings:
        if reading.layer in layers:
            last = reading.layer
        elif last and reading.kind == "ReLU":
            found.setdefault(last, reading)
    return found


@torch.no_grad()
def answers(model: nn.Module, inputs: Tensor, *, size: int = 256) -> Tensor:
    """(n, classes) logits on the CPU, without dropout; ``inputs`` may lie elsewhere than the network."""
    place = next(model.parameters()).device
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        return torch.cat([model(part.to(place)).float().cpu() for part in torch.split(inputs, size)])
    finally:
        for module, training in modes:
            module.training = training
