"""Paper figures of planes and of trajectories on their principal axes."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from orograph.figures.palette import FAINT, INK, PAPER, VERMILLION, YELLOW, series_colour
from orograph.figures.paper import bar_beside, drawing, label, legend_below
from orograph.figures.relief import (
    Relief,
    axis_words,
    best_words,
    cell_edges,
    default_quantity,
    number,
    relief,
    share_words,
    short,
)
from orograph.results.surface import ProjectedPath, Surface
from orograph.results.trajectory import Trajectory

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes


@drawing.register(Surface)
def _surface(result: Surface, ax: Axes) -> None:
    shown = relief(result)
    handles = _country(result, shown, ax)
    for index, path in enumerate(result.paths):
        _path(path, index, ax)
    if not shown.empty:
        row, column = result.best
        ax.plot(
            result.alpha[column],
            result.beta[row],
            "*",
            ms=13,
            color=YELLOW,
            mec=INK,
            mew=0.8,
            label="best cell",
            zorder=5,
        )
    for anchor in result.anchors:
        value = anchor.accuracy if shown.quantity == "accuracy" else anchor.loss
        ax.plot(*anchor.coordinates[:2], "o", color=PAPER, mec=INK, ms=6, zorder=6)
        _name(f"{label(short(anchor.name))}  {number(value, 3)}", anchor.coordinates[0], anchor.coordinates[1], ax)
    across, up, warning = axis_words(result)
    ax.set_xlabel(label(", ".join(across)) + (f"\n{fill(warning, 52)}" if warning else ""))
    ax.set_ylabel(label("\n".join(up)))
    ax.set_title(best_words(result))
    _aspect(result, ax)
    _legend(ax, handles)


@drawing.register(Trajectory)
def _trajectory(result: Trajectory, ax: Axes) -> None:
    handles: list[Artist] = []
    if result.surface is not None:
        handles = _country(
            result.surface, relief(result.surface, default_quantity(result.surface, prefer_loss=True)), ax
        )
    x, y = result.coordinates[:, 0], result.coordinates[:, 1]
    spacing = "" if result.even else ", unevenly spaced in steps"
    ax.plot(x, y, "-", color=PAPER, lw=3.2, zorder=3)
    ax.plot(x, y, "-o", color=VERMILLION, ms=4, lw=1.4, zorder=4, label=f"{len(x)} checkpoints{spacing}")
    ax.plot(
        x[0], y[0], "o", color=PAPER, mec=INK, ms=7, zorder=5, label=f"start, true loss {number(result.loss[0], 3)}"
    )
    ax.plot(
        x[-1], y[-1], "*", color=YELLOW, mec=INK, ms=12, zorder=5, label=f"end, true loss {number(result.loss[-1], 3)}"
    )
    ax.set_xlabel("\n".join(share_words(result.explained, result.explained_random_walk, 0)))
    ax.set_ylabel("\n".join(share_words(result.explained, result.explained_random_walk, 1)))
    ax.set_aspect("equal", adjustable="datalim" if result.surface is None else "box")
    farthest = float(np.nanmax(result.off_plane)) if len(result.off_plane) else 0.0
    ax.set_title(f"{label(short(result.name))}: up to {farthest:.3g} off this plane")
    _legend(ax, handles)


def _country(result: Surface, shown: Relief, ax: Axes) -> list[Artist]:
    """Fill the plane; returns legend handles for cells that are not finite or not computed."""
    import matplotlib
    from matplotlib.collections import PatchCollection
    from matplotlib.colors import BoundaryNorm
    from matplotlib.patches import Patch, Rectangle

    values = np.ma.masked_invalid(shown.values)
    across, up = cell_edges(result.alpha), cell_edges(result.beta)
    holes = bool(shown.nonfinite.any() or shown.missing.any())
    if shown.empty:
        ax.text(0.5, 0.5, "no finite cell", transform=ax.transAxes, ha="center", va="center", color=FAINT)
    else:
        extend: Literal["max", "neither"] = "max" if shown.clipped else "neither"
        colours = matplotlib.colormaps[shown.colours]
        norm = BoundaryNorm(shown.levels, colours.N, extend=extend)
        small = min(values.shape) < 2
        # Contours end one cell before a hole; cells drawn beneath keep every computed cell in the picture.
        image = ax.pcolormesh(across, up, values, cmap=colours, norm=norm, rasterized=True) if holes or small else None
        if not small:
            filled = ax.contourf(
                result.alpha, result.beta, values, shown.levels, cmap=colours, norm=norm, extend=extend
            )
            ax.contour(result.alpha, result.beta, values, shown.levels, colors="white", linewidths=0.35, alpha=0.7)
            image = image or filled  # type: ignore[assignment]
        assert image is not None
        bar = ax.figure.colorbar(image, cax=bar_beside(ax), label=shown.label, extend=extend, spacing="proportional")
        bar.set_ticks([at for at, _ in shown.ticks], labels=[text for _, text in shown.ticks])
        bar.minorticks_off()
    handles: list[Artist] = []
    rows, columns = np.nonzero(shown.nonfinite)
    if len(rows):
        cells = [
            Rectangle((across[i], up[j]), across[i + 1] - across[i], up[j + 1] - up[j])
            for j, i in zip(rows, columns, strict=True)
        ]
        style: dict[str, Any] = {"facecolor": PAPER, "edgecolor": VERMILLION, "hatch": "//////", "linewidth": 0.5}
        ax.add_collection(PatchCollection(cells, gid="not finite", zorder=2.5, **style))
        handles.append(Patch(label=f"not finite ({len(rows)})", **style))
    if shown.missing.any():
        handles.append(Patch(facecolor=PAPER, edgecolor=FAINT, label=f"not computed ({int(shown.missing.sum())})"))
    ax.set_xlim(*_ends(result.alpha, across, holes))
    ax.set_ylim(*_ends(result.beta, up, holes))
    return handles


def _ends(axis: NDArray[np.float64], edges: NDArray[np.float64], whole_cells: bool) -> tuple[float, float]:
    ends = edges if whole_cells or len(axis) < 2 else axis
    return float(ends[0]), float(ends[-1])


def _path(path: ProjectedPath, index: int, ax: Axes) -> None:
    """A projected path with a dot for each checkpoint, an arrow at its end, and its true losses in the legend."""
    colour = series_colour(index)
    x, y = path.coordinates[:, 0], path.coordinates[:, 1]
    text = f"{'path ' if path.unit == 'epoch' else ''}{label(short(path.name))}"
    if len(path.loss):
        text += f" (true loss {number(path.loss[0], 3)} → {number(path.loss[-1], 3)})"
    ax.plot(x, y, "-", color=INK, lw=2.2, zorder=3)
    ax.plot(x, y, "-o", color=colour, lw=1.2, ms=3, zorder=4, label=text)
    if len(x) > 1:
        ax.annotate(
            "", (x[-1], y[-1]), (x[-2], y[-2]), arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.2}, zorder=4
        )


def _name(text: str, x: float, y: float, ax: Axes) -> None:
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2.5, foreground=PAPER)]
    left = x > np.mean(ax.get_xlim())  # towards the middle, so that no name leaves the picture
    ax.annotate(
        text,
        (x, y),
        (-7 if left else 7, 6),
        textcoords="offset points",
        ha="right" if left else "left",
        color=INK,
        fontsize="small",
        path_effects=halo,
        zorder=7,
    )


def _aspect(result: Surface, ax: Axes) -> None:
    if result.frame == "orthonormal":
        ax.set_aspect("equal")
    else:
        ax.set_box_aspect(1)


def _legend(ax: Axes, handles: list[Artist]) -> None:
    drawn, words = ax.get_legend_handles_labels()
    if drawn or handles:
        words = [*words, *(str(handle.get_label()) for handle in handles)]
        legend_below(ax, [*drawn, *handles], words, lines=ax.get_xlabel().count("\n") + 1)
