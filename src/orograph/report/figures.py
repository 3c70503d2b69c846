"""A panel's figure in two forms: plotly views for the screen, and a still picture for print and for readers
without JavaScript.

A plane has up to six views (map or surface, coloured by accuracy, loss or its logarithm) that share most of their
arrays, so a panel's arrays are pooled: each is written once and the views refer to it by number.
"""

from __future__ import annotations

import base64
import io
import json
import math
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from markupsafe import Markup

from orograph.figures import Kind, draw, figure
from orograph.figures.relief import default_quantity, quantities
from orograph.results import (
    Alignment,
    Comparison,
    Diagnosis,
    Distances,
    Evaluation,
    GradientVariance,
    Histograms,
    LearnedScales,
    Line,
    MemorySplit,
    Path,
    Polyline,
    PowerLaw,
    Predictions,
    RateRange,
    Result,
    Routes,
    Run,
    StudyResult,
    Surface,
    Trajectory,
    Workers,
)

STILL_DPI = 130

# Height over width of the drawing on a wide screen, by kind of result.
_PROPORTIONS: dict[type[Result], float] = {
    Surface: 0.94,
    Trajectory: 0.86,
    Distances: 0.8,
    Run: 0.8,
    Line: 0.72,
    StudyResult: 0.6,
    Path: 1.02,
    Routes: 1.02,
    Polyline: 0.8,
    Alignment: 0.6,
    PowerLaw: 1.1,
    MemorySplit: 0.95,
    Predictions: 0.72,
    Evaluation: 0.85,
    Comparison: 0.95,
    Workers: 0.95,
    GradientVariance: 0.95,
    LearnedScales: 0.75,
    Histograms: 1.1,
    Diagnosis: 0.6,
    RateRange: 0.7,
}

_READINGS: dict[type[Result], str] = {
    Surface: "Each point is a network; lines join networks of equal height, and brighter is better.",
    Trajectory: "Dots are checkpoints in order; shares near those of a random walk would mean little.",
    Distances: "Each cell is the Euclidean distance between the weights of two networks.",
    Run: "Loss falls and accuracy rises as training goes on; a widening gap to the dotted curve is overfitting.",
    Line: "A hump between the two marked networks is a barrier: they lie in different basins.",
    Comparison: "Several curves over one axis, a panel for each quantity.",
    Workers: "Where the average lies below the workers, it is better than each of them: they may be averaged.",
    StudyResult: "One row for each claim.",
    RateRange: "Left, rates do nothing; right, they destroy. A tenth of the lowest loss's rate is a good start.",
    Diagnosis: "A healthy loss falls; one that stands still, rises or ends early needs the findings above.",
    Histograms: "A strip for each layer, in which magnitudes grow upwards; bright is where its numbers are. A "
    "band that sinks is a signal or gradient that vanishes, one that rises explodes; a cross marks what is not finite.",
    LearnedScales: "What each tensor was multiplied by; the line is what it was before.",
    GradientVariance: "How gradients differ from batch to batch; the upper panel does not depend on a layer's scale.",
    Path: "Where the curve stays low and the straight line rises, the networks are joined, though not by a line.",
    Routes: "Ways between the same two networks: where one stays low and another rises, it is the way that matters.",
    Polyline: "Straight legs through the marked networks: a hump between two of them is a barrier.",
    Alignment: "The same line before and after hidden units are put in one order: what falls was a matter of naming.",
    Evaluation: "Dots are networks by themselves; the line falls as predictions of more of them are averaged.",
    PowerLaw: "A law deserves its name where points less c lie on a straight line, and it foretells new ones.",
    MemorySplit: "Each curve is networks of one size, ever more of them: at each budget the lowest curve spends best.",
    Predictions: "The line falls below the dots by what networks gain together; where it is flat, more add nothing.",
}


@dataclass(frozen=True)
class Drawn:
    """What the page needs of one figure. ``data`` is JSON that may stand inside a script element."""

    data: Markup
    still: str
    proportion: float
    kinds: tuple[str, ...]
    quantities: tuple[str, ...]
    quantity: str
    summary: str


def drawn(result: Result) -> Drawn:
    """Both forms of the figure of ``result``.

    Raises
    ------
    UsageError
        This kind of result has no figure.
    """
    views: dict[str, Any] = {}
    kinds: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    first = ""
    if isinstance(result, Surface):
        kinds, colours, first = get_args(Kind), quantities(result), default_quantity(result)
        for kind in get_args(Kind):
            for quantity in quantities(result):
                views[f"{kind}|{quantity}"] = _plain(figure(result, kind=kind, quantity=quantity))
    else:
        views["|"] = _plain(figure(result))
    return Drawn(
        data=script_json(pooled(views)),
        still=still(result),
        proportion=_proportion(result),
        kinds=kinds,
        quantities=colours,
        quantity=first,
        summary=result.summary(),
    )


def _proportion(result: Result) -> float:
    """Height over width on a wide screen; a map in true lengths brings its own."""
    plane = result.surface if isinstance(result, Trajectory) else result
    if isinstance(plane, Surface) and plane.frame == "orthonormal":
        across, up = float(np.ptp(plane.alpha)), float(np.ptp(plane.beta))
        return round(min(max(0.72 * up / max(across, 1e-12) + 0.26, 0.5), 1.0), 3)
    return next((share for kind, share in _PROPORTIONS.items() if isinstance(result, kind)), 0.75)


def reading(result: Result) -> str:
    """How to read the figure of this kind of result, in one sentence."""
    return next((text for kind, text in _READINGS.items() if isinstance(result, kind)), "")


def still(result: Result) -> str:
    """The paper figure as a PNG data address; 200 colours are enough for it and a quarter of the size."""
    from PIL import Image

    full, small = io.BytesIO(), io.BytesIO()
    draw(result).savefig(full, format="png", dpi=STILL_DPI)
    palette = Image.open(full).convert("RGB").quantize(200, dither=Image.Dither.NONE)
    palette.save(small, format="png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(small.getvalue()).decode()


def pooled(views: dict[str, Any]) -> dict[str, Any]:
    """``{"arrays": [...], "views": {...}}`` in which each array of the views is ``{"$": its number}``."""
    numbers: dict[str, int] = {}
    arrays: list[Any] = []

    def refer(value: Any) -> Any:
        if isinstance(value, dict):
            if "bdata" in value:
                key = json.dumps(value)
                if key not in numbers:
                    numbers[key] = len(arrays)
                    arrays.append(value)
                return {"$": numbers[key]}
            return {name: refer(item) for name, item in value.items()}
        return [refer(item) for item in value] if isinstance(value, list) else value

    return {"views": refer(views), "arrays": arrays}


def script_json(value: Any) -> Markup:
    """JSON that no text inside it can break out of: the signs that end a script element or a line are escaped.

    Numbers that are not finite become null, since JSON has no word for them.
    """
    text = json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704  nothing is left in it that HTML could read


def _plain(figure: Any) -> Any:
    return json.loads(figure.to_json())


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
