"""Figures for a paper: what an ensemble is worth as it grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orograph.figures.palette import BLUE, FAINT, VERMILLION
from orograph.figures.paper import drawing, label
from orograph.figures.paper_paths import panels
from orograph.results.evaluation import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@drawing.register(Evaluation)
def _evaluation(result: Evaluation, ax: Axes) -> None:
    """Error and NLL of the average of the first 1 … M members, and of each by itself."""
    count = np.arange(1, len(result.names) + 1)
    rows = (
        ("error", result.running_error, [m.error.value for m in result.members], BLUE),
        ("NLL (nats)", result.running_nll, [m.nll.value for m in result.members], VERMILLION),
    )
    places = panels(ax, len(rows))
    for place, (title, running, members, colour) in zip(places, rows, strict=True):
        place.plot(count, members, "o", color=FAINT, ms=4, label="each network")
        place.plot(count, running, color=colour, marker="o", ms=3, label="average of the first")
        place.set_ylabel(label(f"{result.part} {title}"))
        place.set_xlim(0.5, len(count) + 0.5)
        if place is not places[-1]:
            place.set_xticklabels([])
    places[-1].set_xlabel("networks")
    places[0].legend(frameon=False, fontsize="small")
    method = f" ({label(result.method)})" if result.method else ""
    ax.set_title(f"{len(count)} networks{method}: error {result.probability.error}", fontsize="medium")
