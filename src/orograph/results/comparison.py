"""Several things measured against one quantity, to be compared in one figure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from orograph.results.result import Result, record
from orograph.results.run import Run


@record
@dataclass(frozen=True, eq=False)
class Series:
    """One curve: ``x`` (P,), and ``values`` (Q, P) of Q quantities, NaN where unknown.

    ``spread`` (Q, P) is drawn as bars to both sides, None for none. ``joined``: a line goes through the points;
    ``labels`` (P,) say what single points are.
    """

    x: NDArray[np.float64]
    values: NDArray[np.float64]
    spread: NDArray[np.float64] | None = None
    joined: bool = True
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison(Result):
    """Curves by name, in a panel for each quantity.

    Attributes
    ----------
    across : what the horizontal axis counts; quantities : (Q,) titles of the panels, with units
    series : curves by name; bars : what their bars mean, empty where there are none
    logarithmic : titles of the quantities, or that of the horizontal axis, to be drawn on a logarithmic scale
    marks : places on the horizontal axis by name, drawn as upright lines
    """

    across: str
    quantities: tuple[str, ...]
    series: dict[str, Series]
    bars: str = ""
    logarithmic: tuple[str, ...] = ()
    marks: dict[str, float] = field(default_factory=dict)

    title: ClassVar[str] = "comparison"

    @classmethod
    def along(cls, run: Run) -> Comparison:
        """A run with cycles: learning rate, test error (else loss) and distance from where they began (Garipov et al.
        2018, Figure 3), with circles where networks are collected."""
        collected = np.isin(run.steps, run.provenance.options.get("collected", ()))
        shown = np.ones(len(run.steps), dtype=bool)
        away = run.distance_from_start
        if run.distance_from_cycles is not None:
            away, shown = run.distance_from_cycles, np.isfinite(run.distance_from_cycles)
        known = run.test_accuracy is not None
        height = 1 - run.test_accuracy if run.test_accuracy is not None else run.test_loss
        rows = np.stack([run.learning_rate, height, away])
        return cls(
            across="epochs",
            quantities=(
                "learning rate",
                "test error" if known else f"test {run.provenance.loss_label()}",
                "distance (from where the cycles begin)",
            ),
            series={
                run.name: Series(run.epochs[shown], rows[:, shown]),
                "collected": Series(run.epochs[collected], rows[:, collected], joined=False),
            },
            provenance=run.provenance,
        )

    def summary(self) -> str:
        lines = [f"{', '.join(self.quantities)} against {self.across}"]
        for name, one in self.series.items():
            words = []
            for title, values in zip(self.quantities, one.values, strict=True):
                finite = values[np.isfinite(values)]
                words.append(f"{title} {finite.min():.4g} to {finite.max():.4g}" if finite.size else f"{title} unknown")
            lines.append(f"{name}: {', '.join(words)}")
        lines += [f"{name}: {self.across} {place:.4g}" for name, place in self.marks.items()]
        return "\n".join(lines)
