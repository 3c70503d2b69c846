"""The claims of mode connectivity, each with the published figure, ours, and a rule that can say no.

What a barrier "worth the name" is, :mod:`orograph.studies.barrier_claim` says. A claim is decided only where its whole
95 % interval lies on one side.
"""

from __future__ import annotations

from collections.abc import Sequence

from orograph.results import Claim, Path, Profile
from orograph.studies.barrier_claim import SAME_MOUNTAIN, barrier_claim
from orograph.studies.statistics import Side, above, finite_mean, mean_interval, within


def line_has_barrier(profiles: Sequence[Profile]) -> Claim:
    """On the straight line the error rises."""
    return _barrier(
        "line-barrier",
        "A barrier lies on the straight line between independently trained networks.",
        "loss and error rise along the line (figures for VGG-16 and ResNet-164; no number given)",
        profiles,
        "above",
    )


def curve_has_none(kind: str, profiles: Sequence[Profile]) -> Claim:
    """Along a trained curve it does not."""
    published = {
        "bezier": "test error at most 7.75 % against 6.79 and 6.94 % at the ends (VGG-16, CIFAR-10); 4.97 against 4.76 "
        "and 4.75 % (ResNet-164)",
        "polychain": "test error at most 8.08 % against 6.79 and 6.94 % at the ends (VGG-16, CIFAR-10); 5.13 against "
        "4.76 and 4.75 % (ResNet-164)",
    }
    names = {"bezier": "a Bezier curve", "polychain": "a polygonal chain"}
    return _barrier(
        f"{kind}-no-barrier",
        f"Along {names[kind]} with a trained bend there is no barrier worth the name.",
        published[kind],
        profiles,
        "at most",
    )


def copy_is_connected(profiles: Sequence[Profile], lines: Sequence[Profile]) -> Claim:
    """A permuted copy is connected to its original too."""
    heights = _heights(lines)
    found = _barrier(
        "permuted-copy",
        "A network and a copy with permuted units are joined by a curve without a barrier, found without alignment.",
        "connectivity holds for randomly permuted minima (talk; no figure given)",
        profiles,
        "at most",
    )
    note = f"{found.note} The straight line to the copy has error barriers {_words(heights)}."
    return Claim(**{**vars(found), "note": note})


def family_does_not_matter(one: Sequence[Profile], other: Sequence[Profile]) -> Claim:
    """Bezier curves and chains do about equally well."""
    differences = [_top(a) - _top(b) for a, b in zip(one, other, strict=True)]
    measured, interval = finite_mean(differences), mean_interval(differences)
    return Claim(
        id="family",
        statement="That minima are connected does not depend on the family of the curve.",
        published="maxima of the test error differ by 0.33 points (VGG-16) and 0.16 points (ResNet-164) on CIFAR-10",
        measured=measured,
        interval=interval,
        unit="highest test error on the Bezier curve less that on the chain (fraction)",
        rule=f"mean difference between -{SAME_MOUNTAIN:g} and {SAME_MOUNTAIN:g} (95 % interval over pairs)",
        verdict=within(interval, SAME_MOUNTAIN),
        note="" if interval else "An interval needs at least two pairs.",
    )


def alignment_lowers_the_line(aligned: Sequence[Path]) -> Claim:
    """Putting units in one order takes away a part of the line's barrier."""
    pairs = [(path.naive_line, path.line) for path in aligned]
    shares = [_fall(naive, line) for naive, line in pairs if naive is not None and line is not None]
    measured, interval = finite_mean(shares), mean_interval(shares)
    return Claim(
        id="alignment",
        statement="Aligning hidden units lowers the barrier of the straight line.",
        published="no barrier left for wide ResNets on CIFAR (Git Re-Basin); 90 % of it gone with REPAIR "
        "(ResNet-18, CIFAR-10)",
        measured=measured,
        interval=interval,
        unit="share of the train-loss barrier that alignment takes away",
        rule="mean share above 0 (95 % interval over pairs)",
        verdict=above(measured, interval, 0.0),
        note="" if interval else "An interval needs at least two pairs.",
    )


def _barrier(claim_id: str, statement: str, published: str, profiles: Sequence[Profile], side: Side) -> Claim:
    examples = max((p.test_barrier.n_examples for p in profiles if p.test_barrier is not None), default=0)
    losses = [profile.train_barrier.height for profile in profiles if profile.train_barrier is not None]
    note = f"Barriers of the train loss {_words(losses)} nats."
    return barrier_claim(claim_id, statement, published, _heights(profiles), side, examples=examples, note=note)


def _heights(profiles: Sequence[Profile]) -> list[float]:
    walls = [profile.test_barrier for profile in profiles]
    return [wall.error_height for wall in walls if wall is not None and wall.error_height is not None]


def _top(profile: Profile) -> float:
    assert profile.test_error is not None
    return float(profile.test_error.max())


def _fall(naive: Profile, aligned: Profile) -> float:
    before, after = naive.train_barrier, aligned.train_barrier
    if before is None or after is None or not before.height:
        return float("nan")
    return 1 - after.height / before.height


def _words(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
