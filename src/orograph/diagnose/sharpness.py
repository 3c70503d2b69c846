r"""The largest eigenvalue of the Hessian, times the learning rate: above 2 plain gradient descent is not stable.

With heavy-ball momentum :math:`\beta` the limit is :math:`2 (1 + \beta)`, over :math:`1 - \beta` where the optimiser
damps the gradient by as much (Adam). For Adam the Hessian is preconditioned by its second moments,
:math:`P^{-1/2} H P^{-1/2}` with :math:`P = \sqrt{\hat v} + \epsilon` (Cohen et al. 2021 and 2022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orograph.data.structure import batch_length
from orograph.diagnose.patient import Copy, Patient
from orograph.initialize.chunks import rows
from orograph.initialize.probing import probing, twice_differentiable
from orograph.initialize.written_norms import written_norms

_EXAMPLES = 32
_VECTORS = 8  # of Lanczos before a restart
_PRECISION = 0.03
_WARM = 10  # steps in which adaptive optimisers fill their moments


@dataclass(frozen=True)
class Edge:
    """``eigenvalue`` of the (preconditioned) Hessian; ``product`` with the rate; the ``limit`` of stability of
    full-batch steps; ``converged``; ``passes`` through the network."""

    eigenvalue: float
    product: float
    limit: float
    converged: bool
    passes: int


def edge_of_stability(patient: Patient, *, seed: int = 0) -> Edge:
    """The largest eigenvalue at the start (for adaptive optimisers after ten steps) on the first 32 examples.

    Norm layers go by the batch and dropout is off. Raises what the network raises where it has no second derivative.
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    batch = patient.batches[0]
    few = rows(batch, 0, min(batch_length(batch), _EXAMPLES))
    with patient.copy(own_step=not patient.bound) as made, torch.enable_grad():
        group = made.optimizer.param_groups[0]
        adaptive = "betas" in group
        for step in range(_WARM if adaptive else 0):
            made.train(patient.batches[step % len(patient.batches)], step)
        owned = {id(p) for each in made.optimizer.param_groups for p in each["params"]}
        chosen: list[Tensor] = [p for p in made.model.parameters() if p.requires_grad and id(p) in owned]
        scales = [_preconditioner(made, p) for p in chosen]
        with probing(made.model, seed=seed), twice_differentiable(made.model), written_norms():
            loss = made.loss(made.model, made.change(few))
            gradients = torch.autograd.grad(loss, chosen, create_graph=True, allow_unused=True)
            kept = [(p, g, s) for p, g, s in zip(chosen, gradients, scales, strict=True) if g is not None]
            passes = [1]

            def product(vector: Any) -> Any:
                passes[0] += 1
                return _times(kept, vector)

            size = sum(p.numel() for p, _, _ in kept)
            operator: Any = LinearOperator((size, size), matvec=product, dtype=np.float64)
            start = np.random.default_rng(seed).standard_normal(size)
            converged = True
            found: Any
            try:
                found = eigsh(operator, k=1, which="LA", v0=start, ncv=min(_VECTORS, size), tol=_PRECISION,
                              maxiter=6, return_eigenvectors=False)  # fmt: skip
            except ArpackNoConvergence as stopped:
                found, converged = stopped.eigenvalues, False
    value = float(found[0]) if len(found) else float("nan")
    lr = max(float(each["lr"]) for each in patient.optimizer.param_groups) if patient.optimizer else float("nan")
    return Edge(value, value * lr, _limit(group), converged, passes[0])


def _times(kept: list[tuple[Tensor, Tensor, Tensor | None]], vector: Any) -> Any:
    """The preconditioned Hessian times a vector (float64, flat)."""
    parts, first = [], 0
    for p, _, scale in kept:
        piece = torch.as_tensor(vector[first : first + p.numel()], dtype=p.dtype, device=p.device).view_as(p)
        parts.append(piece if scale is None else piece / scale)
        first += p.numel()
    found = torch.autograd.grad([g for _, g, _ in kept], [p for p, _, _ in kept], parts, retain_graph=True,
                                allow_unused=True)  # fmt: skip
    flat = [
        (torch.zeros_like(p) if h is None else h if scale is None else h / scale).reshape(-1)
        for (p, _, scale), h in zip(kept, found, strict=True)
    ]
    whole = torch.cat(flat)
    if not bool(torch.isfinite(whole).all()):
        raise ValueError("the second derivatives are not finite")
    return whole.double().cpu().numpy()


def _preconditioner(made: Copy, parameter: Tensor) -> Tensor | None:
    """The root of what Adam divides by; None where the optimiser keeps no second moments."""
    state: dict[str, Any] = made.optimizer.state.get(parameter, {})
    second = state.get("exp_avg_sq")
    if not isinstance(second, Tensor):
        return None
    group = made.optimizer.param_groups[0]
    steps = float(state.get("step", 1))
    corrected = second / (1 - float(group["betas"][1]) ** max(steps, 1.0))
    found: Tensor = (corrected.sqrt() + max(float(group.get("eps", 1e-8)), 1e-12)).sqrt()
    return found


def _limit(group: dict[str, Any]) -> float:
    """Where the optimiser leaves stability in a quadratic, as a value of the eigenvalue times the rate."""
    if "betas" in group:
        first = float(group["betas"][0])
        return 2 * (1 + first) / (1 - first) if first < 1 else math.inf
    momentum = float(group.get("momentum", 0.0))
    damped = 1 - float(group.get("dampening", 0.0))
    return 2 * (1 + momentum) / damped if damped > 0 else math.inf
