"""Gradients held against the loss itself: whether it changes along them as they say, and whether all of them comes by
way of the outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from orograph.basics.seeds import reseed
from orograph.diagnose.dense import dense
from orograph.diagnose.patient import Copy
from orograph.initialize.probing import probing

_TENSORS = 6
_EXPECTED = 0.02  # the share of the loss by which a step along the gradient should change it


def slopes(made: Copy, batch: Any) -> dict[str, float]:
    """Central differences of the loss along the gradients of some weights, over what these gradients promise: 1 where
    they are right, 0 and below where they are not. Of weights whose promise can be measured; dropout is off."""
    found: dict[str, float] = {}
    named = [(n, p) for n, p in made.model.named_parameters() if p.requires_grad and p.dim() > 1]
    named = named[:: max(len(named) // _TENSORS, 1)][:_TENSORS]
    with probing(made.model):
        try:
            loss = _loss(made, batch)
            value = abs(float(loss.detach()))
            gradients = torch.autograd.grad(loss, [p for _, p in named], allow_unused=True)
            if not math.isfinite(value) or value == 0:
                return {}
            for (name, parameter), gradient in zip(named, gradients, strict=True):
                ratio = None if gradient is None else _ratio(made, batch, parameter, dense(gradient), value)
                if ratio is not None:
                    found[name] = ratio
        except Exception:  # a loss that cannot be taken so
            return {}
    return found


def _loss(made: Copy, batch: Any) -> Tensor:
    """With the same random numbers each time."""
    reseed(0, next(made.model.parameters()).device.type)
    return made.loss(made.model, made.change(batch))


@torch.no_grad()
def _ratio(made: Copy, batch: Any, parameter: Tensor, gradient: Tensor, value: float) -> float | None:
    slope, size = float(gradient.float().norm()), float(parameter.float().norm())
    if not slope > 0 or not size > 0 or gradient.shape != parameter.shape:
        return None
    far = min(_EXPECTED * value / slope, 0.1 * size)
    if far * slope < 1e-4 * value:  # less than rounding leaves of it
        return None
    kept, direction = parameter.clone(), gradient / slope
    found = []
    try:
        for step in (far, far / 4):  # a loss that is bent too sharply says nothing
            losses = []
            for sign in (1.0, -1.0):
                parameter.copy_(kept + sign * step * direction)
                losses.append(float(_loss(made, batch)))
            found.append((losses[0] - losses[1]) / (2 * step * slope))
    finally:
        parameter.copy_(kept)
    return found[0] if abs(found[0] - found[1]) <= 0.3 * abs(found[0]) else None


def beside(whole: Mapping[str, Tensor], outputs: Tensor, pull: Tensor, parameters: Mapping[str, Tensor]) -> float:
    """How large gradients are that do not come by way of the outputs (``pull`` is the loss's by them), over those that
    do; NaN where the graph is gone. Parameters that outputs do not depend on, as those of the loss, are left out."""
    names = [name for name in whole if name in parameters]
    try:
        through: tuple[Tensor | None, ...] = torch.autograd.grad(
            outputs, [parameters[n] for n in names], grad_outputs=pull, allow_unused=True
        )
    except RuntimeError:
        return math.nan
    other = own = 0.0
    for name, part in zip(names, through, strict=True):
        if part is None:
            continue
        by_outputs = dense(part)
        other += float((dense(whole[name]) - by_outputs).float().square().sum())
        own += float(by_outputs.float().square().sum())
    return math.sqrt(other / own) if own > 0 else math.nan
