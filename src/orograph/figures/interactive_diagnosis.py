"""Interactive figures of a diagnosis: the loss of the shadow run, and heat maps of layers and gradients over time."""

from __future__ import annotations

from typing import Any

import numpy as np

from orograph.figures.interactive import axis, drawable, plotting, safe, sheet, titled
from orograph.figures.palette import BLUE, VERMILLION
from orograph.figures.relief import number, short
from orograph.figures.strips import strips
from orograph.results.diagnosis import Diagnosis, Histograms


@plotting.register(Histograms)
def _histograms(result: Histograms) -> Any:
    found = strips(result)
    steps = [int(step) for step in result.steps]
    hover = [
        [
            f"<b>{safe(name)}</b><br>step {step}<br>magnitude {number(10**low)} to {number(10**high)}<br>"
            f"{share:.1%} of the entries"
            if name and np.isfinite(share)
            else ""
            for step, share in zip(steps, row, strict=True)
        ]
        for name, low, high, row in zip(found.layers, found.low, found.high, found.shares, strict=True)
    ]
    drawn = sheet(
        xaxis=axis("step"),
        yaxis=axis("", tickvals=[row for row, _ in found.centres], ticktext=[safe(short(n)) for _, n in found.centres]),
    )
    drawn.add_heatmap(
        x=steps,
        z=np.sqrt(found.shares).astype(np.float32),
        text=hover,
        hoverinfo="text",
        colorscale="Viridis",
        showscale=False,
    )
    if found.broken:
        drawn.add_scatter(
            x=[steps[step] for _, step in found.broken],
            y=[row for row, _ in found.broken],
            mode="markers",
            marker={"symbol": "x", "color": VERMILLION, "size": 9},
            name="not finite",
            hoverinfo="name",
        )
    return drawn


@plotting.register(Diagnosis)
def _diagnosis(result: Diagnosis) -> Any:
    drawn = sheet(xaxis=axis("step of the shadow run"), yaxis=axis("loss"))
    drawn.add_scatter(
        x=list(range(len(result.loss))), y=drawable(result.loss), mode="lines", line={"color": BLUE}, name="loss"
    )
    words = "the network trains as it is" if result.verdict == "trains" else f"verdict: {result.verdict}"
    return titled(drawn, words)
