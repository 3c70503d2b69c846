"""The write-up's claims, each with what was seen there, our figure, and a rule that can say no.

Shares of runs have exact binomial intervals over seeds and nets; differences of accuracy are of one seed each, and
``resolution`` is the smallest step of an accuracy, one test example. The write-up shows curves and hardly a figure, so
most of ``published`` is a finding in words; where it trained another mix than the one tested here, that is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from orograph.results import Claim
from orograph.studies.mean_claim import mean_claim
from orograph.studies.statistics import above, finite_mean, share_interval, welch_interval

MATTERS = 0.1  # ten percentage points of test accuracy
_HALF = 0.5

_matters = partial(mean_claim, bound=MATTERS, side="above", span=(-1.0, 1.0), each="seed")  # of differences


def normal_everywhere(std: float, yes: Sequence[bool], note: str) -> Claim:
    """What VGG's authors avoided by training A first."""
    return _share(
        "normal-everywhere",
        f"From N(0, {std:g}) in every layer, nets end up calling one class.",
        "bad initial values can stall learning, so A was trained first (VGG paper, with a variance of 0.01; the "
        "files that circulate have a deviation of 0.01)",
        yes,
        "runs of A, B and D that call one class",
        note,
    )


def small_middle(std: float, yes: Sequence[bool], note: str) -> Claim:
    """Too little signal between the ends."""
    return _share(
        "small-middle",
        f"Between Glorot ends, N(0, {std:g}) is too small: nets call one class.",
        "A learns ImageNet and B does not: two more layers of N(0, 0.01) are too many",
        yes,
        "runs of B and D that call one class",
        note,
    )


def own_middle(std: float, yes: Sequence[bool], note: str) -> Claim:
    """The write-up's own recipe for small images."""
    return _share(
        "own-middle",
        f"Between Glorot ends, N(0, {std:g}) lets nets learn small images.",
        "B learns CIFAR-10, MNIST and CIFAR-100 so (at full width)",
        yes,
        "runs of B and D that learn",
        note,
    )


def middle(std: float, yes: Sequence[bool], note: str) -> Claim:
    """A spread that keeps the signal's size."""
    return _share(
        "suitable-middle",
        f"Between Glorot ends, N(0, {std:g}) suits: nets learn.",
        "with more Glorot layers B and C learn ImageNet (a smaller share of layers left to the normal distribution)",
        yes,
        "runs of B and D that learn",
        note,
    )


def large_middle(std: float, yes: Sequence[bool], note: str) -> Claim:
    """The start that explodes."""
    return _share(
        "large-middle",
        f"Between Glorot ends, N(0, {std:g}) collapses: nets diverge or call one class.",
        "the loss becomes NaN",
        yes,
        "runs of B and D, without clipping, that diverge or call one class",
        note,
    )


def no_cure(std: float, yes: Sequence[bool], note: str) -> Claim:
    """Clipping bounds a step; it does not give the signal another size."""
    return _share(
        "clipping-no-cure",
        f"Clipping does not repair a start from N(0, {std:g}).",
        "clipping removes the NaN, and the accuracy stays where it was",
        yes,
        "clipped runs of B and D that diverge or call one class",
        note,
    )


def glorot_shallow(yes: Sequence[bool], note: str) -> Claim:
    """The nets that need no other recipe."""
    return _share(
        "glorot-shallow",
        "With Glorot's values everywhere the shallow nets learn.",
        "pre-training can be left out with Glorot's procedure (VGG paper); the write-up's B called nearly all of "
        "Caltech-256 comet or background so",
        yes,
        "runs of A and B that learn",
        note,
    )


def glorot_deep(differences: Sequence[float], note: str, resolution: float) -> Claim:
    """Half the variance that ReLU needs, three layers more."""
    return _matters(
        "glorot-deep",
        "With Glorot's values everywhere D learns far less than B does.",
        "D learned from no mix of Glorot and normal layers until clipping was lowered",
        differences,
        unit="test accuracy, B less D, both from Glorot's values (fraction)",
        note=note,
        resolution=resolution,
    )


def cliff(high: float, differences: Sequence[float], note: str, resolution: float) -> Claim:
    """A good start is lost to a step that is too long."""
    return _matters(
        "cliff",
        f"D from He's values falls off a cliff at a learning rate of {high:g}.",
        "D, from Glorot and normal layers, oscillates from the first steps and does not learn",
        differences,
        unit=f"test accuracy, D from He's values at the lower rate less the same at {high:g} (fraction)",
        note=note,
        resolution=resolution,
    )


def saved(clip: float, high: float, differences: Sequence[float], note: str, resolution: float) -> Claim:
    """What clipping is for."""
    return _matters(
        "clipping-saves",
        f"Clipping at {clip:g} saves D from that cliff.",
        "with a lower limit for clipping the same D learns",
        differences,
        unit=f"test accuracy, D from He's values at {high:g}, clipped less not clipped (fraction)",
        note=note,
        resolution=resolution,
    )


def transplant(differences: Sequence[float], note: str, resolution: float, *, source: float, taught: bool) -> Claim:
    """The paper's way to train deep nets."""
    found = _matters(
        "transplant",
        "The ends of a trained A help D when Glorot's values fill the rest.",
        "nets B to E begin with A's first four convolutions and last three layers (VGG paper)",
        differences,
        unit="test accuracy, D with A's ends less D without, the rest from Glorot's values (fraction)",
        note=note,
        resolution=resolution,
    )
    return _needs_source(found, source, taught)


def transplant_normal(
    std: float, differences: Sequence[float], note: str, resolution: float, *, source: float, taught: bool
) -> Claim:
    """A dead middle stays dead between good ends."""
    found = _matters(
        "transplant-normal",
        f"They do not help D when N(0, {std:g}) fills the rest.",
        "not in the write-up at full width; the paper's own rest is N(0, 0.1), if 0.01 is its variance",
        differences,
        unit="test accuracy, D with A's ends less D without, the rest from the normal distribution (fraction)",
        note=note,
        resolution=resolution,
        side="at most",
    )
    return _needs_source(found, source, taught)


def gradient_floor(learning: Sequence[float], failing: Sequence[float], note: str) -> Claim:
    """The number that the write-up learned to watch, in decades (log10)."""
    measured, interval = finite_mean(learning) - finite_mean(failing), welch_interval(learning, failing)
    return Claim(
        id="gradient-floor",
        statement="Runs that learn begin with larger gradients in their weakest layer than runs that do not.",
        published="largest entries of 1e-7 (elsewhere: 1e-5) in most layers of a recipe that learned, 2e-1 in a better",
        measured=measured,
        interval=interval,
        unit="decades between the means of the smallest over layers of the largest gradient entry, before step 1",
        rule=f"difference above 0 (95 % Welch interval over {len(learning)} runs that learn and {len(failing)} "
        "others, taken as independent)",
        verdict=above(measured, interval, 0.0),
        note=note if interval else f"{note} An interval needs two runs of either kind.".strip(),
    )


def _share(claim_id: str, statement: str, published: str, yes: Sequence[bool], what: str, note: str) -> Claim:
    """More than half of such runs."""
    measured, interval = finite_mean([float(one) for one in yes]), share_interval(sum(yes), len(yes))
    return Claim(
        id=claim_id,
        statement=statement,
        published=published,
        measured=measured,
        interval=interval,
        unit=f"share of {what}",
        rule=f"share above {_HALF:g} (exact 95 % binomial interval over {len(yes)} runs)",
        verdict=above(measured, interval, _HALF),
        note=note,
    )


def _needs_source(claim: Claim, source: float, taught: bool) -> Claim:
    """A source that did not learn has nothing to give, whatever came of its layers."""
    told = f"A, the source, reached a test accuracy of {source:.3f}."
    if taught:
        return replace(claim, note=f"{told} {claim.note}".strip())
    return replace(claim, verdict="inconclusive", note=f"{told} It did not learn everywhere. {claim.note}".strip())
