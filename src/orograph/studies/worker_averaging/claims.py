"""The claims about averaging workers, each with what was published, our figure, and a rule that can say no.

Lists hold one figure for each repetition. The thread draws its conclusions from planes; it has no figures of averages.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from orograph.results import Claim
from orograph.studies.mean_claim import mean_claim

AS_GOOD = 0.01  # one percentage point of test error
_LESS = "test error of the average less that of one worker at equal steps (fraction)"

_gap_claim = partial(mean_claim, unit=_LESS, bound=AS_GOOD, side="at most")


def scratch_once(gaps: Sequence[float], resolution: float) -> Claim:
    """Workers from scratch end on different mountains, and their average between them."""
    return _gap_claim(
        "scratch-once",
        "Averaged once at the end, workers from scratch are worse than one worker.",
        "from scratch, with other data orders, workers climb different mountains (no figure of the average)",
        gaps,
        resolution=resolution,
        side="above",
    )


def started_once(starts: str, gaps: Sequence[float], resolution: float) -> Claim:
    """Workers from a start that is on a mountain stay on it."""
    return _gap_claim(
        "started-once",
        f"Averaged once at the end, workers from a common start of {starts} epochs are as good as one worker.",
        "between three networks from a start of 0.339 accuracy all have similar or a little higher accuracy",
        gaps,
        resolution=resolution,
    )


def again_and_again(gaps: Sequence[float], resolution: float) -> Claim:
    """Averaged often, workers from scratch keep together."""
    return _gap_claim(
        "scratch-repeated",
        "Averaged again and again, workers from scratch are as good as one worker.",
        "local SGD converges at the rate of mini-batch SGD (Stich 2019; convex problems)",
        gaps,
        resolution=resolution,
    )


def shards_too(gaps: Sequence[float], resolution: float) -> Claim:
    """The same where no worker sees all the examples."""
    return _gap_claim(
        "shards-repeated",
        "Averaged again and again, workers with a shard of the examples each are as good as one worker with all.",
        "not in the thread; what a cluster would do",
        gaps,
        resolution=resolution,
    )


def equal_examples(workers: int, gaps: Sequence[float], resolution: float) -> Claim:
    """Whether the workers' examples count as if one had seen them all."""
    return _gap_claim(
        "equal-examples",
        f"Averaged again and again, {workers} workers are as good as one with {workers} times the steps.",
        "accuracy is determined by the number of training examples processed",
        gaps,
        resolution=resolution,
        unit="test error of the average less that of one worker at equal examples, mean over all starts (fraction)",
    )


def barrier_tells(correlations: Sequence[float]) -> Claim:
    """The barrier between workers foretells how bad their average is."""
    return mean_claim(
        "barrier-tells",
        "The higher the barrier between workers, the worse their average against one of them.",
        "workers on one mountain may be averaged, workers on different ones may not (no figure)",
        correlations,
        unit="rank correlation over starts, of workers averaged once, mean over the ways to share",
        bound=0.0,
        side="above",
        span=(-1.0, 1.0),
    )
