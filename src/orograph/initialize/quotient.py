r"""MetaInit's gradient quotient: how far one step of gradient descent changes the gradient, entry by entry.

.. math::

   GQ = \frac{1}{N} \sum_i \left| \frac{g_i - (Hg)_i}{g_i + \varepsilon\,\mathrm{sgn}(g_i)} - 1 \right|, \qquad
   Hg = \nabla_\theta \tfrac12 |g|^2

over all N entries of all parameters, with sgn(0) = 1. Yann Dauphin, Samuel Schoenholz. MetaInit: Initializing learning
by learning to initialize. NeurIPS 2019, equation 3. Its derivative is of third order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from orograph.initialize.scales import ScaledNetwork


def quotient(
    network: ScaledNetwork, tensors: Sequence[Tensor], batch: Any, eps: float = 1e-5
) -> tuple[Tensor, float, float]:
    """GQ at ``tensors``, differentiable; the loss and the gradient's norm there."""
    loss = network.loss(tensors, batch)
    gradients = _or_zero(torch.autograd.grad(loss, tensors, create_graph=True, allow_unused=True), tensors)
    squared = torch.stack([gradient.square().sum() for gradient in gradients]).sum()
    products = _or_zero(_gradients(squared / 2, tensors, create_graph=True), tensors)
    terms = []
    for gradient, product in zip(gradients, products, strict=True):
        sign = torch.where(gradient.detach() < 0, -1.0, 1.0).to(gradient.dtype)
        terms.append(((gradient - product) / (gradient + eps * sign) - 1).abs().sum())
    total = sum(tensor.numel() for tensor in tensors)
    return torch.stack(terms).sum() / total, float(loss.detach()), float(squared.detach().sqrt())


def quotient_by_scale(
    network: ScaledNetwork, scales: Sequence[float], batch: Any, eps: float = 1e-5
) -> tuple[float, list[float], float, float]:
    """GQ at some scales, its derivatives by them, the loss and the gradient's norm."""
    tensors = network.at(scales)
    value, loss, norm = quotient(network, tensors, batch, eps)
    derivative = network.by_scale(_gradients(value, tensors))
    return float(value.detach()), derivative, loss, norm


def _gradients(value: Tensor, tensors: Sequence[Tensor], *, create_graph: bool = False) -> Sequence[Tensor | None]:
    """Derivatives of ``value``; none where the loss is linear, so that its gradient is a constant."""
    if not value.requires_grad:
        return [None] * len(tensors)
    return torch.autograd.grad(value, tensors, create_graph=create_graph, allow_unused=True)


def _or_zero(found: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(t) if g is None else g for g, t in zip(found, like, strict=True)]
