"""The cards of a diagnosis: for each finding what is wrong, why, what to type, and the numbers behind it."""

from __future__ import annotations

from typing import Any

from orograph.basics.words import counted
from orograph.report.tables import known, told, without_empty_columns
from orograph.results import Diagnosis, Finding, Table, Trial

_OUTCOMES = {
    "verified": "it helped",
    "no effect": "it changed little by itself",
    "made worse": "it made things worse",
}


def cards(result: Diagnosis) -> list[dict[str, Any]]:
    """A card for each finding, in their order."""
    return [_card(number, one) for number, one in enumerate(result.findings, start=1)]


def heading(result: Diagnosis) -> str:
    """The title above the cards; of remarks none says that something is wrong."""
    return "What is wrong, and what to do" if result.alarms else "What was noticed"


def _card(number: int, one: Finding) -> dict[str, Any]:
    rows = tuple((item.what, item.value, known(item.threshold), item.usual) for item in one.evidence)
    numbers = Table("The numbers behind it", ("what", "measured", "threshold", "usual"), rows, form="brief")
    return {
        "number": number,
        "title": one.title[:1].upper() + one.title[1:],
        "severity": one.severity,
        "sure": f"{one.confidence:.0%} sure",
        "id": one.id,
        "where": one.where,
        "cause": _ended(one.cause),
        "prescription": _ended(one.prescription),
        "code": one.code,
        "outcome": one.trial.outcome,
        "tried": _tried(one.trial),
        "limits": _ended(one.limits),
        "evidence": told(without_empty_columns(numbers)) if rows else None,
    }


def _tried(trial: Trial) -> str:
    if trial.outcome == "not tried":
        return _ended(f"Not tried on a copy{f': {trial.note}' if trial.note else ''}")
    steps = f" for {counted(trial.steps, 'step')}" if trial.steps else ""
    measured = f"{trial.named} {trial.before:.3g} without, {trial.after:.3g} with it"
    scale = f" ({trial.scale})" if trial.scale else ""
    return f"Tried on a copy{steps}, {_OUTCOMES[trial.outcome]}: {measured}{scale}."


def _ended(words: str) -> str:
    """A sentence with its full stop, where it has none."""
    return words if not words or words.endswith((".", "!", "?", "…")) else f"{words}."
