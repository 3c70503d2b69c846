"""Interactive figures: what an ensemble is worth as it grows."""

from __future__ import annotations

from typing import Any

import numpy as np

from orograph.figures.interactive import drawable, plotting, safe
from orograph.figures.interactive_paths import panels
from orograph.figures.palette import BLUE, FAINT, VERMILLION
from orograph.figures.relief import number
from orograph.results.evaluation import Evaluation


@plotting.register(Evaluation)
def _evaluation(result: Evaluation) -> Any:
    """Error and NLL of the average of the first 1 … M members, and of each by itself."""
    count = np.arange(1, len(result.names) + 1)
    rows = (
        ("error", result.running_error, [m.error.value for m in result.members], BLUE),
        ("NLL (nats)", result.running_nll, [m.nll.value for m in result.members], VERMILLION),
    )
    drawn = panels([f"{safe(result.part)} {title}" for title, *_ in rows], "networks")
    for row, (title, running, members, colour) in enumerate(rows):
        place = {"yaxis": f"y{row + 1}", "showlegend": row == 0}
        named = zip(result.names, members, strict=True)
        drawn.add_scatter(
            x=count,
            y=drawable(np.array(members)),
            mode="markers",
            marker={"color": FAINT, "size": 8},
            name="each network",
            legendgroup="each",
            hovertext=[f"<b>{safe(name)}</b><br>{title} {number(value)}" for name, value in named],
            hoverinfo="text",
            **place,
        )
        drawn.add_scatter(
            x=count,
            y=drawable(running),
            line={"color": colour, "width": 2.5},
            mode="lines+markers",
            name="average of the first",
            legendgroup="average",
            hovertext=[f"the first {n}: {title} {number(value)}" for n, value in zip(count, running, strict=True)],
            hoverinfo="text",
            **place,
        )
    return drawn
