"""Figures for a paper: curves to be compared, a panel for each quantity."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from orograph.figures.palette import INK, series_colour
from orograph.figures.paper import drawing, label, legend_below, log_axis
from orograph.figures.paper_paths import panels
from orograph.figures.relief import short
from orograph.figures.scales import log_padded, whole
from orograph.results.comparison import Comparison
from orograph.results.gradient_variance import GradientVariance
from orograph.results.learned_scales import LearnedScales
from orograph.results.signals import RateRange
from orograph.results.workers import Workers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = ("o", "s", "D", "^", "v", "P")


def colour_of(index: int) -> str:
    """The colour of the curve number ``index``, darkest first."""
    return series_colour((5, 2, 4, 3, 0, 1)[index % 6])


def together(result: Comparison, row: int | None) -> NDArray[np.float64]:
    """All values of the quantity ``row``, or all places on the horizontal axis, those of marks among them."""
    each = [one.x if row is None else one.values[row] for one in result.series.values()]
    if row is None:
        each.append(np.array(list(result.marks.values()), dtype=np.float64))
    return np.concatenate(each) if each else np.empty(0)


@drawing.register(Workers)
def _workers(result: Workers, ax: Axes) -> None:
    drawing(Workers.compared({f"{result.count} workers": result}), ax)


@drawing.register(LearnedScales)
def _scales(result: LearnedScales, ax: Axes) -> None:
    drawing(result.compared(), ax)


@drawing.register(RateRange)
def _range(result: RateRange, ax: Axes) -> None:
    drawing(result.compared(), ax)


@drawing.register(GradientVariance)
def _variance(result: GradientVariance, ax: Axes) -> None:
    drawing(GradientVariance.compared({"gradients": result}), ax)


@drawing.register(Comparison)
def _comparison(result: Comparison, ax: Axes) -> None:
    rows = panels(ax, len(result.quantities))
    for row, (panel, title) in enumerate(zip(rows, result.quantities, strict=True)):
        for index, (name, one) in enumerate(result.series.items()):
            spread = None if one.spread is None else np.nan_to_num(one.spread[row])
            few = len(one.x) <= 24 or not one.joined
            panel.errorbar(
                one.x,
                np.where(np.isfinite(one.values[row]), one.values[row], np.nan),
                spread,
                color=colour_of(index),
                ls="-" if one.joined else "none",
                marker=MARKS[index % len(MARKS)] if few else "",
                ms=4 if one.joined else 6,
                mfc=colour_of(index) if one.joined else "none",
                capsize=2,
                elinewidth=1,
                label=label(short(name)),
            )
        for name, place in result.marks.items():
            panel.axvline(place, color=INK, ls="--", lw=1.2, label=label(short(name)))
        panel.set_ylabel(fill(label(title), 96 // (len(rows) + 1)), fontsize="small")
        if title in result.logarithmic:
            log_axis(panel, log_padded(together(result, row)), 5, "y")
        if result.across in result.logarithmic:
            log_axis(panel, log_padded(together(result, None)), 9)
        elif (ticks := whole(together(result, None))) is not None:
            panel.set_xticks(ticks)
        if panel is not rows[-1]:
            panel.set_xticklabels([])
    rows[-1].set_xlabel(label(result.across) + (f"; bars: {result.bars}" if result.bars else ""))
    legend_below(rows[-1], *rows[0].get_legend_handles_labels())
