r"""GradInit's problem: the loss after one step of the optimiser, while the gradient stays short.

.. math::

   \min_m L(\tilde S; \theta_m - \eta A[g]) \quad\text{subject to}\quad |g|_p \le \gamma, \qquad
   g = \nabla_\theta L(S; \theta_m), \quad \theta_m = \{m_i W_i\}

with A[g] = g (or g / |g|_2) and p = 2 for SGD, A[g] = sign(g) and p = 1 for Adam. Chen Zhu, Renkun Ni, Zheng Xu, Kezhi
Kong, W. Ronny Huang, Tom Goldstein. GradInit: Learning to Initialize Neural Networks for Stable and Efficient Training.
NeurIPS 2021, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from orograph.basics.errors import UsageError
from orograph.initialize.scales import ScaledNetwork

Stepper = Literal["sgd", "adam"]


def bound(gamma: float | str, optimizer: str, lr: float) -> float:
    """The longest gradient allowed; "auto" by the paper's rule. Raises UsageError for options out of range."""
    if optimizer not in ("sgd", "adam"):
        told = repr(optimizer) if isinstance(optimizer, str) else f"a {type(optimizer).__name__}"
        raise UsageError(f"gradinit looks ahead by sgd or adam, named as text, not {told}")
    if not (isinstance(lr, (int, float)) and 0 < lr < math.inf):
        raise UsageError(f"lr is the rate of the training to come, above 0, not {lr!r}")
    if gamma == "auto":
        return 0.1 / lr if optimizer == "adam" else math.sqrt(0.1 / lr)
    if not isinstance(gamma, (int, float)) or not gamma > 0:
        raise UsageError(f"gamma is the longest gradient allowed, above 0, or 'auto', not {gamma!r}")
    return float(gamma)


@dataclass(frozen=True, eq=False)
class Slope:
    """The gradient of a batch at some scales: ``gradients`` by each tensor, their ``norm``, and the ``loss``."""

    tensors: list[Tensor]
    gradients: list[Tensor]
    norm: Tensor
    loss: float

    @property
    def length(self) -> float:
        """The norm as a number."""
        return float(self.norm.detach())

    @property
    def finite(self) -> bool:
        """Whether loss and norm are numbers."""
        return math.isfinite(self.loss) and math.isfinite(self.length)


class Lookahead:
    """The parts of GradInit's problem at given scales, each with its derivative by them."""

    def __init__(self, network: ScaledNetwork, optimizer: Stepper, lr: float, *, normalise: bool) -> None:
        self.network = network
        self._optimizer, self._lr, self._normalise = optimizer, lr, normalise

    def slope(self, scales: Sequence[float], batch: Any, *, graph: bool = False) -> Slope:
        """The gradient of ``batch``; with ``graph`` its norm can be differentiated.

        One pass forward and one backward.
        """
        tensors = self.network.at(scales)
        loss = self.network.loss(tensors, batch)
        found = torch.autograd.grad(loss, tensors, create_graph=graph, allow_unused=True)
        gradients = [torch.zeros_like(t) if g is None else g for g, t in zip(found, tensors, strict=True)]
        order = 1 if self._optimizer == "adam" else 2
        norms = torch.stack([torch.linalg.vector_norm(gradient, order) for gradient in gradients])
        return Slope(tensors, gradients, torch.linalg.vector_norm(norms, order), float(loss.detach()))

    def constraint(self, slope: Slope) -> list[float]:
        """The derivative of the norm of a slope with a graph. About two passes forward and two backward."""
        if not slope.norm.requires_grad:  # the loss is linear, so no scale changes its gradient
            return self.network.by_scale([None] * len(slope.tensors))
        return self.network.by_scale(torch.autograd.grad(slope.norm, slope.tensors, allow_unused=True))

    def ahead(self, slope: Slope, batch: Any, *, derivative: bool = True) -> tuple[float, list[float]]:
        """The loss of ``batch`` after the step down ``slope``, and its derivative with A[g] held fast."""
        with torch.no_grad():
            moved = [
                tensor.detach() - self._lr * step for tensor, step in zip(slope.tensors, self._step(slope), strict=True)
            ]
        if not derivative:
            with torch.no_grad():
                return float(self.network.loss(moved, batch)), []
        tensors = [tensor.requires_grad_() for tensor in moved]
        loss = self.network.loss(tensors, batch)
        found = torch.autograd.grad(loss, tensors, allow_unused=True)
        return float(loss.detach()), self.network.by_scale(found)

    def _step(self, slope: Slope) -> list[Tensor]:
        if self._optimizer == "adam":
            return [gradient.detach().sign() for gradient in slope.gradients]
        if not self._normalise:
            return [gradient.detach() for gradient in slope.gradients]
        length = slope.norm.detach().clamp_min(1e-12)
        return [gradient.detach() / length for gradient in slope.gradients]
