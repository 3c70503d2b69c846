"""``gradient_variance``: how much gradients differ from batch to batch at the weights a network has now.

Cost: one forward and one backward pass of every batch; memory for the gradients of all batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from orograph.basics.errors import TaskError, UsageError
from orograph.initialize.probing import probing
from orograph.objective.criterion import Criterion, LossFunction
from orograph.results.gradient_variance import GradientVariance
from orograph.results.provenance import Cost, Provenance


def gradient_variance(
    model: nn.Module,
    batches: Sequence[Any],
    *,
    loss: str | LossFunction = "cross_entropy",
    dropout: bool = False,
    seed: int = 0,
) -> GradientVariance:
    """The gradients of ``batches`` (20 or more, of equal size, on the network's device) at the present weights.

    Batch norm normalises by the batch, as in training, without keeping it; dropout is off unless asked for, and then
    the same in every call of the same seed. The network comes back as it was. For before and after, pass the same
    batches.

    Raises
    ------
    UsageError
        Fewer than two batches, or nothing that can be trained. TaskError: a loss or gradient is not finite.
    """
    if len(batches) < 2:
        raise UsageError(f"a variance needs two batches at least, not {len(batches)}")
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not named:
        raise UsageError("no parameter of the network has requires_grad, so there are no gradients")
    criterion = Criterion(loss, metrics=())
    losses, rows, passed = [], [], 0
    with probing(model, dropout=dropout, seed=seed):
        for number, batch in enumerate(batches):
            terms = criterion(model, batch)
            value = terms.losses.mean()
            found = torch.autograd.grad(value, list(named.values()), allow_unused=True)
            row = [torch.zeros_like(p) if g is None else g for p, g in zip(named.values(), found, strict=True)]
            if not (bool(torch.isfinite(value)) and all(bool(torch.isfinite(g).all()) for g in row)):
                raise TaskError(f"the loss or a gradient of batch {number} is not finite")
            losses.append(float(value.detach()))
            rows.append([g.detach().reshape(-1) for g in row])
            passed += terms.examples
    inner = [_products(torch.stack(column)) for column in zip(*rows, strict=True)]
    return GradientVariance(
        tensors=tuple(named),
        inner=np.stack(inner),
        weight_norm=np.array([float(parameter.detach().double().norm()) for parameter in named.values()]),
        loss=np.array(losses),
        provenance=Provenance(
            method="gradient variance",
            options={"loss": criterion.name, "batches": len(batches), "dropout": dropout},
            seeds={"seed": seed},
            cost=Cost(forward=passed, backward=passed),
        ),
    )


def _products(rows: Tensor) -> Any:
    """(B, B) inner products, summed in float64."""
    exact = rows.double() if rows.device.type != "mps" else rows.cpu().double()
    return (exact @ exact.T).cpu().numpy()
