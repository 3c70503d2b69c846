"""Whether everything that a network knows of an example passes one of its layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from orograph.basics.seeds import reseed
from orograph.diagnose.patient import Copy, Patient
from orograph.diagnose.watching import first_tensor
from orograph.initialize.probing import probing

_LEFT = 0.01  # of the spread of outputs, that may come past the layer


def all_passes(patient: Patient, layer: str) -> bool:
    """Whether outputs are alike for all examples when those of ``layer`` are (the mean over the batch). False where
    that cannot be asked, and where these are the outputs themselves."""
    try:
        with patient.copy(own_step=False) as made, probing(made.model), torch.no_grad():
            own: list[Tensor] = []
            one = made.model.get_submodule(layer)
            made.handles.append(one.register_forward_hook(lambda module, args, output: own.append(output)))
            usual, outputs = _spread(made, patient.batches[0])
            if any(output.shape == outputs.shape and torch.equal(output, outputs) for output in own):
                return False
            made.handles.append(one.register_forward_hook(_level))
            levelled, _ = _spread(made, patient.batches[0])
    except Exception:  # a network or loss that cannot take such, or whose outputs are no examples'
        return False
    return not levelled > _LEFT * usual


def _level(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return output.mean(0, keepdim=True).expand_as(output)


def _spread(made: Copy, batch: Any) -> tuple[float, Tensor]:
    """The standard deviation of outputs over examples, and the outputs, in the last pass of the loss."""
    seen: list[Any] = []
    handle = made.model.register_forward_hook(lambda module, args, output: seen.append(output))
    try:
        reseed(0, next(made.model.parameters()).device.type)
        made.loss(made.model, made.change(batch))
    finally:
        handle.remove()
    found = first_tensor(seen[-1])
    if found is None or found.dim() == 0:
        raise ValueError("no outputs by example")
    return float(found.float().std(0, correction=0).mean()), found
