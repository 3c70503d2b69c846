r"""A network as a function of one positive scale for each of its tensors, :math:`\theta_m = \{m_i W_i\}`.

The module is never changed: its parameters are replaced for the length of one call (``torch.func.functional_call``), so
that any layer, any loss and tied weights work, and the parameters keep their identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from orograph.basics.errors import UsageError
from orograph.initialize.parts import is_bias, is_norm
from orograph.initialize.slots import Slot, slots_of
from orograph.objective.criterion import Criterion
from orograph.objective.example import failures_told

Role = Literal["weight", "gain", "bias"]


@dataclass(frozen=True, eq=False)
class Scaled:
    """A parameter with a scale of its own."""

    name: str
    role: Role
    parameter: nn.Parameter


def role_of(slot: Slot) -> Role | None:
    """What a parameter does: kernels and matrices, gains of norm layers, biases; None for others (scalars, say).

    Of layers that orograph knows, the layer decides; of a module of one's own a matrix is a weight, and what is called
    a bias is one.
    """
    if is_norm(slot.layer):
        return "gain" if slot.own == "weight" else "bias"
    if slot.parts:
        return "weight"
    if is_bias(slot.layer, slot.own):
        return "bias"
    return "weight" if slot.parameter.dim() >= 2 and slot.parameter.is_floating_point() else None


class _Height(nn.Module):
    """A network under its loss, as one module, so that the loss may call the network in any way it likes."""

    def __init__(self, network: nn.Module, criterion: Criterion) -> None:
        super().__init__()
        self.network = network
        self.criterion = criterion

    def forward(self, batch: Any) -> Tensor:
        return self.criterion.mean(self.network, batch)


class ScaledNetwork:
    """The loss of ``model`` on a batch at tensors that are not its own.

    ``scaled`` are the tensors that have a scale, ``parameters`` all that an optimiser would move, each once. Raises
    UsageError where nothing has a scale, or a layer's gradients are sparse, which have no second derivative.
    """

    def __init__(self, model: nn.Module, criterion: Criterion, roles: Sequence[Role] = ("weight", "gain", "bias")):
        slots = [slot for slot in slots_of(model) if slot.parameter.requires_grad]
        self.model = model
        self.scaled: list[Scaled] = []
        self.left_alone: dict[str, str] = {
            slot.name: "requires_grad is off" for slot in slots_of(model) if not slot.parameter.requires_grad
        }
        for slot in slots:
            role = role_of(slot)
            if role is None or role not in roles:
                self.left_alone[slot.name] = "neither weight nor bias" if role is None else f"a {role}"
            elif not bool(slot.parameter.detach().any()):
                self.left_alone[slot.name] = "all zero, which no scale changes"
            else:
                self.scaled.append(Scaled(slot.name, role, slot.parameter))
        if not self.scaled:
            raise UsageError("no tensor of the network can be scaled: all are frozen, zero or of other kinds")
        sparse = [name for name, layer in model.named_modules() if getattr(layer, "sparse", False) is True]
        if sparse:
            raise UsageError(f"the gradients of {sparse[0]} are sparse; build it with sparse=False")
        self.names = [slot.name for slot in slots]
        self.originals = [slot.parameter.detach() for slot in slots]
        own = {id(one.parameter): index for index, one in enumerate(self.scaled)}
        self.index = [own.get(id(slot.parameter)) for slot in slots]  # of each parameter's scale
        self._height = _Height(model, criterion)
        self._ran = False

    def at(self, scales: Sequence[float]) -> list[Tensor]:
        """The tensors of all parameters at some scales, new ones, each ready to be differentiated by."""
        with torch.no_grad():
            return [
                (original.clone() if index is None else original * scales[index]).requires_grad_()
                for original, index in zip(self.originals, self.index, strict=True)
            ]

    def loss(self, tensors: Sequence[Tensor], batch: Any) -> Tensor:
        """The mean loss of a batch at ``tensors``. Raises ModelError where network or loss fail on the first one."""
        named = {f"network.{name}": tensor for name, tensor in zip(self.names, tensors, strict=True)}
        with nullcontext() if self._ran else failures_told(self.model, self._height.criterion.name):
            found: Tensor = functional_call(self._height, named, (batch,))
        self._ran = True
        return found

    def by_scale(self, gradients: Sequence[Tensor | None]) -> list[float]:
        """Derivatives by the scales, given those by the tensors: <gradient, W> of each."""
        found = [0.0] * len(self.scaled)
        products = [
            (index, (gradient * original).sum())
            for gradient, original, index in zip(gradients, self.originals, self.index, strict=True)
            if gradient is not None and index is not None
        ]
        values = torch.stack([value for _, value in products]).tolist() if products else []
        for (index, _), value in zip(products, values, strict=True):
            found[index] = value
        return found

    @torch.no_grad()
    def apply(self, scales: Sequence[float]) -> None:
        """Multiply the network's own parameters, in place."""
        for one, scale in zip(self.scaled, scales, strict=True):
            one.parameter.mul_(scale)
