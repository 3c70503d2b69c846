"""The claims of ElasticDL issue 179, each with the published figure, ours, and a rule that can say no.

"On the same mountain" means a barrier of the error rate of at most 2 percentage points on the straight line, the
threshold of Frankle et al. (2020). A claim is decided only where its whole 95 % interval lies on one side of its bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from orograph.results import Claim, Distances, Line, Run
from orograph.studies.barrier_claim import SAME_MOUNTAIN, barrier_claim
from orograph.studies.statistics import (
    Side,
    above,
    at_most,
    clipped,
    deviation_interval,
    finite_mean,
    height_interval,
    jackknife_interval,
    welch_interval,
)

_EQUAL_ACCURACY = 0.01
_EQUAL_DISTANCES = 0.05
_PAIRS = "95 % interval of a mean height over {n} pairs, taken as independent"


def equal_accuracy(runs: Sequence[Run]) -> Claim:
    """Replicas reach about equal accuracy."""
    values = [float(run.test_accuracy[-1]) for run in runs if run.test_accuracy is not None]
    spread, interval = float(np.std(values, ddof=1)), deviation_interval(values)
    return Claim(
        id="equal-accuracy",
        statement="Networks from different initial values reach about the same accuracy.",
        published="0.9138 to 0.9186, standard deviation 0.0016 (8 ResNet-18 on CIFAR-10, 30 epochs)",
        measured=spread,
        interval=interval,
        unit="standard deviation of test accuracy",
        rule=f"standard deviation over replicas at most {_EQUAL_ACCURACY:g} (95 % chi-square interval)",
        verdict=at_most(spread, interval, _EQUAL_ACCURACY),
        note=f"Accuracies {min(values):.4f} to {max(values):.4f}, mean {finite_mean(values):.4f}.",
    )


def equal_distances(start: Distances, end: Distances) -> Claim:
    """All pairs are about equally far apart."""
    interval = clipped(jackknife_interval(lambda chosen: _variation(end, chosen), len(end.names)), (0.0, math.inf))
    advice = "" if interval else " An interval needs at least four replicas."
    return Claim(
        id="equal-distances",
        statement="All pairs of trained networks are about equally far apart.",
        published="42.55 to 43.21, coefficient of variation 0.0037 (at the start 63.20 to 63.55, 0.0016)",
        measured=end.variation,
        interval=interval,
        unit="coefficient of variation of the distances",
        rule=f"coefficient of variation at most {_EQUAL_DISTANCES:g} (95 % jackknife interval over replicas)",
        verdict=at_most(end.variation, interval, _EQUAL_DISTANCES),
        note=(
            f"Mean distance {end.pairs.mean():.4g} at the end and {start.pairs.mean():.4g} at the start "
            f"(coefficient of variation {start.variation:.4f})."
            f"{advice}"
        ),
    )


def start_to_end(own: Sequence[float], end: Distances) -> Claim:
    """A network ends farther from its own start than from other trained networks."""
    ways = np.asarray(own, dtype=np.float64)
    count = len(end.names)

    def ratio(chosen: NDArray[np.int64]) -> float:
        return float(ways[chosen].mean() / _pairs(end, chosen).mean())

    measured, interval = ratio(np.arange(count)), jackknife_interval(ratio, count)
    return Claim(
        id="start-to-end",
        statement="A network ends farther from its own start than from the ends of the others.",
        published="53.26 from start to end, 42.81 between ends: ratio 1.244",
        measured=measured,
        interval=interval,
        unit="distance start to end over distance between ends",
        rule="ratio above 1 (95 % jackknife interval over replicas)",
        verdict=above(measured, interval, 1.0),
        note=f"{ways.mean():.4g} from start to end, {end.pairs.mean():.4g} between ends.",
    )


def barrier_separates(claim_id: str, statement: str, published: str, lines: Mapping[str, Line]) -> Claim:
    """A barrier lies between the networks of each pair."""
    return _barrier(claim_id, statement, published, lines, "above")


def no_barrier(claim_id: str, statement: str, published: str, lines: Mapping[str, Line]) -> Claim:
    """No barrier worth the name lies between the networks."""
    return _barrier(claim_id, statement, published, lines, "at most")


def _barrier(claim_id: str, statement: str, published: str, lines: Mapping[str, Line], side: Side) -> Claim:
    examples = max((int(line.n_examples.max()) for line in lines.values()), default=0)
    heights = error_barriers(lines)
    return barrier_claim(claim_id, statement, published, heights, side, examples=examples, note=_loss_barriers(lines))


def shallower(different: Mapping[str, Line], same: Mapping[str, Line]) -> Claim:
    """The ravines between networks of one start are less deep than between those of different starts."""
    deep, flat = error_barriers(different), error_barriers(same)
    measured = finite_mean(deep) - finite_mean(flat)
    interval = welch_interval(deep, flat)
    return Claim(
        id="same-start-shallower",
        statement="The ravines are less deep between networks of one start than between those of different starts.",
        published="seen in the planes; no figure given",
        measured=measured,
        interval=interval,
        unit="difference of mean error barriers (fraction)",
        rule="difference above 0 (95 % Welch interval over pairs)",
        verdict=above(measured, interval, 0.0),
        note=f"Mean error barrier {finite_mean(deep):.4f} for different starts, {finite_mean(flat):.4f} for one start.",
    )


def many_abysses(runs: Sequence[Run], lines: Mapping[str, Line]) -> Claim:
    """The abyss has many bottoms: between two of them accuracy rises."""
    rises = [accuracy_rise(line) for line in lines.values()]
    measured, interval = finite_mean(rises), height_interval(rises, resolution=_one_example(lines))
    bottoms = [float(run.test_accuracy[-1]) for run in runs if run.test_accuracy is not None]
    return Claim(
        id="many-abysses",
        statement="The abyss has many bottoms too: between networks trained to the lowest accuracy it rises.",
        published="accuracy rises between the abysses in the plane and on the line (figures; no number given)",
        measured=measured,
        interval=interval,
        unit="rise of accuracy above the chord between two abysses (fraction)",
        rule=f"mean rise above {SAME_MOUNTAIN:g} ({_PAIRS.format(n=len(rises))})",
        verdict=above(measured, interval, SAME_MOUNTAIN),
        note=f"Accuracies at the bottom {min(bottoms):.4f} to {max(bottoms):.4f}." if bottoms else "",
    )


def error_barriers(lines: Mapping[str, Line]) -> list[float]:
    """The error barrier of each line, as a fraction."""
    return [
        line.barrier.error_height
        for line in lines.values()
        if line.barrier is not None and line.barrier.error_height is not None
    ]


def accuracy_rise(line: Line) -> float:
    """How far the accuracy between alpha 0 and 1 rises above the chord of its ends, at most."""
    assert line.accuracy is not None
    inside = (line.alphas >= 0) & (line.alphas <= 1)
    alphas, accuracy = line.alphas[inside], line.accuracy[inside]
    return float((accuracy - ((1 - alphas) * accuracy[0] + alphas * accuracy[-1])).max())


def _one_example(lines: Mapping[str, Line]) -> float:
    """The smallest step of an error rate on these lines."""
    return 1 / max(int(line.n_examples.max()) for line in lines.values()) if lines else 0.0


def _loss_barriers(lines: Mapping[str, Line]) -> str:
    found = [line.barrier for line in lines.values() if line.barrier is not None]
    resolved = sum(barrier.resolved for barrier in found)
    heights = ", ".join(f"{barrier.height:.3g}" for barrier in found)
    return f"Loss barriers {heights} nats; {resolved} of {len(found)} resolved (above 2 standard errors)."


def _pairs(found: Distances, chosen: NDArray[np.int64]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    part = found.matrix[np.ix_(chosen, chosen)]
    return part[np.triu_indices(len(chosen), 1)]


def _variation(found: Distances, chosen: NDArray[np.int64]) -> float:
    pairs = _pairs(found, chosen)
    return float(pairs.std(ddof=1) / pairs.mean()) if len(pairs) > 1 else float("nan")
