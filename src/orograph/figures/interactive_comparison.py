"""Interactive figures: curves to be compared, a panel for each quantity."""

from __future__ import annotations

from typing import Any

import numpy as np

from orograph.figures.interactive import drawable, log_axis, plotting, safe
from orograph.figures.interactive_paths import panels, upright
from orograph.figures.palette import INK
from orograph.figures.paper_comparison import colour_of, together
from orograph.figures.relief import number, short
from orograph.figures.scales import log_padded, whole
from orograph.results.comparison import Comparison, Series
from orograph.results.gradient_variance import GradientVariance
from orograph.results.learned_scales import LearnedScales
from orograph.results.signals import RateRange
from orograph.results.workers import Workers

_MARKS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross")
_LOGARITHMIC = ("type", "range", "tickvals", "ticktext")


@plotting.register(Workers)
def _workers(result: Workers) -> Any:
    return plotting(Workers.compared({f"{result.count} workers": result}))


@plotting.register(LearnedScales)
def _scales(result: LearnedScales) -> Any:
    return plotting(result.compared())


@plotting.register(RateRange)
def _range(result: RateRange) -> Any:
    return plotting(result.compared())


@plotting.register(GradientVariance)
def _variance(result: GradientVariance) -> Any:
    return plotting(GradientVariance.compared({"gradients": result}))


@plotting.register(Comparison)
def _comparison(result: Comparison) -> Any:
    across = safe(result.across) + (f"; bars: {safe(result.bars)}" if result.bars else "")
    drawn = panels([safe(title) for title in result.quantities], across)
    for row, title in enumerate(result.quantities):
        for index, (name, one) in enumerate(result.series.items()):
            drawn.add_scatter(**_curve(result, one, row, index, name))
        for name, place in result.marks.items():
            drawn.add_scatter(**_mark(result, row, name, place))
        if title in result.logarithmic:
            _make_logarithmic(drawn, upright(row), together(result, row))
    if result.across in result.logarithmic:
        _make_logarithmic(drawn, "xaxis", together(result, None))
    elif (ticks := whole(together(result, None))) is not None:
        drawn.update_layout(xaxis={"tickvals": ticks})
    return drawn


def _curve(result: Comparison, one: Series, row: int, index: int, name: str) -> dict[str, Any]:
    colour, values = colour_of(index), one.values[row]
    points = one.labels or tuple(f"{result.across} {number(x)}" for x in one.x)
    spread = [""] * len(one.x) if one.spread is None else [f" ± {number(value, 2)}" for value in one.spread[row]]
    style: dict[str, Any] = {
        "x": one.x,
        "y": drawable(values),
        "yaxis": f"y{row + 1}",
        "name": safe(short(name)),
        "legendgroup": str(index),
        "showlegend": row == 0,
        "hovertext": [
            f"<b>{safe(name)}</b><br>{safe(where)}<br>{safe(result.quantities[row])} {number(value)}{more}"
            for where, value, more in zip(points, values, spread, strict=True)
        ],
        "hoverinfo": "text",
        "mode": ("lines+markers" if len(one.x) <= 24 else "lines") if one.joined else "markers",
        "line": {"color": colour, "width": 2.5},
        "marker": {"color": colour, "size": 7, "symbol": _MARKS[index % len(_MARKS)]},
    }
    if not one.joined:
        style["marker"] |= {"size": 10, "symbol": style["marker"]["symbol"] + "-open", "line": {"width": 2}}
    if one.spread is not None:
        style["error_y"] = {"type": "data", "array": np.nan_to_num(one.spread[row]), "color": colour, "thickness": 1.2}
    return style


def _mark(result: Comparison, row: int, name: str, place: float) -> dict[str, Any]:
    """An upright line over all that the panel shows, of several points so that hovering meets one."""
    values = together(result, row)
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    return {
        "x": [place] * 9,
        "y": (np.geomspace if result.quantities[row] in result.logarithmic and low > 0 else np.linspace)(low, high, 9),
        "yaxis": f"y{row + 1}",
        "name": safe(short(name)),
        "legendgroup": safe(name),
        "showlegend": row == 0,
        "hovertext": f"<b>{safe(name)}</b><br>{safe(result.across)} {number(place)}",
        "hoverinfo": "text",
        "mode": "lines",
        "line": {"color": INK, "width": 1.5, "dash": "dash"},
    }


def _make_logarithmic(drawn: Any, place: str, values: Any) -> None:
    style = log_axis("", log_padded(values), 6)
    drawn.update_layout({place: {key: style[key] for key in _LOGARITHMIC}})
