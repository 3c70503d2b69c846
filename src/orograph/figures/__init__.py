"""Pictures of results: ``draw`` on a matplotlib axis for a paper, ``figure`` by plotly for the screen.

Both look the kind of a result up in a table that other modules of this package fill. matplotlib and plotly are imported
when the first picture is made; torch never.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from orograph.results import (
    Comparison,
    Diagnosis,
    GradientVariance,
    Histograms,
    MemorySplit,
    Path,
    PowerLaw,
    Result,
    Routes,
    StudyResult,
    Surface,
    Trajectory,
    Workers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from orograph.figures.relief import Quantity

Kind = Literal["contour", "surface3d"]


def draw(result: Result, ax: Axes | None = None) -> Figure:
    """Draw ``result`` on ``ax``, or on a new figure; returns the figure. Never touches pyplot, so nothing of the
    caller's global state changes.

    Raises
    ------
    UsageError
        This kind of result has no drawing.
    """
    from matplotlib.figure import Figure, SubFigure

    from orograph.figures import (  # noqa: F401  register their drawings
        paper,
        paper_comparison,
        paper_diagnosis,
        paper_ensembles,
        paper_laws,
        paper_paths,
        paper_planes,
    )

    if ax is None:
        tall = isinstance(
            result, (Surface, Trajectory, Path, Routes, PowerLaw, MemorySplit, Comparison, Workers, GradientVariance)
        )
        size = (5.6, 5.6) if tall else (5.6, 4.0)
        if isinstance(result, StudyResult):
            size = (7.0, 0.6 + 0.5 * len(result.claims))
        if isinstance(result, Diagnosis):
            size = (7.0, 0.6 + 0.5 * max(len(result.findings), 1))
        if isinstance(result, Histograms):
            size = (6.4, 1.2 + 0.42 * min(len(result.names), 24))
        ax = Figure(figsize=size, layout="constrained").add_subplot()
    paper.drawing(result, ax)
    figure = ax.figure
    while isinstance(figure, SubFigure):
        figure = figure.figure
    return figure


def figure(result: Result, *, kind: Kind = "contour", quantity: Quantity | None = None) -> Any:
    """A plotly figure of ``result``; ``kind`` and ``quantity`` choose how a plane is drawn and what colours it.

    Raises
    ------
    UsageError
        This kind of result has no figure.
    """
    from orograph.figures import (  # noqa: F401  register their figures
        interactive,
        interactive_comparison,
        interactive_diagnosis,
        interactive_ensembles,
        interactive_laws,
        interactive_lines,
        interactive_paths,
        interactive_planes,
        interactive_splits,
    )

    if isinstance(result, Surface):
        return interactive_planes.plane(result, kind, quantity)
    return interactive.plotting(result)
