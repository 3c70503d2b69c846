"""Figures for a paper: what a diagnosis found, and how layers and gradients were spread over the steps."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Literal

import numpy as np

from orograph.figures.palette import BLUE, GREEN, INK, ORANGE, SKY, VERMILLION
from orograph.figures.paper import drawing, label, log_axis
from orograph.figures.relief import short
from orograph.figures.scales import log_padded, padded, power, spans_decades, whole
from orograph.figures.strips import strips
from orograph.results.diagnosis import Diagnosis, Histograms
from orograph.results.signals import LossCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW = 24  # points of a curve up to which each is marked
_SLIM = 4.5  # inches of a page, below which a colour bar lies under the picture
SEVERITIES = {"critical": VERMILLION, "warning": ORANGE, "question": SKY, "info": GREEN}


@drawing.register(Histograms)
def _histograms(result: Histograms, ax: Axes) -> None:
    found = strips(result)
    shown = np.sqrt(np.ma.masked_invalid(found.shares))
    image = ax.imshow(shown, aspect="auto", origin="lower", cmap="viridis", interpolation="nearest")
    ax.set_facecolor("white")
    ax.set_yticks(
        [row for row, _ in found.centres], [label(short(name)) for _, name in found.centres], fontsize="small"
    )
    ticks = np.unique(np.linspace(0, len(result.steps) - 1, min(len(result.steps), 6)).round().astype(int))
    ax.set_xticks(ticks, [str(step) for step in result.steps[ticks]])
    ax.set_xlabel("step")
    for row, step in found.broken:
        ax.plot(step, row, "x", color=VERMILLION, ms=6)
    magnitudes = ax.secondary_yaxis("right")
    magnitudes.set_yticks([row for row, _ in found.scale], [words for _, words in found.scale])
    magnitudes.tick_params(length=2, pad=1, labelsize=6.5)
    slim = ax.figure.bbox.width / ax.figure.dpi < _SLIM
    bar = ax.figure.colorbar(image, ax=ax, location="bottom" if slim else "right", label="share of the layer's entries",
                             aspect=30, pad=0.02)  # fmt: skip
    shares = np.linspace(0, float(shown.max() or 1), 4)
    bar.set_ticks(list(shares), labels=[f"{share**2:.0%}" for share in shares])
    if found.note:
        ax.set_title(found.note, fontsize="medium")


@drawing.register(LossCurve)
def _loss(result: LossCurve, ax: Axes) -> None:
    finite = np.where(np.isfinite(result.losses), result.losses, np.nan)
    if spans_decades(finite):
        log_axis(ax, log_padded(finite), 6, "y", power)
    ax.plot(np.arange(len(finite)), finite, color=BLUE, marker="o" if len(finite) <= FEW else "", ms=4)
    if result.broken is not None:
        ax.axvline(result.broken, color=VERMILLION, ls="--")
        side, low = mark_corner(result)
        ax.annotate(
            result.broken_words,
            (result.broken, 0 if low else 1),
            (5 if side == "left" else -5, 4 if low else -4),
            xycoords=ax.get_xaxis_transform(),
            textcoords="offset points",
            ha=side,
            va="bottom" if low else "top",
            color=VERMILLION,
        )
    ax.set_xlim(padded([0, max(len(finite) - 1, 1)], 0.03))
    if (ticks := whole(np.arange(len(finite), dtype=np.float64))) is not None:
        ax.set_xticks(ticks)
    ax.set_xlabel("step")
    ax.set_ylabel("loss")


def mark_corner(result: LossCurve) -> tuple[Literal["left", "right"], bool]:
    """Where the words at the line of a broken loss hide nothing: which of their sides touches the line, and whether
    they stand at the bottom, as most losses rise before they break."""
    before = result.losses[: result.broken]
    return "left" if len(before) < len(result.losses) / 2 else "right", bool(len(before) and before[-1] >= before[0])


@drawing.register(Diagnosis)
def _diagnosis(result: Diagnosis, ax: Axes) -> None:
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    ax.set_ylim(max(len(result.findings), 1), 0)
    ax.set_title("findings, root causes first" if result.findings else "nothing to report", loc="left")
    for row, finding in enumerate(result.findings):
        ax.plot(0.01, row + 0.35, "o", color=SEVERITIES[finding.severity])
        ax.text(
            0.03,
            row + 0.35,
            f"{finding.id} {finding.severity}",
            va="center",
            weight="bold",
            fontsize="small",
            color=INK,
        )
        ax.text(0.22, row + 0.35, label(fill(finding.title, 52)), va="center", fontsize="small")
        ax.text(0.78, row + 0.35, finding.verified, va="center", fontsize="small")
