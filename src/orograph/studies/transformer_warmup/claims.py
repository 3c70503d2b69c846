"""The claims about training without warm-up, each with what was published, our figure, and a rule that can say no.

Arms are compared in pairs of runs that share optimiser, rate and initial draws. Where both of a pair train, or neither,
the pair says nothing about which arm is better; the share of the others in which the first one trains is held against
one half (a sign test). Runs at different rates are taken as independent.

Lists of booleans say for each run, in one order for all arms, whether it trained.
"""

from __future__ import annotations

from collections.abc import Sequence

from orograph.results import Claim
from orograph.studies.statistics import above, share_interval

_HALF = 0.5
_TOO_EASY = "The base trains everywhere without warm-up: this set-up is too easy to show anything; add depth or rate."
_TOO_HARD = (
    "The base trains nowhere even with warm-up: this set-up is too hard to show anything; lower rates, train longer."
)


def warmup_needed(optimizer: str, warm: Sequence[bool], plain: Sequence[bool]) -> Claim:
    """That there is a problem at all."""
    return _sign_claim(
        f"warmup-needed: {optimizer}",
        f"By {optimizer}, the base initialisation trains at fewer of the grid's rates without warm-up than with.",
        "post-norm transformers do not train without warm-up (text; no share given)",
        [(a, not_b) for a, not_b in zip(warm, plain, strict=True)],
        unit="share of the pairs that differ in which it is the run with warm-up that trains",
        note=f"Trained: {_count(warm)} with warm-up, {_count(plain)} without.",
        veto=_too_easy(plain) or _too_hard(warm),
    )


def gradinit_trains(optimizer: str, plain: Sequence[bool], learned: Sequence[bool]) -> Claim:
    """Of the runs that do not train without a warm-up, those that do after GradInit; whether a warm-up would train them
    does not matter, since the published claim for SGD is made without one."""
    hard = [found for trained, found in zip(plain, learned, strict=True) if not trained]
    return _share_claim(
        f"gradinit-trains: {optimizer}",
        f"By {optimizer}, runs that do not train without a warm-up do so after GradInit.",
        "GradInit trains post-norm transformers without warm-up, also by SGD (IWSLT'14; text, no share given)",
        sum(hard),
        len(hard),
        unit="share of the runs that the base does not train without warm-up",
        note=f"Trained without warm-up: {_count(learned)} after GradInit, {_count(plain)} from the base.",
        veto=_too_easy(plain),
    )


def as_many_as_warmup(optimizer: str, warm: Sequence[bool], plain: Sequence[bool], learned: Sequence[bool]) -> Claim:
    """Whether GradInit gives up runs that a warm-up would have trained."""
    reference = [found for trained, found in zip(warm, learned, strict=True) if trained]
    return _share_claim(
        f"as-many-as-warmup: {optimizer}",
        f"By {optimizer}, what the base trains with a warm-up GradInit trains without one.",
        "at least as good as with warm-up (IWSLT'14; text, no share given): 1",
        sum(reference),
        len(reference),
        unit="share of the runs that the base trains with warm-up (1: all)",
        note=f"Trained: {_count(learned)} after GradInit without warm-up, {_count(warm)} from the base with warm-up.",
        veto=_too_easy(plain) or _too_hard(warm),
    )


def more_than_compute(optimizer: str, plain: Sequence[bool], learned: Sequence[bool], longer: Sequence[bool]) -> Claim:
    """The same compute, spent on training."""
    return _sign_claim(
        f"more-than-compute: {optimizer}",
        f"By {optimizer}, GradInit trains where as much compute spent on plain iterations does not.",
        "not in the paper, which has no such control on translation",
        list(zip(learned, longer, strict=True)),
        unit="share of the pairs that differ in which it is GradInit's run that trains",
        note=f"Trained: {_count(learned)} after GradInit, {_count(longer)} after as many plain iterations.",
        veto=_too_easy(plain),
    )


def more_than_one_scale(optimizer: str, plain: Sequence[bool], learned: Sequence[bool], one: Sequence[bool]) -> Claim:
    """One number for all tensors, picked by the same objective."""
    return _sign_claim(
        f"more-than-one-scale: {optimizer}",
        f"By {optimizer}, GradInit trains where the best single global scale does not.",
        "not in the paper, which has no such control",
        list(zip(learned, one, strict=True)),
        unit="share of the pairs that differ in which it is GradInit's run that trains",
        note=f"Trained: {_count(learned)} after GradInit, {_count(one)} at one global scale.",
        veto=_too_easy(plain),
    )


def _sign_claim(
    claim_id: str,
    statement: str,
    published: str,
    pairs: Sequence[tuple[bool, bool]],
    *,
    unit: str,
    note: str,
    veto: str,
) -> Claim:
    differ = [first for first, second in pairs if first != second]
    return _share_claim(
        claim_id,
        statement,
        published,
        sum(differ),
        len(differ),
        unit=unit,
        note=note,
        veto=veto,
        of="pairs that differ",
    )


def _share_claim(
    claim_id: str,
    statement: str,
    published: str,
    hits: int,
    trials: int,
    *,
    unit: str,
    note: str,
    veto: str,
    of: str = "such runs",
) -> Claim:
    interval = share_interval(hits, trials)
    measured = hits / trials if trials else None
    verdict = above(0.0 if measured is None else measured, interval, _HALF)
    words = [note, "" if trials else f"There are no {of}.", veto]
    return Claim(
        id=claim_id,
        statement=statement,
        published=published,
        measured=measured,
        interval=interval,
        unit=unit,
        rule=f"share above {_HALF:g} (exact 95 % interval over {trials} {of}, taken as independent; fewer than 6 "
        "cannot decide); inconclusive where the base trains everywhere without warm-up",
        verdict="inconclusive" if veto else verdict,
        note=" ".join(filter(None, words)),
    )


def _too_easy(plain: Sequence[bool]) -> str:
    """Why nothing can be claimed of a set-up in which everything trains; empty where not everything does."""
    return _TOO_EASY if all(plain) else ""


def _too_hard(warm: Sequence[bool]) -> str:
    """Why nothing can be said of warm-up where nothing trains with it."""
    return "" if any(warm) else _TOO_HARD


def _count(found: Sequence[bool]) -> str:
    return f"{sum(found)} of {len(found)}"
