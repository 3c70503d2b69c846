"""Interactive figures of a diagnosis: the loss of the shadow run, and heat maps of layers and gradients over time."""

from __future__ import annotations

from typing import Any

import numpy as np

from orograph.figures.interactive import axis, colour_bar, log_axis, plotting, safe, sheet
from orograph.figures.palette import BLUE, VERMILLION
from orograph.figures.paper_diagnosis import FEW, mark_corner
from orograph.figures.relief import number, short
from orograph.figures.scales import log_padded, padded, power, spans_decades, whole
from orograph.figures.strips import strips
from orograph.results.diagnosis import Diagnosis, Histograms
from orograph.results.signals import LossCurve

# Nothing but the title lies above the picture, and the page sets that as text of its own.
_BARE: dict[str, Any] = {"showlegend": False, "margin_t": 46, "meta": {"bare": True}}


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
    names = {
        "tickvals": [row for row, _ in found.centres],
        "ticktext": [safe(short(name)) for _, name in found.centres],
    }
    magnitudes = {"tickvals": [row for row, _ in found.scale], "ticktext": [words for _, words in found.scale]}
    rows = [-0.5, len(found.layers) - 1.5]  # without the gap above the uppermost strip
    drawn = sheet(
        xaxis=axis("step", showgrid=False, tickvals=whole(result.steps.astype(np.float64))),
        yaxis=axis("", range=rows, showgrid=False, **names),
        yaxis2=axis("", range=rows, showgrid=False, overlaying="y", side="right", matches="y", **magnitudes),
    )
    drawn.update_layout(yaxis2_tickfont_size=9.5, **_BARE)
    shares = np.linspace(0, float(np.sqrt(np.nan_to_num(found.shares).max(initial=0)) or 1), 4)
    drawn.add_heatmap(
        x=steps,
        z=np.sqrt(found.shares).astype(np.float32),
        text=hover,
        hoverinfo="text",
        colorscale="Viridis",
        colorbar=colour_bar(
            "share of the layer's entries",
            title_side="right",
            tickvals=shares.tolist(),
            ticktext=[f"{share**2:.0%}" for share in shares],
            x=1.1,
        ),
    )
    # An axis without a curve of its own is not drawn; crosses belong to it whether there are any or not.
    drawn.add_scatter(
        x=[steps[step] for _, step in found.broken] or steps[:1],
        y=[row for row, _ in found.broken] or [np.nan],
        yaxis="y2",
        mode="markers",
        marker={"symbol": "x", "color": VERMILLION, "size": 9},
        name="not finite",
        hoverinfo="name",
    )
    return drawn.update_layout(title_text=found.note) if found.note else drawn


@plotting.register(Diagnosis)
def _diagnosis(result: Diagnosis) -> Any:
    return plotting(result.curve)


@plotting.register(LossCurve)
def _loss(result: LossCurve) -> Any:
    losses = np.where(np.isfinite(result.losses), result.losses, np.nan)
    upright = log_axis("loss", log_padded(losses), 6, power) if spans_decades(losses) else axis("loss")
    ticks = whole(np.arange(len(losses), dtype=np.float64))
    across = axis("step", range=list(padded([0, max(len(losses) - 1, 1)], 0.03)), tickvals=ticks)
    drawn = sheet(xaxis=across, yaxis=upright).update_layout(**_BARE)
    drawn.add_scatter(
        x=list(range(len(losses))),
        y=losses,  # not in float32, where a loss that explodes is infinite long before its time
        mode="lines+markers" if len(losses) <= FEW else "lines",
        line={"color": BLUE, "width": 2.5},
        hovertemplate="step %{x}<br>loss %{y:.4g}<extra></extra>",
    )
    if result.broken is not None:
        line = {"color": VERMILLION, "dash": "dash", "width": 1.5}
        drawn.add_shape(type="line", x0=result.broken, x1=result.broken, y0=0, y1=1, yref="y domain", line=line)
        side, low = mark_corner(result)
        place = {"x": result.broken, "y": 0 if low else 1, "xanchor": side, "yanchor": "bottom" if low else "top"}
        drawn.add_annotation(
            text=f" {result.broken_words} ", font={"color": VERMILLION}, yref="y domain", showarrow=False, **place
        )
    return drawn.update_layout(title_text=result.summary())
