"""Figures for a paper: ensembles, the laws of their loss, and how best to divide a budget among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from orograph.basics.words import counted
from orograph.figures.law_curves import (
    FEW_NAMES,
    Errors,
    LawCurve,
    SizeCurve,
    errors,
    law_curve,
    law_warnings,
    law_words,
    loss_title,
    size_curves,
    split_limits,
    split_words,
    stars,
    x_title,
)
from orograph.figures.palette import BLUE, FAINT, INK, ORANGE, PAPER, VERMILLION, size_colour
from orograph.figures.paper import drawing, label, legend_below, log_axis
from orograph.figures.relief import short
from orograph.figures.scales import amount, every, padded
from orograph.results.power_law import MemorySplit, PowerLaw
from orograph.results.predictions import Predictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@drawing.register(PowerLaw)
def _power_law(result: PowerLaw, ax: Axes) -> None:
    """The law over its points; below, the same as a straight line, and where c and a lie together."""
    curve, lawful, cloudy = law_curve(result), bool(np.isfinite(result.c)), bool(len(result.cloud))
    ax.set_axis_off()
    top = ax.inset_axes((0, 0.47, 1, 0.53) if lawful else (0, 0, 1, 1))
    _law_and_points(result, curve, top)
    lowest = top
    if lawful:
        lowest = ax.inset_axes((0, 0, 0.42 if cloudy else 1, 0.33))
        _straightened(result, curve, lowest)
        if cloudy:
            _cloud(result, ax.inset_axes((0.58, 0, 0.42, 0.33)))
    ax.set_title(label("\n".join([law_words(result), *law_warnings(result)])), fontsize="small")
    legend_below(lowest, *top.get_legend_handles_labels())


def _law_and_points(result: PowerLaw, curve: LawCurve, ax: Any) -> None:
    if np.isfinite(result.c):
        ax.fill_between(curve.x, curve.low, curve.high, color=BLUE, alpha=0.2, lw=0)
        _law_line(curve, curve.y, ax)
        if curve.limit_inside:
            ax.axhline(result.c, color=INK, lw=1, ls=":", label=f"limit c = {result.c:.3g}")
        else:
            ax.annotate(f"limit c = {result.c:.3g} below", (0.02, 0.03), xycoords="axes fraction", fontsize="small")
    without = result.without_collapsed
    if without is not None and np.isfinite(without.c):
        text = f"without {counted(len(result.collapsed), 'collapsed network')}"
        ax.plot(curve.x, without.predict(curve.x), color=ORANGE, lw=1.2, ls="-.", label=text)
    _points(result, 0.0, ax)
    ax.set_ylim(*curve.up)
    log_axis(ax, curve.across, 9)
    ax.set_xlabel(label(x_title(result)))
    ax.set_ylabel(loss_title(result.temperature))


def _law_line(curve: LawCurve, y: Any, ax: Any) -> None:
    """Solid between the points that it was fitted to, dashed beyond."""
    ax.plot(curve.x, y, color=BLUE, lw=1.2, ls="--")
    words = "law, 95 % interval" if np.isfinite(curve.low).any() else "law"
    ax.plot(curve.x, np.where(curve.fitted, y, np.nan), color=BLUE, lw=1.8, label=words)


def _points(result: PowerLaw, below: float, ax: Any) -> None:
    """Points, forecasts and what was measured there, all lowered by ``below``."""
    bars = {"ls": "none", "capsize": 2, "elinewidth": 1}
    finite = np.isfinite(result.y)
    fitted, others = result.fitted & finite, ~result.fitted & finite
    for keep, face, text in ((fitted, BLUE, "fitted, ± 1 s.e."), (others, PAPER, "not fitted")):
        if keep.any():
            x, y, se = (values[keep] for values in (result.x, result.y - below, np.nan_to_num(result.se)))
            ax.errorbar(x, y, se, fmt="o", ms=5, color=BLUE, mfc=face, label=text, zorder=4, **bars)
    lonely = (result.groups == 1) & finite
    if lonely.any() and (result.groups > 1).any():
        style = {"ms": 10, "mfc": "none", "mec": FAINT, "zorder": 3}
        ax.plot(result.x[lonely], result.y[lonely] - below, "o", label="a single group", **style)
    for forecast in result.forecasts:
        reach = np.abs(np.array(forecast.interval)[:, None] - forecast.predicted)
        ax.errorbar(
            forecast.x, forecast.predicted - below, reach, fmt="D", ms=6, color=VERMILLION, mfc="none", zorder=5, **bars
        )
        if forecast.measured is not None:
            ax.plot(forecast.x, forecast.measured - below, "x", ms=6, mew=1.6, color=INK, zorder=6)
    if result.forecasts:  # drawn once more for the legend, without a place
        ax.errorbar([], [], [], fmt="D", ms=6, color=VERMILLION, mfc="none", label="forecast, 95 %", **bars)
    if any(forecast.measured is not None for forecast in result.forecasts):
        ax.plot([], [], "x", ms=6, mew=1.6, color=INK, label="measured, not seen by the law")
    if (~finite).any():  # marked at the top edge: they have no height
        text, place = f"not finite ({int((~finite).sum())})", ax.get_xaxis_transform()
        x = result.x[~finite]
        ax.plot(x, np.ones(len(x)), "x", color=VERMILLION, transform=place, clip_on=False, label=text)


def _straightened(result: PowerLaw, curve: LawCurve, ax: Any) -> None:
    ax.set_yscale("log", nonpositive="clip")
    _law_line(curve, curve.y - result.c, ax)
    _points(result, result.c, ax)
    under = result.y <= result.c
    if under.any():  # a weighted fit may leave points below the limit, which have no logarithm
        text = f"{int(under.sum())} below c"
        ax.annotate(text, (0.03, 0.04), xycoords="axes fraction", fontsize="small", color=VERMILLION)
    log_axis(ax, curve.gaps, 5, "y")
    log_axis(ax, curve.across, 5)
    ax.set_xlabel(label(short(result.axis, 16)))
    ax.set_ylabel("NLL less c (nats)")


def _cloud(result: PowerLaw, ax: Any) -> None:
    c, _, a = result.cloud.T
    ax.plot(a, c, "o", ms=2, color=BLUE, alpha=0.3, mew=0, rasterized=True)
    ax.plot(result.a, result.c, "P", ms=7, color=INK, mec=PAPER)
    ax.set_xlim(*padded([*a, result.a]))
    ax.set_ylim(*padded([*c, result.c]))
    ax.locator_params(nbins=4)
    ax.set_xlabel("a, resampled")
    ax.set_ylabel("c (nats)")


@drawing.register(MemorySplit)
def _memory_split(result: MemorySplit, ax: Axes) -> None:
    across, up = split_limits(result)
    curves = size_curves(result)
    best = stars(result, predicted=False)
    order = np.argsort(best.x)
    ax.plot(best.x[order], best.y[order], color=FAINT, lw=5, alpha=0.35, label="lower envelope", zorder=1)
    law = result.envelope
    if law is not None and np.isfinite(law.c):
        x = np.geomspace(law.x.min(), law.x.max(), 121)
        ax.plot(x, law.predict(x), color=INK, lw=1, ls="--", label="its law")
    for index, curve in enumerate(curves):
        _size_curve(curve, ax, named=index in every(len(curves), FEW_NAMES))
    foretold = stars(result, predicted=True)
    styles: tuple[dict[str, Any], ...] = ({"ms": 9, "mec": INK}, {"ms": 14, "mfc": "none"})
    for found, style in zip((best, foretold), styles, strict=True):
        for x, y, colour in zip(found.x, found.y, found.colours, strict=True):
            ax.plot(x, y, "*", color=colour, zorder=6, **style)
    for x, y, n in zip(best.x, best.y, best.n, strict=True):
        beneath = min([y, *foretold.y[foretold.x == x]])
        ax.annotate(
            str(n), (x, beneath), (0, -8), textcoords="offset points", ha="center", va="top", fontsize="small", zorder=7
        )
    log_axis(ax, across, 9)
    log_axis(ax, up, 7, "y")
    ax.set_xlabel("parameters of all networks together")
    ax.set_ylabel(loss_title(result.temperature))
    envelope = "" if law is None else f"\nenvelope: {law_words(law)}"
    ax.set_title(f"{split_words(result)}{envelope}", fontsize="small")
    _split_legend(result, ax)


def _size_curve(curve: SizeCurve, ax: Axes, *, named: bool) -> None:
    from matplotlib.patheffects import withStroke

    colour = curve.colour
    ax.plot(curve.used, curve.predicted, color=colour, lw=1, ls=":", zorder=2)
    style: dict[str, Any] = {"color": colour, "lw": 1.4, "elinewidth": 1, "zorder": 3}
    ax.errorbar(curve.used, curve.measured, curve.se, **style)
    for keep, face in ((~curve.single, colour), (curve.single, PAPER)):
        ax.plot(curve.used[keep], curve.measured[keep], "o", ms=4, color=colour, mfc=face, zorder=4)
    if named and curve.start is not None:
        halo = [withStroke(linewidth=2.5, foreground=PAPER)]
        style = {"color": INK, "fontsize": "small", "path_effects": halo, "zorder": 5}
        ax.annotate(amount(curve.size), curve.start, (4, 5), textcoords="offset points", **style)


def _split_legend(result: MemorySplit, ax: Axes) -> None:
    from matplotlib.lines import Line2D

    handles, words = ax.get_legend_handles_labels()
    colour = size_colour(0.5)
    more = [(Line2D([], [], color=colour, marker="o", ms=4), "one size, named at its first")]
    if (result.groups == 1).any():
        more.append((Line2D([], [], color=colour, marker="o", mfc=PAPER, ls="none", ms=4), "a single group"))
    if np.isfinite(result.predicted).any():
        more.append((Line2D([], [], color=colour, ls=":", lw=1), "foretold"))
        more.append((Line2D([], [], color=colour, marker="*", mfc="none", ls="none", ms=12), "best split foretold"))
    more.append((Line2D([], [], color=colour, marker="*", mec=INK, ls="none", ms=9), "best split, of n networks"))
    if result.collapsed:
        more.append((Line2D([], [], ls="none"), f"{counted(len(result.collapsed), 'collapsed network')} in it"))
    legend_below(ax, [*handles, *(handle for handle, _ in more)], [*words, *(text for _, text in more)])


@drawing.register(Predictions)
def _predictions(result: Predictions, ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    found = errors(result)
    n = np.arange(1, len(result) + 1)
    learned = ~found.collapsed & ~found.broken
    ax.plot(n[learned], found.each[learned], "o", ms=5, color=ORANGE, label="one network", clip_on=False)
    if learned.any():
        ax.axhline(found.each[learned].mean(), color=ORANGE, lw=1, ls="--", label="their mean")
    finite = " finite ones" if found.broken.any() else ""
    ax.plot(n, found.together, "-o", ms=3, color=BLUE, lw=1.8, label=f"first n{finite} together", zorder=4)
    low, high = (found.together + sign * found.se for sign in (-1, 1))
    ax.fill_between(n, low, high, color=BLUE, alpha=0.2, lw=0, label="± 1 s.e. over examples")
    _missing(found, n, ax)
    ax.set_ylim(*found.up)
    ax.set_xlim(0.5, len(n) + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("n, networks in their order")
    ax.set_ylabel(label(f"{short(result.part, 20)} error"))
    ax.set_title(found.words(), fontsize="medium")
    legend_below(ax, *ax.get_legend_handles_labels())


def _missing(found: Errors, n: Any, ax: Axes) -> None:
    """Networks that learned nothing, and those without an error, which stand at the top edge."""
    edge: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "clip_on": False, "ls": "none"}
    inside = found.collapsed & ~found.above
    if inside.any():
        text = f"collapsed ({int(inside.sum())})"
        ax.plot(n[inside], found.each[inside], "o", color=VERMILLION, mfc=PAPER, label=text, clip_on=False)
    if found.above.any():
        text = f"collapsed ({int(found.above.sum())}), error to {found.each[found.above].max():.2g}"
        ax.plot(n[found.above], np.ones(int(found.above.sum())), marker="^", color=VERMILLION, label=text, **edge)
    if found.broken.any():
        text = f"not finite ({int(found.broken.sum())})"
        ax.plot(n[found.broken], np.ones(int(found.broken.sum())), marker="x", color=VERMILLION, label=text, **edge)
