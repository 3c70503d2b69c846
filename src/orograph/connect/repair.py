r"""REPAIR: give interpolated networks back the activations' spread that averaging takes (Jordan et al. 2023).

Averaging two units of equal variance and correlation rho leaves the share :math:`(1 - a)^2 + a^2 + 2 a (1 - a) \rho` of
the variance, which ruins deep interpolations without batch norm. For the output of each linear or convolutional layer
the targets are

.. math:: \mu = (1 - a) \mu_A + a \mu_B, \qquad \sigma = (1 - a) \sigma_A + a \sigma_B

(standard deviations, not variances). One pass measures the interpolated network's own figures from the input onwards,
each layer corrected as it goes; the correction is folded into weight and bias. Layers above saw each batch's own
figures, so batches are large. Networks with batch norm need none of this: re-estimated statistics do it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from orograph.objective.example import inputs_of, run
from orograph.objective.workspace import Workspace
from orograph.weights import Weights

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
Figures = tuple[Tensor, Tensor]  # means and standard deviations of a layer's outputs, each (channels,)


class Repair:
    """The repaired straight line from ``a`` to ``b``, by figures on up to ``count`` training examples."""

    def __init__(self, model: nn.Module, a: Weights, b: Weights, examples: Any, *, count: int = 1024) -> None:
        self.model, self.a, self.b = model, a, b
        self.inputs = inputs_of(examples, count, a.vector.device, a.layout.dtype)
        names = a.named_tensors()
        self.layers = {
            name: module
            for name, module in model.named_modules()
            if isinstance(module, _LAYERS) and f"{name}.weight".lstrip(".") in names
        }
        self._workspace = Workspace(model, a.layout, a.vector.device, a.layout.dtype)
        self._ends = [self._measured(end, lambda name, outputs: outputs) for end in (a, b)]

    def at(self, t: float) -> Weights:
        """The repaired network at ``t``; the ends as they are."""
        if t in (0.0, 1.0):
            return self.b if t else self.a
        point = self.a.with_vector(torch.lerp(self.a.vector, self.b.vector, t))
        targets = {name: self._target(name, t) for name in self._ends[0]}
        own = self._measured(point, lambda name, outputs: _corrected(outputs, targets[name]))
        repaired = point.copy()
        tensors = repaired.named_tensors()
        for name, (mean, deviation) in own.items():
            wanted_mean, wanted = targets[name]
            factor = torch.where(deviation > 0, wanted / deviation, torch.ones_like(deviation))
            weight, bias = tensors[_of(name, "weight")], tensors.get(_of(name, "bias"))
            weight.mul_(factor.view(-1, *([1] * (weight.dim() - 1))))
            if bias is not None:  # without one only the spread can be mended
                bias.copy_((bias - mean) * factor + wanted_mean)
        return repaired

    def _target(self, name: str, t: float) -> Figures:
        (mean_a, deviation_a), (mean_b, deviation_b) = self._ends[0][name], self._ends[1][name]
        return torch.lerp(mean_a, mean_b, t), torch.lerp(deviation_a, deviation_b, t)

    def _measured(self, point: Weights, passed_on: Callable[[str, Tensor], Tensor]) -> dict[str, Figures]:
        """Figures of every layer's outputs at ``point``; what a layer hands on is ``passed_on(name, outputs)``."""
        found: dict[str, Figures] = {}

        def hook(name: str) -> Callable[..., Tensor]:
            def measure(layer: nn.Module, inputs: Any, outputs: Tensor) -> Tensor:
                found[name] = _figures(layer, outputs)
                return passed_on(name, outputs)

            return measure

        handles = [layer.register_forward_hook(hook(name)) for name, layer in self.layers.items()]
        try:
            with self._workspace as workspace, torch.no_grad():
                workspace.put(point)
                run(self.model, self.inputs)
        finally:
            for handle in handles:
                handle.remove()
        return found


def _figures(layer: nn.Module, outputs: Tensor) -> Figures:
    axis = -1 if isinstance(layer, nn.Linear) else 1
    rows = outputs.movedim(axis, 0).flatten(1)
    return rows.mean(1), rows.std(1, correction=0)


def _corrected(outputs: Tensor, target: Figures) -> Tensor:
    """Outputs with the target's figures; the channels are found by their number."""
    mean, deviation = target
    axis = -1 if outputs.shape[-1] == len(mean) and outputs.dim() != 4 else 1
    rows = outputs.movedim(axis, -1)
    flat = rows.reshape(-1, rows.shape[-1])
    own_mean, own = flat.mean(0), flat.std(0, correction=0)
    factor = torch.where(own > 0, deviation / own, torch.ones_like(own))
    return ((rows - own_mean) * factor + mean).movedim(-1, axis)


def _of(module: str, parameter: str) -> str:
    return f"{module}.{parameter}".lstrip(".")
