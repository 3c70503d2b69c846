"""``gradient_variance``: how much gradients differ from batch to batch at the weights a network has now.

Cost: one forward and one backward pass of every batch; memory for the gradients of all batches.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from orograph.basics.errors import TaskError, UsageError
from orograph.initialize.probing import probing
from orograph.initialize.slots import require_network
from orograph.objective.criterion import Criterion, LossFunction
from orograph.objective.example import failures_told
from orograph.results.gradient_variance import GradientVariance
from orograph.results.provenance import Cost, Provenance


def gradient_variance(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    loss: str | LossFunction = "cross_entropy",
    dropout: bool = False,
    seed: int = 0,
) -> GradientVariance:
    """The gradients of ``batches`` (20 or more, on the network's device) at the present weights.

    Batches had better be of one size; a shorter one counts by its examples (see
    :class:`~orograph.results.GradientVariance`). The loss is a name, a module or function of (outputs, targets), or a
    function of (model, batch), and a mean over the batch.

    Batch norm normalises by the batch, as in training, without keeping it; dropout is off unless asked for, and then
    the same in every call of the same seed. The network comes back as it was. For before and after, pass the same
    batches.

    Raises
    ------
    UsageError
        Fewer than two batches, nothing that can be trained, or a loss without a gradient. TaskError: a loss or gradient
        is not finite.
    """
    require_network(model)
    if not isinstance(batches, Iterable) or isinstance(batches, (Tensor, str)):
        raise UsageError(f"give a list of batches or a loader of them, not a {type(batches).__name__}")
    batches = list(batches)
    if len(batches) < 2:
        raise UsageError(f"a variance needs two batches at least, not {len(batches)}")
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not named:
        raise UsageError("no parameter of the network has requires_grad, so there are no gradients")
    criterion = Criterion(loss, metrics=())
    losses, rows, sizes = [], [], []
    with probing(model, dropout=dropout, seed=seed):
        for number, batch in enumerate(batches):
            with nullcontext() if number else failures_told(model, criterion.name):
                terms = criterion(model, batch)
            value = criterion.require_gradient(terms.losses.mean())
            found = torch.autograd.grad(value, list(named.values()), allow_unused=True)
            row = [_dense(g, p) for p, g in zip(named.values(), found, strict=True)]
            if not (bool(torch.isfinite(value)) and all(bool(torch.isfinite(g).all()) for g in row)):
                raise TaskError(f"the loss or a gradient of batch {number} is not finite")
            losses.append(float(value.detach()))
            rows.append([g.detach().reshape(-1) for g in row])
            sizes.append(terms.examples)
    inner = [_products(torch.stack(column)) for column in zip(*rows, strict=True)]
    return GradientVariance(
        tensors=tuple(named),
        inner=np.stack(inner),
        weight_norm=np.array([float(parameter.detach().double().norm()) for parameter in named.values()]),
        loss=np.array(losses),
        sizes=np.array(sizes if len(set(sizes)) > 1 else (), dtype=np.int64),
        provenance=Provenance(
            method="gradient variance",
            options={"loss": criterion.name, "batches": len(batches), "dropout": dropout},
            seeds={"seed": seed},
            cost=Cost(forward=sum(sizes), backward=sum(sizes)),
        ),
    )


def _dense(gradient: Tensor | None, parameter: Tensor) -> Tensor:
    """A gradient as a whole tensor; embeddings may give sparse ones."""
    if gradient is None:
        return torch.zeros_like(parameter)
    return gradient.to_dense() if gradient.is_sparse else gradient


def _products(rows: Tensor) -> Any:
    """(B, B) inner products, summed in float64."""
    exact = rows.double() if rows.device.type != "mps" else rows.cpu().double()
    return (exact @ exact.T).cpu().numpy()
