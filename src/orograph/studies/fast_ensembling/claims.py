"""The claims of fast geometric ensembling, each with the published figure, ours, and a rule that can say no.

Lists hold one figure for each repetition, from networks that share nothing with the others. A claim is decided only
where its whole 95 % interval lies on one side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from orograph.results import Claim
from orograph.studies.barrier_claim import barrier_claim
from orograph.studies.mean_claim import mean_claim
from orograph.studies.members.standing import Standing, gain_claim

_FAR_APART = 0.5
_SHARE = (0.0, math.inf)
_NEARLY_AS_GOOD = 0.01


def fge_beats_one_network(gains: Sequence[Standing]) -> Claim:
    """At one budget the fast geometric ensemble has the lower error."""
    return gain_claim(
        "fge-beats-one",
        "For the budget of one network a fast geometric ensemble errs less than that network.",
        "6.48 against 6.75 % (VGG-16, CIFAR-10), 25.7 against 27.4 % (CIFAR-100); so for all three networks",
        gains,
        unit="test error of one network less that of the ensemble (fraction)",
    )


def snapshots_beat_one_network(gains: Sequence[Standing]) -> Claim:
    """At one budget the snapshots have the lower error."""
    return gain_claim(
        "snapshots-beat-one",
        "For the budget of one network an ensemble of snapshots errs less than that network.",
        "6.57 against 6.75 % (VGG-16, CIFAR-10), 26.4 against 27.4 % (CIFAR-100); so for all three networks",
        gains,
        unit="test error of one network less that of the ensemble (fraction)",
    )


def fge_beats_snapshots(gains: Sequence[Standing]) -> Claim:
    """At equal budgets fast geometric ensembles err less than snapshots."""
    return gain_claim(
        "fge-beats-snapshots",
        "At equal budgets a fast geometric ensemble errs less than snapshots.",
        "lower in all 18 cells of the table (3 networks, 2 data sets, 3 budgets)",
        gains,
        unit="test error of snapshots less that of FGE, mean over all budgets (fraction)",
    )


def fge_beats_independent(budgets: int, gains: Sequence[Standing]) -> Claim:
    """Also where the budget allows several independent networks."""
    return gain_claim(
        "fge-beats-independent",
        f"At {budgets} budgets a fast geometric ensemble errs less than {budgets} independent networks.",
        "in 4 of 6 cells at three budgets: 5.66 against 5.9 % (VGG-16, CIFAR-10), but 3.98 against 3.77 % (ResNet-164)",
        gains,
        unit="test error of independent networks less that of FGE (fraction)",
    )


def more_members_help(gains: Sequence[Standing]) -> Claim:
    """The average of all members of a run errs less than one of them does."""
    return gain_claim(
        "members-help",
        "The members of one fast geometric run together err less than one of them by itself.",
        "20.2 % for the ensemble, 22.0 % for a member by itself (ResNet-164, CIFAR-100)",
        gains,
        unit="mean test error of a member less that of their average (fraction)",
    )


def members_are_nearly_as_good(losses: Sequence[Standing]) -> Claim:
    """One member is nearly as good as a network that had the whole budget for itself."""
    return gain_claim(
        "member-error",
        "A member by itself is nearly as good as a network with the whole budget.",
        "accuracy 78.0 against 78.5 % (ResNet-164, CIFAR-100)",
        losses,
        unit="mean test error of a member less that of an independent network (fraction)",
        bound=_NEARLY_AS_GOOD,
        side="at most",
    )


def members_disagree_less(ratios: Sequence[float]) -> Claim:
    """Members of one run answer more alike than independent networks do."""
    return mean_claim(
        "disagreement",
        "Two members of one fast geometric run disagree less than two independent networks.",
        "on 15 against 20 % of the test examples: 0.75 of it (ResNet-164, CIFAR-100)",
        ratios,
        unit="disagreement of two members over that of two independent networks",
        bound=1.0,
        side="at most",
        span=_SHARE,
    )


def members_lie_close(ratios: Sequence[float]) -> Claim:
    """Members lie much closer together than snapshots."""
    return mean_claim(
        "distance",
        "Members of a fast geometric run lie much closer together than snapshots.",
        "distances of about 7 against about 40: 0.18 of it (ResNet-164, CIFAR-100)",
        ratios,
        unit="mean distance between members over that between snapshots",
        bound=_FAR_APART,
        side="at most",
        span=_SHARE,
    )


def no_barrier_between_members(heights: Sequence[float], examples: int) -> Claim:
    """The straight legs between neighbouring members stay low."""
    return barrier_claim(
        "legs",
        "No barrier lies between one member and the next.",
        "train loss and test error stay near the members' along the polyline (figure; no number given)",
        heights,
        "at most",
        examples=examples,
        note="Highest leg of each run.",
    )
