"""The write-up's claims, each with what was seen there, our figure, and a rule that can say no.

Shares of runs have exact binomial intervals over seeds and nets; differences of accuracy are of one seed each. The
write-up shows curves and names hardly a figure, so most of ``published`` is a finding in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from orograph.results import Claim
from orograph.studies.mean_claim import mean_claim
from orograph.studies.statistics import above, finite_mean, share_interval, welch_interval

MATTERS = 0.1  # ten percentage points of test accuracy
_HALF = 0.5
_LESS = "test accuracy, {} (fraction)"


def normal_everywhere(std: float, yes: Sequence[bool], note: str) -> Claim:
    """What VGG's authors avoided by training A first."""
    return _share(
        "normal-everywhere",
        f"From N(0, {std:g}) in every layer, nets end up calling one class.",
        "the loss settles, the accuracy does not move, nearly every image is called comet or background (other data)",
        yes,
        "runs of A, B and D that call one class",
        note,
    )


def small_middle(std: float, yes: Sequence[bool], note: str) -> Claim:
    """Too little signal between the ends."""
    return _share(
        "small-middle",
        f"Between Glorot ends, N(0, {std:g}) is too small: nets call one class.",
        "B does not learn ImageNet with two more small random layers than A; largest gradients fall to 1e-7",
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
        "pre-training can be left out with the procedure of Glorot and Bengio (VGG paper); A and B learn",
        yes,
        "runs of A and B that learn",
        note,
    )


def glorot_deep(differences: Sequence[float], note: str) -> Claim:
    """Half the variance that ReLU needs, three layers more."""
    return _matters(
        "glorot-deep",
        "With Glorot's values everywhere D learns far less than B does.",
        "no mix of Glorot and random layers trained D at first",
        differences,
        "B less D, both from Glorot's values",
        note,
    )


def cliff(high: float, differences: Sequence[float], note: str) -> Claim:
    """A good start is lost to a step that is too long."""
    return _matters(
        "cliff",
        f"D from He's values falls off a cliff at a learning rate of {high:g}.",
        "D oscillates from the first steps and does not learn",
        differences,
        f"D from He's values at the lower rate less the same at {high:g}",
        note,
    )


def saved(clip: float, high: float, differences: Sequence[float], note: str) -> Claim:
    """What clipping is for."""
    return _matters(
        "clipping-saves",
        f"Clipping at {clip:g} saves D from that cliff.",
        "with a lower limit for clipping D learns",
        differences,
        f"D from He's values at {high:g}, clipped less not clipped",
        note,
    )


def transplant(differences: Sequence[float], source: float, learns: bool, note: str) -> Claim:
    """The paper's way to train deep nets."""
    found = _matters(
        "transplant",
        "The ends of a trained A help D when Glorot's values fill the rest.",
        "nets B to E begin with A's first four convolutions and last three layers (VGG paper)",
        differences,
        "D with A's ends less D without, the rest from Glorot's values",
        note,
    )
    return _needs_source(found, source, learns)


def transplant_normal(std: float, differences: Sequence[float], source: float, learns: bool, note: str) -> Claim:
    """A dead middle stays dead between good ends."""
    found = _matters(
        "transplant-normal",
        f"They do not help D when N(0, {std:g}) fills the rest.",
        "not in the write-up at full width; the paper's own rest is N(0, 0.1), if 0.01 is its variance",
        differences,
        "D with A's ends less D without, the rest from the normal distribution",
        note,
        side="at most",
    )
    return _needs_source(found, source, learns)


def gradient_floor(learning: Sequence[float], failing: Sequence[float], note: str) -> Claim:
    """The number that the write-up learned to watch, in decades (log10)."""
    measured, interval = finite_mean(learning) - finite_mean(failing), welch_interval(learning, failing)
    return Claim(
        id="gradient-floor",
        statement="Runs that learn begin with larger gradients in their weakest layer than runs that do not.",
        published="largest gradients of 1e-7 (later text: 1e-5) in most layers, 2e-1 after a better mix",
        measured=measured,
        interval=interval,
        unit="decades between the means of the smallest over layers of the largest gradient entry, before step 1",
        rule=f"difference above 0 (95 % Welch interval over {len(learning)} runs that learn and {len(failing)} others)",
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


def _matters(
    claim_id: str,
    statement: str,
    published: str,
    differences: Sequence[float],
    what: str,
    note: str,
    *,
    side: Literal["above", "at most"] = "above",
) -> Claim:
    """By ten percentage points."""
    return mean_claim(
        claim_id,
        statement,
        published,
        differences,
        unit=_LESS.format(what),
        bound=MATTERS,
        side=side,
        span=(-1.0, 1.0),
        note=note,
        each="seed",
    )


def _needs_source(claim: Claim, source: float, learns: bool) -> Claim:
    """A source that did not learn has nothing to give, whatever came of its layers."""
    told = f"A, the source, reached a test accuracy of {source:.3f}."
    if learns:
        return replace(claim, note=f"{told} {claim.note}".strip())
    return replace(claim, verdict="inconclusive", note=f"{told} It did not learn everywhere. {claim.note}".strip())
