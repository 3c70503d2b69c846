"""Figures for a paper: each result on a matplotlib axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(result: Any, ax: Axes | None = None) -> Figure:
    """Draw ``result`` on ``ax``."""
    raise NotImplementedError
