"""Interactive figures: paths, in panels that share their horizontal axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from orograph.results.alignment import Alignment
from orograph.results.interactive import axis, drawable, plotting, safe, sheet
from orograph.results.palette import BLUE, FAINT, INK, ORANGE
from orograph.results.paper_paths import route_style, shown
from orograph.results.path import Path
from orograph.results.relief import is_wide, number, short
from orograph.results.routes import Polyline, Routes

_DASHES = {"-": "solid", "--": "dash", ":": "dot"}


@plotting.register(Path)
def _path(result: Path) -> Any:
    return plotting(Routes.of(result))


@plotting.register(Routes)
def _routes(result: Routes) -> Any:
    quantities = shown(list(result.profiles.values()))
    drawn = _panels([title for _, title in quantities], f"t, from {safe(short(result.names[0]))} to "
                    f"{safe(short(result.names[1]))}")  # fmt: skip
    for row, (name, title) in enumerate(quantities):
        for index, (route, profile) in enumerate(result.profiles.items()):
            values = getattr(profile, name)
            if values is None:
                continue
            colour, dash = route_style(route, index)
            drawn.add_scatter(
                x=profile.t.astype(np.float32),
                y=drawable(values),
                yaxis=f"y{row + 1}",
                name=safe(route),
                legendgroup=route,
                showlegend=row == 0,
                line={"color": colour, "dash": _DASHES[dash], "width": 2.5 if dash == "-" else 2},
                hovertemplate=f"<b>{safe(route)}</b><br>t = %{{x:.3f}}<br>{title.replace(chr(10), ' ')} %{{y:.4g}}"
                "<extra></extra>",
            )
        _scale(drawn, row, name, [getattr(p, name) for p in result.profiles.values()])
    return drawn


@plotting.register(Polyline)
def _polyline(result: Polyline) -> Any:
    quantities = shown([result.profile])[:2]
    drawn = _panels([title for _, title in quantities], "length of the way (weight space)")
    arc, corners = result.profile.arc, result.corners
    for row, ((name, title), colour) in enumerate(zip(quantities, (BLUE, ORANGE), strict=True)):
        values = getattr(result.profile, name)
        place = {"yaxis": f"y{row + 1}", "showlegend": False}
        line = {"color": colour, "width": 2.5}
        drawn.add_scatter(
            x=arc, y=drawable(values), line=line, hovertemplate=f"{title} %{{y:.4g}}<extra></extra>", **place
        )
        drawn.add_scatter(
            x=arc[corners],
            y=drawable(values[corners]),
            mode="markers",
            marker={"color": INK, "size": 8},
            hovertext=[
                f"<b>{safe(n)}</b><br>{title} {number(v)}" for n, v in zip(result.names, values[corners], strict=True)
            ],
            hoverinfo="text",
            **place,
        )
        _scale(drawn, row, name, [values])
    return drawn


@plotting.register(Alignment)
def _alignment(result: Alignment) -> Any:
    """The barriers of the line before and after, or the scores of each group."""
    drawn = sheet(barmode="group")
    if result.barriers:
        names = [safe(name) for name in result.barriers]
        walls = list(result.barriers.values())
        drawn.add_bar(
            x=[wall.height for wall in walls],
            y=[name.replace(", ", ",<br>") for name in names],
            orientation="h",
            marker={"color": BLUE},
            hovertext=[f"<b>{name}</b><br>{wall}" for name, wall in zip(names, walls, strict=True)],
            hoverinfo="text",
        )
        unit = f" ({walls[0].unit})" if walls[0].unit else ""
        drawn.update_layout(xaxis=axis(f"barrier of the straight line{unit}"), yaxis=axis("", autorange="reversed"))
        return drawn
    names = [safe(short(name)) for name in result.groups]
    for scores, title, colour in ((result.score_before, "before", FAINT), (result.score_after, "after", BLUE)):
        drawn.add_bar(x=scores, y=names, orientation="h", name=title, marker={"color": colour})
    drawn.update_layout(xaxis=axis("agreement of the units"), yaxis=axis("", autorange="reversed"))
    return drawn


def _panels(titles: list[str], below: str) -> Any:
    """Panels one above the other, over one axis."""
    count, gap = len(titles), 0.07
    height = (1 - gap * (count - 1)) / count
    drawn = sheet(xaxis=axis(below, anchor=f"y{count}"), hovermode="closest")
    for row, title in enumerate(titles):
        top = 1 - row * (height + gap)
        style = axis(title.replace("\n", "<br>"), domain=[max(top - height, 0.0), top])
        drawn.update_layout({f"yaxis{row + 1 if row else ''}": style})
    return drawn


def _scale(drawn: Any, row: int, name: str, values: list[Any]) -> None:
    known = [value for value in values if value is not None]
    if "loss" in name and known and is_wide(np.concatenate(known)):
        drawn.update_layout({f"yaxis{row + 1 if row else ''}": {"type": "log", "exponentformat": "power"}})
