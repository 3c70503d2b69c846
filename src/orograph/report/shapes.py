"""How high the figures of a page are for their width."""

from __future__ import annotations

import numpy as np

from orograph.figures.strips import MOST, strip_height
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
    LossCurve,
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
    Diagnosis: 0.62,
    LossCurve: 0.72,
    RateRange: 0.62,
}


def proportion(result: Result) -> float:
    """Height over width on a wide screen; a map in true lengths brings its own."""
    plane = result.surface if isinstance(result, Trajectory) else result
    if isinstance(plane, Surface) and plane.frame == "orthonormal":
        across, up = float(np.ptp(plane.alpha)), float(np.ptp(plane.beta))
        return round(min(max(0.72 * up / max(across, 1e-12) + 0.26, 0.5), 1.0), 3)
    return next((share for kind, share in _PROPORTIONS.items() if isinstance(result, kind)), 0.75)


def height_of(result: Result) -> int:
    """How many pixels high a figure has to be whatever its width; 0 where the width tells."""
    if not isinstance(result, Histograms):
        return 0
    count = min(len(result.names), MOST)
    return max(round(110 + count * strip_height(count)), 300)
