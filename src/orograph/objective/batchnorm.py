r"""Batch-norm statistics at a point of weight space.

Between two networks the running statistics of neither belong to the weights. ``recalibrate`` estimates them anew at
each point from a fixed, capped set of training examples. With batches b of m_b values per channel, batch means and
(biased) variances pool exactly, in float64:

.. math:: \mu = \sum m_b \mu_b / \sum m_b, \qquad
          \sigma^2 = \sum m_b (\sigma_b^2 + (\mu_b - \mu)^2) / \sum m_b

so every sample weighs the same, short last batch included, and the variance between batches counts. Layers further up
saw per-batch statistics of those below, so the batch size is part of the policy. Cost: one forward pass over the set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from orograph.basics.errors import UsageError

Policy = Literal["frozen", "recalibrate", "batch"]
POLICIES: tuple[Policy, ...] = ("frozen", "recalibrate", "batch")


def tracking_layers(module: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The batch-norm layers that keep running statistics; only these take part in any policy."""
    return [
        layer
        for layer in module.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is not None
    ]


class Recalibration:
    """Re-estimate the running statistics of ``layers`` by passing batches through the network.

    The layers run in batch mode (everything else, dropout included, in evaluation mode) with momentum 1, so that after
    each batch their running buffers are that batch's own statistics; those are pooled. No second reduction over the
    activations is needed.
    """

    def __init__(self, layers: list[nn.modules.batchnorm._BatchNorm]) -> None:
        self.layers = layers

    def __call__(self, forward: Callable[[Any], Any], batches: Iterable[Any]) -> None:
        """Run ``forward`` on each batch and leave the pooled statistics in the layers' running buffers."""
        counts: dict[int, int] = {}

        def count(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            counts[id(layer)] = inputs[0].numel() // inputs[0].shape[1]

        pools = [_Pool() for _ in self.layers]
        momenta = [layer.momentum for layer in self.layers]
        hooks = [layer.register_forward_pre_hook(count) for layer in self.layers]
        try:
            for layer in self.layers:
                layer.training, layer.momentum = True, 1.0
            for batch in batches:
                counts.clear()
                forward(batch)
                for layer, pool in zip(self.layers, pools, strict=True):
                    if id(layer) in counts:  # a branch that this batch did not take tells nothing
                        pool.add(layer, counts[id(layer)])
        finally:
            for layer, hook, momentum in zip(self.layers, hooks, momenta, strict=True):
                hook.remove()
                layer.training, layer.momentum = False, momentum
        for layer, pool in zip(self.layers, pools, strict=True):
            pool.store(layer)


class _Pool:
    """Weighted mean and between-and-within variance of one layer, merged batch by batch (Chan et al. 1979)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Tensor | None = None
        self.spread: Tensor | None = None  # sum of squared deviations from the mean

    def add(self, layer: nn.modules.batchnorm._BatchNorm, count: int) -> None:
        assert layer.running_mean is not None
        assert layer.running_var is not None
        if count < 2:
            raise UsageError("batch-norm recalibration needs at least two values per channel; use larger batches")
        mean = layer.running_mean.to(torch.float64, copy=True)  # the next batch overwrites the buffer
        spread = layer.running_var.double() * (count - 1)  # torch keeps the unbiased variance
        if self.mean is None or self.spread is None:
            self.count, self.mean, self.spread = count, mean, spread
            return
        total = self.count + count
        shift = mean - self.mean
        self.mean = self.mean + shift * (count / total)
        self.spread = self.spread + spread + shift.square() * (self.count * count / total)
        self.count = total

    def store(self, layer: nn.modules.batchnorm._BatchNorm) -> None:
        if self.mean is not None and self.spread is not None:
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.copy_(self.mean)
            layer.running_var.copy_(self.spread / self.count)


class BatchMode:
    """The policy ``batch``: layers use each evaluation batch's own statistics, and keep their running ones."""

    def __init__(self, layers: list[nn.modules.batchnorm._BatchNorm]) -> None:
        self.layers = layers
        self.momenta: list[float | None] = []

    def __enter__(self) -> None:
        self.momenta = [layer.momentum for layer in self.layers]
        for layer in self.layers:
            layer.training, layer.momentum = True, 0.0

    def __exit__(self, *_: object) -> None:
        for layer, momentum in zip(self.layers, self.momenta, strict=True):
            layer.training, layer.momentum = False, momentum


def policy_of(module: nn.Module, requested: Policy | None, *, has_calibration: bool) -> Policy:
    """The policy to use: as requested, else ``recalibrate`` where there is batch norm and calibration data.

    Networks without running statistics always get ``frozen``, which then costs and changes nothing.
    """
    if requested is not None and requested not in POLICIES:
        raise UsageError(f"unknown batch-norm policy {requested!r}; use {', '.join(POLICIES)}")
    if not tracking_layers(module):
        return "frozen"
    if requested == "recalibrate" and not has_calibration:
        raise UsageError("batchnorm='recalibrate' needs training examples: pass calibration=data.train")
    return requested or ("recalibrate" if has_calibration else "frozen")
