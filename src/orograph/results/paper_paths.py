"""Figures for a paper: paths, in panels that share their horizontal axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orograph.results.alignment import Alignment
from orograph.results.palette import BLUE, FAINT, INK, ORANGE, series_colour
from orograph.results.paper import drawing, label, legend_below
from orograph.results.path import Path, Profile
from orograph.results.relief import is_wide, short
from orograph.results.routes import Polyline, Routes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROUTE_STYLES = {"straight line": (FAINT, "--"), "line before alignment": (FAINT, ":")}
PANELS = (
    ("train_loss", "train loss"),
    ("test_error", "test error"),
    ("pair_error", "test error of\nfirst and t averaged"),
)


def shown(profiles: list[Profile]) -> list[tuple[str, str]]:
    """The quantities that some profile has, with their titles; the test loss where there is no error."""
    found = [(name, title) for name, title in PANELS if any(getattr(p, name) is not None for p in profiles)]
    return found if len(found) > 1 else [*found, ("test_loss", "test loss")]


def route_style(name: str, index: int) -> tuple[str, str]:
    """Colour and dash of a route."""
    return ROUTE_STYLES.get(name, (series_colour((5, 2, 4, 3, 1, 0)[index % 6]), "-"))


def _panels(ax: Axes, count: int) -> list[Any]:
    """``ax`` divided into panels, one above the other."""
    ax.set_axis_off()
    gap = 0.06
    height = (1 - gap * (count - 1)) / count
    return [ax.inset_axes((0, 1 - (k + 1) * height - k * gap, 1, height)) for k in range(count)]


@drawing.register(Path)
def _path(result: Path, ax: Axes) -> None:
    drawing(Routes.of(result), ax)
    ax.set_title(label(f"{' to '.join(map(short, result.names))}: {result.stretch:.3f} times the straight way"))


@drawing.register(Routes)
def _routes(result: Routes, ax: Axes) -> None:
    quantities = shown(list(result.profiles.values()))
    panels = _panels(ax, len(quantities))
    for panel, (name, title) in zip(panels, quantities, strict=True):
        for index, (route, profile) in enumerate(result.profiles.items()):
            values = getattr(profile, name)
            colour, dash = route_style(route, index)
            if values is not None:
                panel.plot(profile.t, values, color=colour, ls=dash, label=label(route))
        _scale(panel, [getattr(p, name) for p in result.profiles.values()], name)
        panel.set_ylabel(title)
        panel.set_xlim(0, 1)
        if panel is not panels[-1]:
            panel.set_xticklabels([])
    panels[-1].set_xlabel(label(f"t, from {short(result.names[0])} to {short(result.names[1])}"))
    ax.set_title(label(" to ".join(map(short, result.names))))
    legend_below(panels[-1], *panels[0].get_legend_handles_labels())


@drawing.register(Polyline)
def _polyline(result: Polyline, ax: Axes) -> None:
    quantities = shown([result.profile])[:2]
    arc = result.profile.arc
    panels = _panels(ax, len(quantities))
    for panel, (name, title), colour in zip(panels, quantities, (BLUE, ORANGE), strict=True):
        values = getattr(result.profile, name)
        panel.plot(arc, values, color=colour)
        panel.plot(arc[result.corners], values[result.corners], "o", color=INK, ms=4)
        _scale(panel, [values], name)
        panel.set_ylabel(title)
        if panel is not panels[-1]:
            panel.set_xticklabels([])
    panels[-1].set_xlabel("length of the way (weight space)")
    ax.set_title(f"polyline through {len(result.names)} networks")


def _scale(panel: Any, values: list[NDArray[np.float64] | None], name: str) -> None:
    known = [value for value in values if value is not None]
    if "loss" in name and known and is_wide(np.concatenate(known)):
        panel.set_yscale("log")


@drawing.register(Alignment)
def _alignment(result: Alignment, ax: Axes) -> None:
    """The barriers of the line before and after, or, where they were not measured, the scores of each group."""
    if result.barriers:
        names = list(result.barriers)
        heights = [result.barriers[name].height for name in names]
        errors = [result.barriers[name].se for name in names]
        ax.barh(range(len(names)), heights, xerr=np.nan_to_num(errors), color=BLUE, height=0.6)
        ax.set_yticks(range(len(names)), [label(name.replace(", ", ",\n")) for name in names])
        ax.set_xlabel(
            "barrier of the straight line" + (f" ({unit})" if (unit := result.barriers[names[0]].unit) else "")
        )
    else:
        rows = np.arange(len(result.groups))
        ax.barh(rows - 0.2, result.score_before, height=0.4, color=FAINT, label="before")
        ax.barh(rows + 0.2, result.score_after, height=0.4, color=BLUE, label="after")
        ax.set_yticks(rows, [label(short(name)) for name in result.groups], fontsize="x-small")
        ax.set_xlabel("agreement of the units")
        ax.legend(frameon=False, fontsize="small")
    ax.invert_yaxis()
    ax.set_title(label(f"{' and '.join(map(short, result.names))}: distance {result.distance_before:.4g} before, "
                       f"{result.distance_after:.4g} after"), fontsize="medium")  # fmt: skip
