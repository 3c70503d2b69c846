"""A network's parameters, each once, with the layer that owns it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from orograph.basics.errors import UsageError
from orograph.initialize.parts import Part, parts_of
from orograph.results.initialization import Setting


@dataclass(frozen=True, eq=False)
class Slot:
    """A parameter of a network, the layer that owns it, and its name there; a tied one by its first name."""

    name: str
    layer: nn.Module
    own: str
    parameter: nn.Parameter

    @property
    def parts(self) -> list[Part]:
        """Its kernels; none where it is no weight."""
        return parts_of(self.layer, self.own, self.parameter.detach())

    def setting(self, scheme: str, *, asked: float = float("nan"), why: str = "") -> Setting:
        """The record of what it holds now; ``scheme`` set it, or it was left alone (empty) and ``why``."""
        parts = self.parts
        fans = (parts[0].fan_in, parts[0].fan_out) if parts else (0, 0)
        got = _spread(self.parameter.detach())
        return Setting(self.name, type(self.layer).__name__, scheme, *fans, len(parts), asked, got, why)


def require_network(model: Any) -> None:
    """Raise UsageError unless ``model`` is a module of which every parameter has values."""
    if isinstance(model, type):
        raise UsageError(f"the network is a class; give an instance: {model.__name__}()")
    if not isinstance(model, nn.Module):
        raise UsageError(f"the network must be an nn.Module, not a {type(model).__name__}")
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.UninitializedParameter):
            raise UsageError(f"{name} has no values yet, as its layer is lazy; run the network on one batch first")
        if parameter.is_meta:
            raise UsageError(f"{name} has no values, as it lies on the meta device; build the network on cpu or cuda")


def slots_of(model: nn.Module) -> Iterator[Slot]:
    """Every parameter once, in the order of ``named_parameters``. Raises UsageError as :func:`require_network` does."""
    require_network(model)
    seen: set[int] = set()
    for prefix, layer in model.named_modules():
        for own, parameter in layer.named_parameters(recurse=False):
            if id(parameter) in seen:
                continue
            seen.add(id(parameter))
            name = f"{prefix}.{own}" if prefix else own
            yield Slot(name, layer, own, parameter)


def _spread(values: Tensor) -> float:
    found = values.double() if values.device.type != "mps" else values.cpu().double()
    return float(found.std(correction=0)) if values.numel() and values.is_floating_point() else float("nan")
