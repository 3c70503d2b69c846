"""How to read the figures of a page, in words."""

from __future__ import annotations

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

_READINGS: dict[type[Result], str] = {
    Surface: "Each point is a network; lines join networks of equal height, and brighter is better.",
    Trajectory: "Dots are checkpoints in order; shares near those of a random walk would mean little.",
    Distances: "Each cell is the Euclidean distance between the weights of two networks.",
    Run: "Loss falls and accuracy rises as training goes on; a widening gap to the dotted curve is overfitting.",
    Line: "A hump between the two marked networks is a barrier: they lie in different basins.",
    Comparison: "Several curves over one axis, a panel for each quantity.",
    Workers: "Where the average lies below the workers, it is better than each of them: they may be averaged.",
    StudyResult: "One row for each claim.",
    RateRange: "The rate rises from step to step: on the left it is too low to change anything, on the right so high "
    "that the loss climbs; curves are cut a little above its first level. Each curve (order 1, order 2) is the same "
    "start with the batches in another order. Steepest: the rate at which the loss falls fastest. Valley: two thirds "
    "along its longest fall. Lowest / 10: a tenth of the rate of the lowest loss, mostly a good choice. Dashed: "
    "the rate in use.",
    Diagnosis: "A healthy loss falls; one that stands still, rises or ends early needs the findings above.",
    LossCurve: "A healthy loss falls; one that stands still, rises or ends early needs the findings above.",
    Histograms: "A strip for each layer, in which magnitudes grow upwards, on the scale beside it; bright is where its "
    "numbers are. A band that sinks is a signal or gradient that vanishes, one that rises explodes; a cross marks what "
    "is not finite. What is larger than 1e6 or smaller than 1e-12 is counted at that end.",
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


def reading(result: Result) -> str:
    """How to read the figure of this kind of result, in one sentence."""
    return next((text for kind, text in _READINGS.items() if isinstance(result, kind)), "")
