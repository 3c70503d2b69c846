"""Small words in sentences."""

from __future__ import annotations


def counted(count: float, noun: str) -> str:
    """``1 network``, ``2 networks``, ``0.5 networks``."""
    return f"{count:,} {noun}{'s' * (count != 1)}".replace(".0 ", " ")
