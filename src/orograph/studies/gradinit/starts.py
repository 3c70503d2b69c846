"""The start that all others build on.

It is what the paper calls Kaiming: He normal by fan-out for convolutions, N(0, 0.01^2) for linear layers, biases
0, norm layers 1 and 0 as they are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from orograph.initialize import Mix, Named, OfType, Rest, apply
from orograph.models import build

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
