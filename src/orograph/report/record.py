"""The provenance of a result, as titled groups of name and value."""

from __future__ import annotations

from typing import Any

from orograph.basics.words import counted
from orograph.results import Provenance

Groups = list[tuple[str, list[tuple[str, str]]]]


def groups(record: Provenance) -> Groups:
    """What was measured, on what, with which options and seeds, and what it cost; what is not known is left out."""
    cost = record.cost
    found: Groups = [
        (
            "What was measured, on what",
            [
                ("method", record.method),
                ("model", record.model),
                ("data", f"{record.data} ({record.split})" if record.split else record.data),
                ("data fingerprint", record.fingerprint),
                ("precision", record.precision),
                (
                    "device",
                    f"{record.device}, {counted(record.threads, 'thread')}" if record.threads else record.device,
                ),
                ("created", record.created),
            ],
        ),
        ("Options", _flat(record.options)),
        ("Seeds", _flat(record.seeds)),
        ("Batch normalisation", _flat(record.batchnorm)),
        (
            "Cost",
            [
                ("examples forward", _count(cost.forward)),
                ("examples backward", _count(cost.backward)),
                ("examples to recalibrate batch norm", _count(cost.recalibration)),
                ("CPU time", _duration(cost.cpu_seconds)),
                ("wall time", _duration(cost.wall_seconds)),
            ],
        ),
        ("Versions", _flat(record.versions)),
    ]
    if not any(vars(cost).values()):
        found = [group for group in found if group[0] != "Cost"]  # it was not measured
    kept = [(title, [(name, value) for name, value in rows if value]) for title, rows in found]
    return [(title, rows) for title, rows in kept if rows]


def _count(examples: int) -> str:
    """A number of examples; nothing where none were counted."""
    return f"{examples:,}" if examples else ""


def _flat(options: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in options.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            rows.append((f"{prefix}{name}", text))
    return rows


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    words = f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
    return f"{words} ({seconds:,.1f} s)" if seconds >= 60 else words
