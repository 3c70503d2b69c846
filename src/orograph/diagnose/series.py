"""What was read over a training run: layers, gradients and changes of the weights, with one entry for a reading."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from orograph.diagnose.histogram import BINS, EDGES
from orograph.diagnose.reading import Read
from orograph.results.diagnosis import Histograms, LayerReading, ParameterReading
from orograph.results.provenance import Provenance


@dataclass
class Series:
    """Everything read so far; each list has one entry for a reading."""

    steps: list[int] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    outputs: list[dict[str, Read]] = field(default_factory=list)
    gradients: list[dict[str, Read]] = field(default_factory=list)
    updates: list[dict[str, float]] = field(default_factory=list)
    norms: list[dict[str, float]] = field(default_factory=list)

    def thin(self) -> None:
        """Drop every second reading."""
        for rows in (self.steps, self.outputs, self.gradients, self.updates, self.norms):
            del rows[1::2]

    @property
    def layers(self) -> list[LayerReading]:
        """The layers at the last reading."""
        last = self.outputs[-1] if self.outputs else {}
        return [one.as_layer(name, self.kinds[name]) for name, one in last.items()]

    @property
    def parameters(self) -> list[ParameterReading]:
        """The parameters at the last reading, with the median of their updates."""
        found = []
        nan = float("nan")
        for name, norm in (self.norms[-1] if self.norms else {}).items():
            one = self.gradients[-1].get(name)
            changes = [row[name] for row in self.updates if math.isfinite(row.get(name, nan))]
            update = float(np.median(changes)) if changes else nan
            size = self.sizes[name]
            if one is None:
                found.append(ParameterReading(name, size, norm, nan, nan, nan, nan, 0, update))
            else:
                found.append(ParameterReading(name, size, norm, nan, nan, one.norm, one.zeros, one.bad, update))
        return found

    def histograms(self, what: str) -> Histograms | None:
        """Of the layers' ``outputs`` or the parameters' ``gradients`` over time; None for none."""
        rows: list[dict[str, Read]] = getattr(self, what)
        names = list(dict.fromkeys(name for row in rows for name in row))
        if not names:
            return None
        counts = np.zeros((len(rows), len(names), BINS), dtype=np.int64)
        special = np.zeros((len(rows), len(names), 4), dtype=np.int64)
        for s, row in enumerate(rows):
            for k, name in enumerate(names):
                if name in row:
                    counts[s, k], special[s, k] = row[name].counts, row[name].special
        return Histograms(
            names=tuple(names),
            steps=np.array(self.steps, dtype=np.int64),
            edges=EDGES,
            counts=counts,
            special=special,
            provenance=Provenance(method=f"histograms of {what} over training"),
        )

    def numbers(self) -> dict[str, float]:
        """A few figures of the last reading, for a dashboard."""
        if not self.steps:
            return {}
        norms = [one.norm for one in self.gradients[-1].values()]
        changes = [value for value in self.updates[-1].values() if math.isfinite(value)]
        found = {"gradient norm": float(np.sqrt(np.sum(np.square(norms))))} if norms else {}
        if changes:
            found |= {"update ratio, median": float(np.median(changes)), "update ratio, largest": max(changes)}
        if self.outputs[-1]:
            found["dead units, most in a layer"] = max(one.dead for one in self.outputs[-1].values())
        return found
