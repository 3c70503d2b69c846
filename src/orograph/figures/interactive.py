"""Interactive figures: each result as a plotly figure, in the house style that this module keeps.

Names come from users and plotly reads a part of HTML in every label, so each of them passes through :func:`safe`.
Plotly is imported when the first figure is made. A new kind of result joins with ``@plotting.register(Kind)`` and a
line in :mod:`orograph.figures`; lines and runs are drawn in ``interactive_lines``, planes and trajectories in
``interactive_planes``, paths in ``interactive_paths``, ensembles and their laws in ``interactive_laws`` and
``interactive_splits``.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orograph.basics.errors import UsageError
from orograph.figures.palette import BLUE, FAINT, INK, PAPER, VERMILLION
from orograph.figures.relief import number
from orograph.figures.scales import amount, log_ticks
from orograph.results.result import Result

# Fonts of the reader's own system: no figure asks the network for one.
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@singledispatch
def plotting(result: Result) -> Any:
    """A plotly figure of ``result``; one registered function for each kind of result."""
    raise UsageError(f"a {type(result).__name__} has no figure; its summary() and to_dict() hold the numbers")


def safe(name: object) -> str:
    """A user's text for plotly: markup and template signs stand for themselves."""
    return html.escape(str(name), quote=False).replace("%", "&#37;")


def sheet(**layout: Any) -> Any:
    """An empty figure in the house style."""
    import plotly.graph_objects as go

    style: dict[str, Any] = {
        "template": go.layout.Template(),
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "margin": {"l": 62, "r": 20, "t": 60, "b": 60},
        "hoverlabel": {"font": {"family": FONT, "size": 13}, "align": "left"},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 12}},
        "title": {"font": {"size": 14}, "x": 0, "xref": "container", "pad": {"l": 12}, "y": 0.98, "yanchor": "top"},
        "modebar": {"bgcolor": "rgba(0,0,0,0)"},
        "colorway": [BLUE, VERMILLION],
    }
    return go.Figure(layout={**style, **layout})


def with_unit(words: tuple[str, str]) -> str:
    """An axis title in two lines: what it is, and smaller, its unit."""
    return f"{safe(words[0])}<br><span style='font-size:11px'>{safe(words[1])}</span>"


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis in the house style: outside ticks, a faint grid, no bold zero line."""
    style: dict[str, Any] = {
        "title": {"text": title, "standoff": 8, "font": {"size": 13}},
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": FAINT,
        "linecolor": FAINT,
        "showline": True,
        "gridcolor": "rgba(139,151,155,0.25)",
        "zeroline": False,
        "automargin": True,
    }
    return {**style, **more}


def log_axis(
    title: str, limits: tuple[float, float], most: int, words: Callable[[float], str] = amount, **more: Any
) -> dict[str, Any]:
    """A logarithmic axis with at most so many ticks on round numbers and plain words."""
    ticks = log_ticks(limits, most)
    told = [words(tick) for tick in ticks]
    return axis(title, type="log", range=list(np.log10(limits)), tickvals=ticks, ticktext=told, **more)


def heading(drawn: Any, text: str, up: str, across: str = "") -> None:
    """The title of a low panel's upright axis, lying above it: upright, it would be longer than the panel.

    ``up`` and ``across`` are the numbers of the panel's axes; empty for the first.
    """
    place = {"xref": f"x{across} domain", "yref": f"y{up} domain", "x": 0, "y": 1}
    drawn.add_annotation(text=text, xanchor="left", yanchor="bottom", showarrow=False, font={"size": 12}, **place)


def titled(drawn: Any, words: str) -> Any:
    """The finished figure with its finding as the title, above all lines of the legend (two entries in each)."""
    entries = sum(trace.showlegend is not False for trace in drawn.data)
    room = 46 + 20 * -(-entries // 2)
    return drawn.update_layout(title_text=safe(words), margin_t=room)


def drawable(values: NDArray[np.float64], computed: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """``values`` with NaN (a gap) where they are not finite or not computed; float32 is plenty for a screen."""
    shown = np.isfinite(values) if computed is None else np.isfinite(values) & computed
    return np.where(shown, values, np.nan).astype(np.float32)


def colour_bar(title: str, **more: Any) -> dict[str, Any]:
    """A slim colour bar with its title above."""
    return {
        "title": {"text": title, "font": {"size": 12}},
        "thickness": 14,
        "outlinewidth": 0,
        "ticks": "outside",
        "len": 1,
        **more,
    }


def number_or_none(value: float) -> float | None:
    """A finite number, or None: a gap."""
    return float(value) if np.isfinite(value) else None


def anchor_hover(anchor: Any) -> str:
    """Hover text of a given model: its loss under the picture's batch-norm policy and by itself."""
    text = f"<b>{safe(anchor.name)}</b><br>at ({', '.join(number(value, 3) for value in anchor.coordinates)})"
    text += f"<br>loss {number(anchor.loss)}<br>with its own statistics {number(anchor.loss_own)}"
    if anchor.accuracy is not None:
        text += f"<br>accuracy {number(anchor.accuracy)}"
    return text
