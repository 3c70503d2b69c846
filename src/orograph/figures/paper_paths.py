"""Figures for a paper: paths, in panels that share their horizontal axis."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orograph.figures.palette import BLUE, FAINT, INK, ORANGE, VERMILLION, series_colour
from orograph.figures.paper import drawing, label, legend_below, log_axis
from orograph.figures.relief import is_wide, number, short
from orograph.figures.scales import every, log_padded
from orograph.results.alignment import Alignment
from orograph.results.path import Path, Profile
from orograph.results.provenance import Provenance
from orograph.results.routes import Polyline, Routes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROUTE_STYLES = {"straight line": (FAINT, "--"), "line before alignment": (FAINT, ":")}
PAIR = "test error, averaged\nwith the first network"


def shown(profiles: list[Profile], provenance: Provenance) -> list[tuple[str, str]]:
    """The quantities that some profile has, with their titles; the test loss where there is no error."""
    loss = provenance.loss_label()
    titles = {"train_loss": f"train {loss}", "test_error": "test error", "pair_error": PAIR}
    found = {name: title for name, title in titles.items() if any(getattr(p, name) is not None for p in profiles)}
    return list((found if len(found) > 1 else {**found, "test_loss": f"test {loss}"}).items())


def route_style(name: str, index: int) -> tuple[str, str]:
    """Colour and dash of a route."""
    return ROUTE_STYLES.get(name, (series_colour((5, 2, 4, 3, 1, 0)[index % 6]), "-"))


def path_words(result: Path) -> str:
    """How high the way and the straight line rise, in one sentence."""
    tops = {f"{result.kind} curve": result.profile, "straight line": result.line}
    words = []
    for name, profile in tops.items():
        top = profile.summary_of("train_loss") if profile is not None else None
        if top is not None:
            words.append(f"{number(top.maximum, 3)} on the {name}")
    return f"Highest train loss {', '.join(words)}"


def polyline_words(result: Polyline) -> str:
    """How many networks, and how high the barriers between neighbours."""
    heights = [barrier.height for barrier in result.train_barriers]
    return f"{len(result.names)} networks, barriers {number(min(heights), 3)} to {number(max(heights), 3)}"


def alignment_words(result: Alignment) -> str:
    """What the alignment did to the distance."""
    return f"Distance {result.distance_before:.4g} before, {result.distance_after:.4g} after"


def last_part(name: str, longest: int) -> str:
    """The end of a tensor's name: long ones begin alike."""
    return name if len(name) <= longest else "…" + name[1 - longest :]


def apart(names: Sequence[str]) -> list[str]:
    """The names without the words that all of them begin with."""
    words = [name.split(" ") for name in names]
    columns = zip(*(own[:-1] for own in words), strict=False) if len(words) > 1 else ()
    shared = len(list(takewhile(lambda column: len(set(column)) == 1, columns)))
    return [" ".join(own[shared:]) for own in words]


def panels(ax: Axes, count: int) -> list[Any]:
    """``ax`` divided into panels, one above the other."""
    ax.set_axis_off()
    gap = 0.06
    height = (1 - gap * (count - 1)) / count
    return [ax.inset_axes((0, 1 - (k + 1) * height - k * gap, 1, height)) for k in range(count)]


@drawing.register(Path)
def _path(result: Path, ax: Axes) -> None:
    drawing(Routes.of(result), ax)
    ax.set_title(label(f"{' to '.join(map(short, result.names))}\n{path_words(result)}"), fontsize="medium")


@drawing.register(Routes)
def _routes(result: Routes, ax: Axes) -> None:
    quantities = shown(list(result.profiles.values()), result.provenance)
    rows = panels(ax, len(quantities))
    for panel, (name, title) in zip(rows, quantities, strict=True):
        for index, (route, profile) in enumerate(result.profiles.items()):
            colour, dash = route_style(route, index)
            _curve(panel, profile.t, getattr(profile, name), label=label(short(route)), color=colour, ls=dash)
        _scale(panel, [getattr(p, name) for p in result.profiles.values()], name)
        panel.set_ylabel(title)
        panel.set_xlim(0, 1)
        if panel is not rows[-1]:
            panel.set_xticklabels([])
    rows[-1].set_xlabel(label(f"t, from {short(result.names[0])} to {short(result.names[1])}"))
    ax.set_title(label(" to ".join(map(short, result.names))))
    handles = {text: handle for panel in rows for handle, text in zip(*panel.get_legend_handles_labels(), strict=True)}
    legend_below(rows[-1], list(handles.values()), list(handles))


@drawing.register(Polyline)
def _polyline(result: Polyline, ax: Axes) -> None:
    quantities = shown([result.profile], result.provenance)[:2]
    arc = result.profile.arc
    rows = panels(ax, len(quantities))
    for panel, (name, title), colour in zip(rows, quantities, (BLUE, ORANGE), strict=True):
        values = getattr(result.profile, name)
        for place in arc[result.corners]:
            panel.axvline(place, color=FAINT, lw=0.6, zorder=0)
        _curve(panel, arc, values, color=colour)
        panel.plot(
            arc[result.corners], np.where(np.isfinite(values), values, np.nan)[result.corners], "o", color=INK, ms=4
        )
        _scale(panel, [values], name)
        panel.set_ylabel(title)
        panel.set_xticks([])
    named = every(len(result.names), 16)
    names = [label(last_part(apart(result.names)[k], 16)) for k in named]
    slanted = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if sum(map(len, names)) > 50 else {}
    rows[-1].set_xticks(arc[result.corners][named], names, **slanted)
    rows[-1].set_xlabel(f"along a way of length {result.profile.length:.4g} in weight space")
    ax.set_title(polyline_words(result))


def _curve(panel: Any, x: NDArray[np.float64], values: NDArray[np.float64] | None, **style: Any) -> None:
    """A curve with gaps where it is not finite; such places are marked at the top edge, as they have no height."""
    if values is None:
        return
    finite = np.isfinite(values)
    panel.plot(x, np.where(finite, values, np.nan), **style)
    if not finite.all():
        mark = {"color": VERMILLION, "ls": "none", "marker": "x", "clip_on": False, "label": "not finite"}
        panel.plot(x[~finite], np.ones(int((~finite).sum())), transform=panel.get_xaxis_transform(), **mark)


def wide_limits(values: Sequence[NDArray[np.float64] | None], name: str) -> tuple[float, float] | None:
    """Limits of a logarithmic axis where a loss spans so much that it needs one."""
    known = [value for value in values if value is not None]
    together = np.concatenate(known) if known else np.empty(0)
    return log_padded(together) if "loss" in name and is_wide(together) else None


def _scale(panel: Any, values: list[NDArray[np.float64] | None], name: str) -> None:
    limits = wide_limits(values, name)
    if limits is not None:
        log_axis(panel, limits, 6, "y")


@drawing.register(Alignment)
def _alignment(result: Alignment, ax: Axes) -> None:
    """The barriers of the line before and after, or, where they were not measured, the scores of each group."""
    if result.barriers:
        walls = list(result.barriers.values())
        for row, wall in enumerate(walls):
            if np.isfinite(wall.height):
                ax.barh(row, wall.height, xerr=np.nan_to_num(wall.se, posinf=0), color=BLUE, height=0.6)
            else:  # no bar is long enough
                ax.plot(0.01, row, "x", color=VERMILLION, transform=ax.get_yaxis_transform())
                edge = ax.get_yaxis_transform()
                ax.text(0.03, row, number(wall.height), transform=edge, va="center", color=VERMILLION)
        ax.set_yticks(range(len(walls)), [label(name.replace(", ", ",\n")) for name in result.barriers])
        ax.set_xlabel("barrier of the straight line" + (f" ({walls[0].unit})" if walls[0].unit else ""))
        ax.set_xlim(left=0)
    else:
        rows = np.arange(len(result.groups))
        ax.barh(rows - 0.2, result.score_before, height=0.4, color=FAINT, label="before")
        ax.barh(rows + 0.2, result.score_after, height=0.4, color=BLUE, label="after")
        named = every(len(rows), 30)
        ax.set_yticks(named, [label(last_part(result.groups[k], 28)) for k in named], fontsize="x-small")
        ax.set_xlabel("agreement of the units")
        legend_below(ax, *ax.get_legend_handles_labels())
    ax.set_ylim(len(result.barriers or result.groups) - 0.4, -0.6)
    ax.set_title(label(f"{' and '.join(map(short, result.names))}\n{alignment_words(result)}"), fontsize="medium")
