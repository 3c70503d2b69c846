"""What a layer-by-layer rescaling of a network's initial weights found and did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from orograph.basics.words import counted
from orograph.results.result import Result, record


@record
@dataclass(frozen=True)
class LayerScale:
    """One layer: the standard deviation of its outputs ``before`` and ``after``, the ``factor`` on its weights and how
    many ``tries`` that took. A layer that was left as it is has factor 1, and ``why`` says so."""

    layer: str
    before: float
    after: float
    factor: float
    tries: int
    why: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerScales(Result):
    """A rescaling by layer.

    Attributes
    ----------
    layers : in the order in which they run; those that did not run last
    tolerance : how far from 1 the standard deviation of a layer's outputs may stay
    """

    layers: tuple[LayerScale, ...]
    tolerance: float

    title: ClassVar[str] = "scales"

    @property
    def scaled(self) -> tuple[LayerScale, ...]:
        """The layers that were to be scaled."""
        return tuple(layer for layer in self.layers if not layer.why)

    def summary(self) -> str:
        done = self.scaled
        lines = [f"{counted(len(done), 'layer')} scaled to outputs of standard deviation 1 ± {self.tolerance:g}"]
        if done:
            factors, before = [layer.factor for layer in done], [layer.before for layer in done]
            lines[0] += (
                f": factors from {min(factors):.3g} to {max(factors):.3g}, standard deviations before from "
                f"{min(before):.3g} to {max(before):.3g}"
            )
        off = [layer for layer in done if abs(layer.after - 1) > self.tolerance]
        lines += [f"{layer.layer} stays at {layer.after:.3g} after {counted(layer.tries, 'try')}" for layer in off]
        for why in dict.fromkeys(layer.why for layer in self.layers if layer.why):
            lines.append(f"left alone, {why}: {', '.join(layer.layer for layer in self.layers if layer.why == why)}")
        return "\n".join(lines).replace(" trys", " tries")
