"""Small words in sentences."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """``1 network``, ``2 networks``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"
