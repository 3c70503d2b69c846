"""The claims of snapshot ensembles, each with the published figure, ours, and a rule that can say no.

Counts of cells are over the published table: four networks, and two to four data sets.
"""

from __future__ import annotations

from collections.abc import Sequence

from orograph.results import Claim
from orograph.studies.members.standing import Standing, gain_claim


def snapshots_beat_one_network(gains: Sequence[Standing]) -> Claim:
    """From the higher rate, within the budget of one network."""
    return gain_claim(
        "snapshots-beat-one",
        "For the budget of one network, snapshots from the higher rate err less than that network.",
        "lower in all 14 cells: 5.32 against 5.52 % (ResNet-110, CIFAR-10), 24.19 against 28.02 % (CIFAR-100)",
        gains,
        unit="test error of one network less that of the snapshots (fraction)",
    )


def cycles_matter(gains: Sequence[Standing]) -> Claim:
    """Networks saved along an ordinary run gain less."""
    return gain_claim(
        "cycles-matter",
        "Snapshots from the higher rate err less than networks saved along an ordinary run at the same steps.",
        "lower in all 14 cells: 5.32 against 5.49 % (ResNet-110, CIFAR-10)",
        gains,
        unit="test error of no-cycle networks less that of the snapshots (fraction)",
    )


def memory_matters(gains: Sequence[Standing]) -> Claim:
    """Networks that begin anew in each cycle are too short of training."""
    return gain_claim(
        "memory-matters",
        "Snapshots from the higher rate err less than networks that begin anew in each cycle.",
        "lower in 13 of 14 cells: 5.32 against 6.66 % (ResNet-110, CIFAR-10); not for Wide-ResNet-32 on CIFAR-100",
        gains,
        unit="test error of single-cycle networks less that of the snapshots (fraction)",
    )


def single_cycles_are_too_short(losses: Sequence[Standing]) -> Claim:
    """With ten classes an ensemble of short runs is worse than one long run."""
    return gain_claim(
        "single-cycle-too-short",
        "On ten classes, networks of one cycle each err more together than one network with the whole budget.",
        "higher for all four networks on CIFAR-10 (6.66 against 5.52 % for ResNet-110), lower for all on CIFAR-100",
        losses,
        unit="test error of single-cycle networks less that of one network (fraction)",
    )


def higher_rate_is_better(gains: Sequence[Standing]) -> Claim:
    """The larger the rate at which cycles begin, the more snapshots differ."""
    return gain_claim(
        "higher-rate",
        "Snapshots from the higher of the two initial rates err less.",
        "lower in 10 of 14 cells at 0.2 than at 0.1",
        gains,
        unit="test error from the lower rate less that from the higher (fraction)",
    )
