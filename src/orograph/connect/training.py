r"""Training a curve on any network, without a twin of it (Garipov et al. 2018).

.. math:: \min_\theta \; E_{t \sim U[0, 1]} \left[ L(\phi(t)) + \tfrac{\lambda}{2} \|\phi(t)\|^2 \right]

with one t for each mini-batch. A point phi(t) is written into the flat vector that the module's own parameters are
views of; an ordinary backward pass gives g there; and since phi is linear in the control points, the chain rule is

.. math:: \nabla_{\theta_k} = c_k(t) \, (g + \lambda \phi(t))

exactly. The module is not rewritten, so hooks, batch norm, tied weights and autocast keep working. Weight decay acts on
the point of the curve and not on the control points. Cost: a training step of the network and three passes over its D
coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from orograph.basics.errors import UsageError
from orograph.basics.numerics import resolve_device
from orograph.basics.seeds import derive
from orograph.connect.curves import Curve
from orograph.data import Examples
from orograph.objective.criterion import LossFunction
from orograph.objective.workspace import Workspace
from orograph.results import Run
from orograph.train import Recipe, fit
from orograph.train.carried import Carried
from orograph.train.loop import Progress
from orograph.train.optimizer import parameter_groups
from orograph.train.precision import settled
from orograph.weights import Layout, Weights

_DRAWS = float(2**63)
_AHEAD = 256  # steps whose shares are computed at once


class CurvePoint(Carried):
    """A point of a curve that moves from step to step; its parameter ``bends`` (F, D) are the free points.

    ``rows`` (2, D) hold the network's gradients and its weights, whose parameters are views of the second row.
    """

    def __init__(
        self, network: nn.Module, curve: Curve, rows: Tensor, *, seed: int, decay: float | Tensor = 0.0
    ) -> None:
        super().__init__(network)
        self.curve = curve
        self.seed = seed
        self.decay = decay
        self.rows = rows
        free = curve.free
        self.order = [k for k in range(len(curve.points)) if k not in free] + free
        vectors = [curve.points[k].vector.to(rows.device, rows.dtype) for k in self.order]
        self.control = torch.stack(vectors)  # fixed points first, which stay as they are
        self.fixed = len(vectors) - len(free)
        self.bends = nn.Parameter(self.control[self.fixed :])
        self.bends.grad = torch.zeros_like(self.bends)
        self._gradient = self.bends.grad
        layout = curve.points[0].layout
        self._trained = layout.parameters(network)
        self._slots = [slot.view(rows[0]) for slot in layout.slots]
        self._ahead: tuple[int, Tensor] = (-1, torch.empty(0))
        self._shares = torch.empty(0)

    @property
    def identity(self) -> dict[str, Any]:
        ends = [self.curve.points[k].fingerprint() for k in self.order[: self.fixed]]
        decay = self.decay if isinstance(self.decay, float) else "by parameter"
        return {"curve": self.curve.kind, "segments": self.curve.segments, "through": ends, "decay": decay}

    def draw(self, step: int) -> float:
        """The t of a step: uniform on [0, 1), a function of the seed and the step alone."""
        return derive(self.seed, "curve", step) / _DRAWS

    def place(self, step: int) -> None:
        block, place = divmod(step, _AHEAD)
        if block != self._ahead[0]:
            draws = [self.draw(block * _AHEAD + k) for k in range(_AHEAD)]
            shares = torch.from_numpy(self.curve.shares(draws)[:, self.order])
            self._ahead = block, shares.to(self.rows.device, self.rows.dtype)
        self._shares = self._ahead[1][place]
        torch.mm(self._shares[None], self.control, out=self.rows[1:])

    @torch.no_grad()
    def pull(self) -> None:
        # A part of the network that this batch did not use has no gradient.
        found = [slot.zero_() if p.grad is None else p.grad for p, slot in zip(self._trained, self._slots, strict=True)]
        torch._foreach_copy_(self._slots, found)
        free = self._shares[self.fixed :, None]
        if isinstance(self.decay, Tensor):
            self.rows[0].addcmul_(self.decay, self.rows[1])
        strength = 0.0 if isinstance(self.decay, Tensor) else self.decay
        # One pass: each bend's gradient is c (g + decay phi).
        torch.mm(torch.cat([free, free * strength], dim=1), self.rows, out=self._gradient)
        self.bends.grad = self._gradient


def train_curve(
    model: nn.Module,
    curve: Curve,
    train: Examples,
    recipe: Recipe,
    *,
    loss: str | LossFunction = "cross_entropy",
    seed: int = 0,
    device: str | torch.device = "auto",
    out: Path | None = None,
    progress: Progress | None = None,
) -> tuple[Curve, Run]:
    """The curve with trained bends, and the record of its training; ``model`` comes back bit for bit.

    ``recipe`` is that of any training; its weight decay acts on the points of the curve, and ``decay_norm_and_bias`` is
    heeded. With ``out``, a killed call is continued by an equal one.

    Raises
    ------
    TaskError
        The loss is no longer finite. UsageError: the recipe asks for accuracies along the way, which a curve has not.
    """
    if recipe.accuracies:
        raise UsageError("stop_at_accuracy and checkpoint_accuracies are for networks, not for a curve")
    place = resolve_device(device)
    recipe, precision = settled(recipe, place)
    layout = curve.points[0].layout
    dtype = torch.float64 if precision == "float64" else layout.dtype
    rows = torch.zeros(2, layout.size, device=place, dtype=dtype)
    with Workspace(model, layout, place, dtype, flat=rows[1]) as workspace, _training_mode(model):
        workspace.put(curve.points[0])
        decay = decay_of(model, layout, recipe)
        moved = decay.to(place, dtype) if isinstance(decay, Tensor) else decay
        carried = CurvePoint(model, curve, rows, seed=seed, decay=moved)
        bare = replace(recipe, weight_decay=0.0)
        run = fit(carried, train, bare, seed=seed, loss=loss, test=False, out=out, device=place, progress=progress)
        bends = carried.bends.detach().clone()
    return curve.with_free(bends), run


def decay_of(model: nn.Module, layout: Layout, recipe: Recipe) -> float | Tensor:
    """The strength of the L2 term: one number, or (D,) where norm layers and biases are exempt."""
    groups = parameter_groups(model, recipe)
    if len(groups) == 1:
        return float(groups[0]["weight_decay"])
    strengths = {id(p): float(group["weight_decay"]) for group in groups for p in group["params"]}
    parts = zip(layout.slots, layout.parameters(model), strict=True)
    return torch.cat([torch.full((slot.size,), strengths[id(p)], dtype=layout.dtype) for slot, p in parts])


def penalty(weights: Weights, decay: float | Tensor) -> float:
    """The L2 term (1/2) sum(decay w^2) at a point, summed in float64."""
    squares = weights.vector.double().square()
    if isinstance(decay, Tensor):
        return float((squares * decay.to(squares.device).double()).sum()) / 2
    return decay * float(squares.sum()) / 2


@contextmanager
def _training_mode(model: nn.Module) -> Iterator[None]:
    """``model`` in training mode within a workspace, which restores modes; its gradients are put aside and back."""
    kept: list[tuple[nn.Parameter, Any]] = [(p, p.grad) for p in model.parameters()]
    try:
        model.train()
        yield
    finally:
        for parameter, gradient in kept:
            parameter.grad = gradient
