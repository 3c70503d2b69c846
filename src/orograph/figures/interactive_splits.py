"""Interactive figures: how best to divide a budget of parameters among networks."""

from __future__ import annotations

from typing import Any

import numpy as np

from orograph.basics.words import counted
from orograph.figures.interactive import drawable, log_axis, plotting, sheet, titled
from orograph.figures.interactive_laws import COLUMNS, bars
from orograph.figures.law_curves import (
    FEW_NAMES,
    SizeCurve,
    Stars,
    law_words,
    loss_title,
    size_curves,
    split_limits,
    split_words,
    stars,
)
from orograph.figures.palette import INK, PAPER, size_colour
from orograph.figures.relief import number
from orograph.figures.scales import amount, every
from orograph.results.power_law import MemorySplit

_NOTHING = {"x": [None], "y": [None]}  # a trace for the legend alone


@plotting.register(MemorySplit)
def _memory_split(result: MemorySplit) -> Any:
    across, up = split_limits(result)
    best, foretold = stars(result, predicted=False), stars(result, predicted=True)
    drawn = sheet(
        xaxis=log_axis("parameters of all networks together", across, 6),
        yaxis=log_axis(loss_title(result.temperature), up, 7),
        hovermode="closest",
    )
    drawn.update_layout(legend=COLUMNS)
    order = np.argsort(best.x)
    line = {"color": "rgba(139,151,155,0.35)", "width": 8}
    drawn.add_scatter(
        x=best.x[order], y=best.y[order], mode="lines", line=line, name="lower envelope", hoverinfo="skip"
    )
    law = result.envelope
    if law is not None and np.isfinite(law.c):
        x = np.geomspace(law.x.min(), law.x.max(), 121)
        dashed = {"color": INK, "width": 1.2, "dash": "dash"}
        words = {"name": "its law", "hovertext": f"envelope: {law_words(law)}", "hoverinfo": "text"}
        drawn.add_scatter(x=x, y=drawable(law.predict(x)), mode="lines", line=dashed, **words)
    curves = size_curves(result)
    for index, curve in enumerate(curves):
        _size_curve(drawn, result, curve, named=index in every(len(curves), FEW_NAMES))
    _stars(drawn, result, best, "best, n networks")
    if len(foretold.x):
        _stars(drawn, result, foretold, "best foretold")
        drawn.add_scatter(
            **_NOTHING, mode="lines", line={"color": size_colour(0.5), "width": 1.2, "dash": "dot"}, name="foretold"
        )
    if (result.groups == 1).any():
        rim = {"color": size_colour(0.5), "width": 1.5}
        marker = {"size": 7, "color": PAPER, "line": rim}
        drawn.add_scatter(**_NOTHING, mode="markers", marker=marker, name="a single group")
    if result.collapsed:
        text = f"{len(result.collapsed)} collapsed in it"
        drawn.add_scatter(**_NOTHING, mode="markers", marker={"color": "rgba(0,0,0,0)"}, name=text)
    drawn.add_scatter(
        x=best.x,
        y=drawable(np.array([min([y, *foretold.y[foretold.x == x]]) for x, y in zip(best.x, best.y, strict=True)])),
        mode="markers+text",
        marker={"size": 15, "color": "rgba(0,0,0,0)"},  # keeps the text at a distance
        text=[str(n) for n in best.n],
        textposition="bottom center",
        textfont={"color": INK},
        showlegend=False,
        hoverinfo="skip",
    )
    return titled(drawn, split_words(result))


def _size_curve(drawn: Any, result: MemorySplit, curve: SizeCurve, *, named: bool) -> None:
    style = {"showlegend": False, "hoverinfo": "text"}
    hover = [_split_hover(result, curve, index) for index in range(len(curve.n))]
    drawn.add_scatter(
        x=curve.used,
        y=drawable(curve.predicted),
        mode="lines",
        line={"color": curve.colour, "width": 1.2, "dash": "dot"},
        hovertext=hover,
        **style,
    )
    drawn.add_scatter(
        x=curve.used,
        y=drawable(curve.measured),
        error_y=bars(curve.se, curve.colour),
        mode="lines+markers",
        line={"color": curve.colour, "width": 2},
        marker={
            "size": 7,
            "color": [PAPER if single else curve.colour for single in curve.single],
            "line": {"color": curve.colour, "width": 1.5},
        },
        name=f"networks of {amount(curve.size)}",
        hovertext=hover,
        **style,
    )
    if named and curve.start is not None:
        x, y = curve.start
        drawn.add_annotation(
            x=np.log10(x),
            y=np.log10(y),
            text=amount(curve.size),
            font={"color": INK, "size": 12},
            showarrow=False,
            xanchor="left",
            yanchor="bottom",
            xshift=2,
            yshift=3,
        )


def _split_hover(result: MemorySplit, curve: SizeCurve, index: int) -> str:
    text = f"<b>{curve.n[index]} × {curve.size:,} parameters</b> = {curve.used[index]:,}"
    if np.isfinite(curve.measured[index]):
        row = curve.rows[index]
        groups = counted(int(result.groups[row, np.searchsorted(result.sizes, curve.size)]), "group")
        text += f"<br>measured {number(curve.measured[index], 5)} ± {number(curve.se[index], 2)} (s.e., {groups})"
        if result.indistinguishable[row, np.searchsorted(result.sizes, curve.size)]:
            text += "<br>not to be told from the best split of its budget"
    if np.isfinite(curve.predicted[index]):
        text += f"<br>foretold {number(curve.predicted[index], 5)}"
    return text


def _stars(drawn: Any, result: MemorySplit, found: Stars, name: str) -> None:
    open_ = "foretold" in name
    marker: dict[str, Any] = {
        "symbol": "star-open" if open_ else "star",
        "size": 18 if open_ else 12,
        "color": found.colours,
    }
    marker["line"] = {"width": 1.2} if open_ else {"width": 1, "color": INK}
    hover = []
    for row, n, y in zip(found.rows, found.n, found.y, strict=True):
        text = f"<b>{'best split foretold' if open_ else 'best split'} of {result.budgets[row]:,} parameters</b>"
        text += f"<br>{counted(int(n), 'network')}, NLL {number(y, 5)}"
        if open_ and np.isfinite(result.regret[row]):
            text += f"<br>{number(result.regret[row], 2)} above the best measured"
        if not open_ and np.isfinite(result.advantage[row]):
            low, high = (number(end, 2) for end in result.advantage_interval[row])
            text += f"<br>{number(result.advantage[row], 2)} [{low}, {high}] below one network"
        hover.append(text)
    style = {"mode": "markers", "name": name, "hoverinfo": "text"}
    drawn.add_scatter(x=found.x, y=drawable(found.y), marker=marker, hovertext=hover, showlegend=False, **style)
    sample = {**marker, "color": size_colour(0.5)}
    drawn.add_scatter(**_NOTHING, marker=sample, **style)
