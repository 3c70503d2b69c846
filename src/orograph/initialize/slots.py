"""A network's parameters, each once, with the layer that owns it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from orograph.basics.errors import ModelError
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


def slots_of(model: nn.Module) -> Iterator[Slot]:
    """Every parameter once, in the order of ``named_parameters``. Raises ModelError for one without values."""
    seen: set[int] = set()
    for prefix, layer in model.named_modules():
        for own, parameter in layer.named_parameters(recurse=False):
            if id(parameter) in seen:
                continue
            seen.add(id(parameter))
            name = f"{prefix}.{own}" if prefix else own
            if isinstance(parameter, nn.UninitializedParameter) or parameter.is_meta:
                raise ModelError(f"{name} has no values yet; run the network on a batch (or take it off meta) first")
            yield Slot(name, layer, own, parameter)


def _spread(values: Tensor) -> float:
    found = values.double() if values.device.type != "mps" else values.cpu().double()
    return float(found.std(correction=0)) if values.numel() and values.is_floating_point() else float("nan")
