"""Starts of studies of learned initial scales: the scales themselves, simpler ones, and compute in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from orograph.data import Data
from orograph.initialize.global_scale import global_scale
from orograph.objective.criterion import LossFunction
from orograph.results import LearnedScales, Run
from orograph.train import Recipe, Streams, fit
from orograph.train.batches import steps_per_epoch


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


def steps_worth(learned: LearnedScales) -> int:
    """k: what learning the scales cost, in whole plain training iterations."""
    return max(round(learned.iterations_worth), 1)


def train_before(
    network: nn.Module,
    data: Data,
    recipe: Recipe,
    streams: Streams,
    steps: int,
    *,
    rising: bool,
    device: str,
    out: Path | None = None,
    loss: str | LossFunction | None = None,
) -> Run:
    """Train ``network`` in place for ``steps`` iterations before its run, at the recipe's highest rate.

    The rate is constant, or ``rising`` to it linearly. Data order and augmentation are of their own, so that the run
    after it sees what those of other starts see. Raises Diverged.
    """
    epochs = steps / steps_per_epoch(data.train, recipe)
    brief = replace(
        recipe,
        epochs=epochs,
        schedule="constant",
        warmup=epochs if rising else 0.0,
        measure_every=epochs,
        checkpoints=(),
    )
    other = replace(streams, order=streams.order + 1, augmentation=streams.augmentation + 1)
    shared: dict[str, Any] = {"device": device, "out": out, "loss": loss, "name": "before"}
    return fit(network, data, brief, seed=other, test=False, **shared)
