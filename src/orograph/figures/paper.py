"""Figures for a paper: each result on a matplotlib axis.

A new kind of result joins with ``@drawing.register(Kind)`` and a line in :mod:`orograph.figures`; planes and
trajectories are drawn in ``paper_planes``, paths in ``paper_paths``, ensembles and their laws in ``paper_laws``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import singledispatch
from textwrap import fill
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from orograph.basics.errors import UsageError
from orograph.figures.palette import BLUE, DISTANCE_SCALE, FAINT, GREEN, INK, ORANGE, VERMILLION
from orograph.figures.relief import is_wide, short
from orograph.figures.scales import amount, log_ticks
from orograph.results.distances import Distances
from orograph.results.line import Line
from orograph.results.result import Result
from orograph.results.run import Run
from orograph.results.study import Claim, StudyResult

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

NUMBERS_UP_TO = 8  # distance matrices of more networks than this are drawn without numbers in their cells

VERDICT_COLOURS = {"reproduced": GREEN, "not reproduced": VERMILLION, "inconclusive": ORANGE}


@singledispatch
def drawing(result: Result, ax: Axes) -> None:
    """Draw ``result`` on ``ax``; one registered function for each kind of result."""
    raise UsageError(f"a {type(result).__name__} has no drawing; its summary() and to_dict() hold the numbers")


def label(name: str) -> str:
    """A user's name as matplotlib text: a dollar sign is a dollar sign, not the start of a formula."""
    return name.replace("$", r"\$")


def legend_below(ax: Axes, handles: Sequence[Artist], labels: Sequence[str], lines: int = 1) -> None:
    """A legend under an axis whose label has ``lines`` lines: inside, it would hide what is drawn."""
    from matplotlib.transforms import ScaledTranslation

    down = ScaledTranslation(0, -(22 + 14 * lines) / 72, ax.figure.dpi_scale_trans)
    ax.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=ax.transAxes + down,
        fontsize="small",
        frameon=False,
        ncols=1 if max(map(len, labels), default=0) > 30 else 2,
        borderaxespad=0,
        borderpad=0,
    )


def log_axis(
    ax: Any,
    limits: tuple[float, float],
    most: int,
    which: Literal["x", "y"] = "x",
    words: Callable[[float], str] = amount,
) -> None:
    """Make an axis logarithmic, with at most so many ticks on round numbers and plain words."""
    ticks = log_ticks(limits, most)
    ax.set(**{f"{which}scale": "log", f"{which}lim": limits, f"{which}ticks": ticks})
    ax.set(**{f"{which}ticklabels": [words(tick) for tick in ticks]})
    ax.minorticks_off()


@drawing.register(Distances)
def _distances(result: Distances, ax: Axes) -> None:
    n = len(result.names)
    apart = np.where(np.eye(n, dtype=bool), np.nan, result.matrix)  # the zeros would take most of the colour range
    image = ax.imshow(np.ma.masked_invalid(apart), cmap=DISTANCE_SCALE)
    ax.set_facecolor("#e9ecec")
    names = [label(short(name)) for name in result.names]
    ax.set_xticks(range(n), names, rotation=90 if max(map(len, names), default=0) > 4 else 0)
    ax.set_yticks(range(n), names)
    if n <= NUMBERS_UP_TO:
        for row in range(n):
            for column in range(n):
                ax.text(
                    column,
                    row,
                    f"{result.matrix[row, column]:.4g}",
                    ha="center",
                    va="center",
                    fontsize="small",
                    color=_readable(image.to_rgba(apart[row, column])) if row != column else INK,
                )
    if n > 1:
        _bar(ax, image, "distance (weight-space length)")
    ax.set_title(f"{n} networks, {result.parameters:,} parameters")


def _readable(colour: object) -> str:
    red, green, blue = np.asarray(colour, dtype=float)[:3]
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def bar_beside(ax: Axes) -> Axes:
    """A place for a colour bar as tall as ``ax`` itself, whatever its aspect."""
    return ax.inset_axes((1.03, 0, 0.04, 1))


def _bar(ax: Axes, image: object, text: str) -> None:
    ax.figure.colorbar(image, cax=bar_beside(ax), label=text)  # type: ignore[arg-type]


@drawing.register(Line)
def _line(result: Line, ax: Axes) -> None:
    loss = np.where(result.computed & np.isfinite(result.loss), result.loss, np.nan)
    ax.plot(result.alphas, loss, color=BLUE, label="loss")
    _band(ax, result.alphas, loss, result.loss_se, BLUE)
    if is_wide(loss):
        ax.set_yscale("log")
    broken = result.computed & ~np.isfinite(result.loss)
    if broken.any():  # marked at the top edge: they have no height
        ax.plot(
            result.alphas[broken],
            np.ones(int(broken.sum())),
            "x",
            color=VERMILLION,
            transform=ax.get_xaxis_transform(),
            clip_on=False,
            label=f"not finite ({int(broken.sum())})",
        )
    for anchor in result.anchors:
        ax.axvline(anchor.coordinates[0], color=FAINT, lw=0.6, zorder=0)
        ax.plot(anchor.coordinates[0], anchor.loss, "o", color=INK, ms=5, zorder=4)
        ax.annotate(
            label(short(anchor.name)),
            (anchor.coordinates[0], anchor.loss),
            (5, -11),
            textcoords="offset points",
            zorder=5,
        )
    ax.set_title(label(" to ".join(map(short, result.names))))
    _barrier(result, ax)
    ax.set_xlabel(f"α (1 unit = {result.length:.4g} in weight space)")
    ax.set_ylabel(result.provenance.loss_label(), color=BLUE)
    handles = ax.get_legend_handles_labels()
    if result.accuracy is not None:
        twin = ax.twinx()
        accuracy = np.where(result.computed, result.accuracy, np.nan)
        twin.plot(result.alphas, accuracy, color=VERMILLION, ls="--", label="accuracy")
        if result.accuracy_se is not None:
            _band(twin, result.alphas, accuracy, result.accuracy_se, VERMILLION)
        twin.set_ylabel("accuracy", color=VERMILLION)
        twin.set_ylim(0, 1.02)
        handles = tuple(a + b for a, b in zip(handles, twin.get_legend_handles_labels(), strict=True))  # type: ignore[assignment]
    legend_below(ax, *handles)


def _band(ax: Axes, x: NDArray[np.float64], y: NDArray[np.float64], se: NDArray[np.float64], colour: str) -> None:
    if np.any(se > 0):
        ax.fill_between(x, y - se, y + se, color=colour, alpha=0.2, lw=0, label="± 1 s.e.")


def _barrier(result: Line, ax: Axes) -> None:
    barrier = result.barrier
    if barrier is None:
        return
    words = str(barrier)
    ax.plot([0, 1], [barrier.loss_start, barrier.loss_end], color=INK, lw=0.9, ls=":", label="chord")
    chord = (1 - barrier.at) * barrier.loss_start + barrier.at * barrier.loss_end
    top = barrier.loss_at if np.isfinite(barrier.loss_at) else chord
    ax.plot([barrier.at, barrier.at], [chord, top], color=INK, lw=1.2, marker="_", label="barrier")
    ax.set_title(f"{ax.get_title()}\n{fill(words, 60)}", fontsize="medium")


@drawing.register(Run)
def _run(result: Run, ax: Axes) -> None:
    ax.plot(result.epochs, result.train_loss, color=BLUE, ls=":", label="train loss")
    ax.plot(result.epochs, result.test_loss, color=BLUE, label="test loss")
    ax.set_xlabel("epoch")
    ax.set_ylabel(result.provenance.loss_label(), color=BLUE)
    ax.set_title(label(short(result.name, 60)))
    handles = ax.get_legend_handles_labels()
    if result.test_accuracy is not None:
        twin = ax.twinx()
        twin.plot(result.epochs, result.train_accuracy, color=VERMILLION, ls=":", label="train accuracy")
        twin.plot(result.epochs, result.test_accuracy, color=VERMILLION, label="test accuracy")
        twin.set_ylabel("accuracy", color=VERMILLION)
        twin.set_ylim(0, 1.02)
        handles = tuple(a + b for a, b in zip(handles, twin.get_legend_handles_labels(), strict=True))  # type: ignore[assignment]
    legend_below(ax, *handles)


@drawing.register(StudyResult)
def _study(result: StudyResult, ax: Axes) -> None:
    """The claims as a list: verdict in words, statement, measured figure."""
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    ax.set_ylim(len(result.claims), 0)
    ax.set_title(label(result.study), loc="left")
    for row, claim in enumerate(result.claims):
        colour = VERDICT_COLOURS[claim.verdict]
        ax.plot(0.008, row + 0.35, "o", color=colour)
        ax.text(0.03, row + 0.35, claim.verdict, va="center", weight="bold", fontsize="small")
        ax.text(0.21, row + 0.35, label(fill(claim.statement, 50)), va="center", fontsize="small")
        ax.text(0.76, row + 0.35, label(fill(measured_words(claim), 24)), va="center", fontsize="small")


def measured_words(claim: Claim) -> str:
    """A claim's measured figure with its interval and unit, in words where there is none."""
    if claim.measured is None:
        return "not measured"
    interval = f" [{claim.interval[0]:.4g}, {claim.interval[1]:.4g}]" if claim.interval else ""
    return f"{claim.measured:.4g}{interval} {claim.unit}".strip()
