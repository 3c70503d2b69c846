"""Interactive figures: paths, in panels that share their horizontal axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from orograph.figures.interactive import (
    axis,
    drawable,
    heading,
    log_axis,
    number_or_none,
    plotting,
    safe,
    sheet,
    titled,
)
from orograph.figures.palette import BLUE, FAINT, INK, ORANGE, VERMILLION
from orograph.figures.paper_paths import (
    alignment_words,
    apart,
    last_part,
    path_words,
    polyline_words,
    route_style,
    shown,
    wide_limits,
)
from orograph.figures.relief import number, short
from orograph.figures.scales import every
from orograph.results.alignment import Alignment
from orograph.results.path import Path
from orograph.results.routes import Polyline, Routes

_DASHES = {"-": "solid", "--": "dash", ":": "dot"}


@plotting.register(Path)
def _path(result: Path) -> Any:
    return titled(plotting(Routes.of(result)), path_words(result))


@plotting.register(Routes)
def _routes(result: Routes) -> Any:
    quantities = [(name, title.replace("\n", " ")) for name, title in shown(_profiles(result), result.provenance)]
    ends = [safe(short(name)) for name in result.names]
    drawn = panels([title for _, title in quantities], f"t, from {ends[0]} to {ends[1]}", range=[0, 1])
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
                name=safe(short(route)),
                showlegend=row == 0,
                line={"color": colour, "dash": _DASHES[dash], "width": 2.5 if dash == "-" else 2},
                hovertemplate=f"<b>{safe(route)}</b><br>t = %{{x:.3f}}<br>{title} %{{y:.4g}}<extra></extra>",
            )
            _gaps(drawn, row, profile.t, values, safe(route))
        _scale(drawn, row, name, [getattr(p, name) for p in _profiles(result)])
    return drawn


def _profiles(result: Routes) -> list[Any]:
    return list(result.profiles.values())


@plotting.register(Polyline)
def _polyline(result: Polyline) -> Any:
    quantities = shown([result.profile], result.provenance)[:2]
    arc, corners, named = result.profile.arc, result.corners, every(len(result.names), 10)
    words = f"along a way of length {result.profile.length:.4g} in weight space"
    names = [safe(last_part(apart(result.names)[k], 12)) for k in named]
    drawn = panels([title for _, title in quantities], words, tickvals=arc[corners][named].tolist(), ticktext=names)
    drawn.update_layout(showlegend=False)
    for row, ((name, title), colour) in enumerate(zip(quantities, (BLUE, ORANGE), strict=True)):
        values = getattr(result.profile, name)
        hover = f"{title} %{{y:.4g}} at %{{x:.4g}}<extra></extra>"
        panel = f"y{row + 1}"
        drawn.add_scatter(
            x=arc, y=drawable(values), line={"color": colour, "width": 2.5}, hovertemplate=hover, yaxis=panel
        )
        drawn.add_scatter(
            x=arc[corners],
            y=drawable(values[corners]),
            yaxis=panel,
            mode="markers",
            marker={"color": INK, "size": 8},
            hovertext=[
                f"<b>{safe(n)}</b><br>{title} {number(v)}" for n, v in zip(result.names, values[corners], strict=True)
            ],
            hoverinfo="text",
        )
        _gaps(drawn, row, arc, values, title)
        _scale(drawn, row, name, [values])
    return titled(drawn, polyline_words(result))


@plotting.register(Alignment)
def _alignment(result: Alignment) -> Any:
    """The barriers of the line before and after, or the scores of each group."""
    drawn = sheet(barmode="group", showlegend=not result.barriers)
    if result.barriers:
        names, walls = [safe(name) for name in result.barriers], list(result.barriers.values())
        rows = list(range(len(walls)))
        drawn.add_bar(
            x=[number_or_none(wall.height) for wall in walls],
            y=rows,
            orientation="h",
            marker={"color": BLUE},
            error_x={
                "type": "data",
                "array": [np.nan_to_num(wall.se, posinf=0) for wall in walls],
                "color": INK,
                "thickness": 1.2,
            },
            hovertext=[f"<b>{name}</b><br>{safe(wall)}" for name, wall in zip(names, walls, strict=True)],
            hoverinfo="text",
        )
        for row, wall in zip(rows, walls, strict=True):
            if not np.isfinite(wall.height):  # no bar is long enough
                place = {"x": 0, "y": row, "xref": "x domain", "xanchor": "left", "showarrow": False}
                drawn.add_annotation(text=f" × {number(wall.height)}", font={"color": VERMILLION}, **place)
        unit = f" ({safe(walls[0].unit)})" if walls[0].unit else ""
        ticks = {"tickvals": rows, "ticktext": [name.replace(", ", ",<br>") for name in names]}
        drawn.update_layout(xaxis=axis(f"barrier{unit}", rangemode="tozero"))
    else:
        rows, named = list(range(len(result.groups))), every(len(result.groups), 15)
        for scores, title, colour in ((result.score_before, "before", FAINT), (result.score_after, "after", BLUE)):
            drawn.add_bar(
                x=scores,
                y=rows,
                orientation="h",
                name=title,
                marker={"color": colour},
                hovertext=[
                    f"<b>{safe(group)}</b><br>{title} {number(score)}"
                    for group, score in zip(result.groups, scores, strict=True)
                ],
                hoverinfo="text",
            )
        ticks = {"tickvals": named, "ticktext": [safe(last_part(result.groups[k], 18)) for k in named]}
        drawn.update_layout(xaxis=axis("agreement of the units"))
    # Rows by number: two names may look the same once they are cut.
    drawn.update_layout(yaxis=axis("", range=[len(rows) - 0.5, -0.5], showgrid=False, **ticks))
    return titled(drawn, alignment_words(result))


def panels(titles: list[str], below: str, **more: Any) -> Any:
    """Panels one above the other, over one axis with the title ``below`` and ``more`` of its properties."""
    count, gap = len(titles), 0.11
    height = (1 - gap * (count - 1)) / count
    drawn = sheet(xaxis=axis(below, anchor=f"y{count}", **more), hovermode="closest")
    for row, title in enumerate(titles):
        top = 1 - row * (height + gap)
        drawn.update_layout({upright(row): axis("", domain=[max(top - height, 0.0), top])})
        heading(drawn, title, str(row + 1) if row else "")
    return drawn.update_layout(legend_y=1.07)


def upright(row: int) -> str:
    """The name of a panel's upright axis in the layout."""
    return f"yaxis{row + 1 if row else ''}"


def _gaps(drawn: Any, row: int, x: Any, values: Any, what: str) -> None:
    """A cross at the panel's upper edge for each place where a curve is not finite and so has no height."""
    for place in x[~np.isfinite(values)]:
        drawn.add_annotation(
            x=float(place),
            y=1,
            yref=f"y{row + 1 if row else ''} domain",
            text="×",
            font={"color": VERMILLION, "size": 15},
            hovertext=f"{what}: not finite",
            showarrow=False,
        )


def _scale(drawn: Any, row: int, name: str, values: list[Any]) -> None:
    limits = wide_limits(values, name)
    if limits is not None:
        style = log_axis("", limits, 5)
        drawn.update_layout({upright(row): {key: style[key] for key in ("type", "range", "tickvals", "ticktext")}})
