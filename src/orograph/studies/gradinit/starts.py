"""The starts that are compared: the base initialisation, learned scales on it, and simpler scales on it.

The base is what the paper calls Kaiming: He normal by fan-out for convolutions, N(0, 0.01^2) for linear layers, biases
0, norm layers 1 and 0 as they are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from orograph.initialize import Mix, Named, OfType, Rest, apply
from orograph.initialize.global_scale import global_scale
from orograph.models import build
from orograph.results import LearnedScales

# The classifier of orograph's VGG is a convolution of one pixel; the authors' is linear, and drawn as such.
KAIMING = Mix.of(
    (Named("head.fc*"), "normal(0.01)"),
    (OfType("_ConvNd"), "he-normal-fan-out"),
    (Rest(), "normal(0.01)"),
    name="kaiming",
)


def at_base(model: Mapping[str, Any], data: Any, seed: int) -> nn.Module:
    """The network ``{"name", "options"}`` for ``data``, on the CPU, at the base initialisation drawn from ``seed``."""
    network = build(model["name"], data, seed=seed, **model["options"])
    apply(network, KAIMING, seed=seed)
    return network


@torch.no_grad()
def multiply(network: nn.Module, scales: Mapping[str, float]) -> None:
    """Multiply parameters by name, in place; with learned scales, the bits are those of the method itself."""
    own = dict(network.named_parameters())
    for name, scale in scales.items():
        own[name].mul_(scale)


def chosen_scales(kind: str, learned: LearnedScales) -> dict[str, float]:
    """Scales by tensor: ``learned``, ``global`` (the best on the grid) or ``mean`` (their geometric mean).

    The one number of the last two is for weights and gains. A geometric mean that is not finite, where a scale fell to
    0, leaves all as it is.
    """
    if kind == "learned":
        return dict(zip(learned.tensors, map(float, learned.scales), strict=True))
    one = global_scale(learned.controls) if kind == "global" else learned.geometric_mean
    return {
        name: one
        for name, role in zip(learned.tensors, learned.roles, strict=True)
        if role != "bias" and one == one  # NaN is not equal to itself
    }
