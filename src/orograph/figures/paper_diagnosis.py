"""Figures for a paper: what a diagnosis found, and how layers and gradients were spread over the steps."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from orograph.figures.palette import GREEN, INK, ORANGE, SKY, VERMILLION
from orograph.figures.paper import bar_beside, drawing, label
from orograph.figures.relief import short
from orograph.figures.strips import strips
from orograph.results.diagnosis import Diagnosis, Histograms

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
    bar = ax.figure.colorbar(image, cax=bar_beside(ax), label="share of the layer's entries")
    shares = np.linspace(0, float(shown.max() or 1), 4)
    bar.set_ticks(list(shares), labels=[f"{share**2:.0%}" for share in shares])
    if found.left_out:
        ax.set_title(f"{len(found.centres)} of {len(found.centres) + found.left_out} layers", fontsize="medium")


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
