"""Which of the judged suspicions are told, and in which order: root causes first, without what they explain."""

from __future__ import annotations

from orograph.diagnose.chart import Suspicion
from orograph.results.diagnosis import Finding, Trial

# Among causes of one kind the more special first.
_SPECIAL = (
    "I10",
    "I08",
    "I03",
    "I09",
    "I04",
    "I07",
    "I05",
    "I06",
    "I02",
    "I01",
    "O05",
    "O06",
    "O07",
    "O10",
    "O02",
    "O01",
    "O03",
)
_ENOUGH = 0.5  # quality beyond which no other strength of a change is tried


def alarming(one: Suspicion) -> bool:
    """Whether it would say that something is wrong."""
    return one.severity in ("critical", "warning")


def cures(trial: Trial) -> bool:
    """Whether no other strength of the change needs to be tried."""
    return trial.outcome == "verified" and trial.after >= _ENOUGH


def best_of_each(judged: list[tuple[Suspicion, Trial]]) -> list[tuple[Suspicion, Trial]]:
    """Of suspicions with one id (several learning rates) the one whose change helped most."""
    best: dict[str, tuple[Suspicion, Trial]] = {}
    for one, trial in judged:
        held = best.get(one.id)
        if held is None or _worth(trial) > _worth(held[1]):
            best[one.id] = (one, trial)
    return list(best.values())


def _worth(trial: Trial) -> float:
    return trial.after if trial.outcome == "verified" else -2.0


def absorbed(judged: list[tuple[Suspicion, Trial]]) -> list[tuple[Suspicion, Trial]]:
    """In the order of root causes, without what a cause before it explains."""
    ordered = sorted(
        judged,
        key=lambda pair: (
            not alarming(pair[0]),
            not (pair[1].outcome == "verified" or pair[0].needs == "nothing"),
            pair[0].rank,
            _SPECIAL.index(pair[0].id) if pair[0].id in _SPECIAL else -1,
            -pair[0].confidence,
        ),
    )
    kept: list[tuple[Suspicion, Trial]] = []
    explained: set[str] = set()
    for one, trial in ordered:
        if one.id in explained:
            continue
        kept.append((one, trial))
        if alarming(one) and (trial.outcome == "verified" or one.needs == "nothing"):
            explained |= set(one.explains)
    return kept


def finding_of(one: Suspicion, trial: Trial) -> Finding:
    """A suspicion as a finding, with what came of trying its change."""
    confidence = one.confidence
    if trial.outcome == "verified":
        confidence = min(1.0, confidence + 0.1)
    elif trial.outcome != "not tried" and one.needs == "harm":
        confidence *= 0.6
    return Finding(
        id=one.id,
        title=one.title,
        severity=one.severity,
        confidence=round(confidence, 3),
        cause=one.cause,
        prescription=one.prescription,
        stage=3 if trial.outcome != "not tried" else one.stage,
        step=one.step,
        where=one.where,
        code=one.code,
        evidence=one.evidence,
        explains=one.explains,
        trial=trial,
        limits=one.limits,
    )
