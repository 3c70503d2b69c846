"""Small words in sentences, and small tables in plain text."""

from __future__ import annotations

from collections.abc import Sequence


def counted(count: float, noun: str) -> str:
    """``1 network``, ``2 networks``, ``0.5 networks``."""
    return f"{count:,} {noun}{'s' * (count != 1)}".replace(".0 ", " ")


def columns(titles: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> list[str]:
    """Rows of text under their titles, a line each; those named in ``right`` stand on the right of their column, and
    columns in which no row says anything are left out."""
    kept = [k for k in range(len(titles)) if any(row[k] for row in rows)]
    widths = {k: max(len(row[k]) for row in (titles, *rows)) for k in kept}
    return [
        "  ".join(row[k].rjust(widths[k]) if titles[k] in right else row[k].ljust(widths[k]) for k in kept).rstrip()
        for row in (titles, *rows)
    ]
