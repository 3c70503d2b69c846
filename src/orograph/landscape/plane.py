"""Heights on a plane through three networks.

Frames and their conventions: :mod:`orograph.landscape.frames`. Cost: one measurement for each cell, two for each given
network, one for each checkpoint of a trajectory drawn on the plane.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from orograph.basics.errors import UsageError, nearest
from orograph.landscape.anchors import measure_anchors
from orograph.landscape.axes import axis, centred_axis
from orograph.landscape.economy import measure_economy
from orograph.landscape.frames import Frame, oblique, orthonormal, project
from orograph.landscape.grid import Cells, Progress, evaluate
from orograph.landscape.points import Point, as_weights, family
from orograph.objective import Objective
from orograph.results import Anchor, Checkpoint, Cost, ProjectedPath, Surface
from orograph.weights import Weights

FrameName = Literal["oblique", "orthonormal"]
_MARGIN = 0.25  # of the triangle's extent, around it, in the orthonormal frame


def plane(
    objective: Objective,
    a: Point,
    b: Point,
    c: Point,
    *,
    frame: FrameName = "oblique",
    u: tuple[float, float] | None = None,
    v: tuple[float, float] | None = None,
    resolution: int = 41,
    names: Sequence[str] | None = None,
    trajectories: Mapping[str, Sequence[Point]] | None = None,
    rows: Sequence[int] | None = None,
    executor: Executor | None = None,
    partial: Path | None = None,
    progress: Progress | None = None,
) -> Surface:
    """Loss and metrics on the plane through ``a``, ``b`` and ``c``.

    Parameters
    ----------
    frame : "oblique" (A, B, C at (0, 0), (1, 0), (0, 1)) or "orthonormal" (axes are weight-space lengths)
    u, v : ranges of the axes in the frame's own unit; default (-0.5, 1.5), or the triangle with a margin
    resolution : points per axis; rounded up until the given networks (orthonormal: A) lie on the lattice
    trajectories : checkpoints by name, projected onto the plane and measured
    rows : compute only these rows (of constant v); the others stay marked as not computed
    executor, partial, progress : see :func:`orograph.landscape.grid.evaluate`

    Raises
    ------
    UsageError, WeightsError
        The networks lie on one line, are of different architectures, or hold NaN; a range is empty.
    """
    began = objective.cost
    weights, labels = family([a, b, c], names)
    first, second, third = weights
    if frame == "oblique":
        axes = oblique(first, second, third)
        alpha, beta = (axis(span or (-0.5, 1.5), resolution, (0.0, 1.0)) for span in (u, v))
    elif frame == "orthonormal":
        axes = orthonormal(first, second, third)
        box = [_with_margin([place[k] for place in axes.places]) for k in (0, 1)]
        alpha, beta = (centred_axis(span or box[k], resolution) for k, span in enumerate((u, v)))
    else:
        raise UsageError(f"unknown frame {frame!r}{nearest(frame, ('oblique', 'orthonormal'))}")
    verbatim = lattice_points(alpha, beta, axes.places, weights)
    cells = grid_cells(objective, first, axes, alpha, beta, verbatim)
    found = evaluate(cells, executor=executor, partial=partial, units=rows, progress=progress)
    anchors = measure_anchors(objective, weights, labels, axes.places)
    paths = tuple(_path(objective, axes, first, name, points) for name, points in (trajectories or {}).items())
    return surface(
        objective,
        began,
        cells,
        axes,
        alpha,
        beta,
        found,
        anchors,
        frame_name=frame,
        normalization="none",
        paths=paths,
        citations=("elasticdl179", "garipov2018"),
    )


def grid_cells(
    objective: Objective,
    center: Weights,
    frame: Frame,
    alpha: NDArray[np.float64],
    beta: NDArray[np.float64],
    verbatim: dict[int, Tensor],
) -> Cells:
    """The cells of a plane, row by row of constant beta; one row is one unit of resumption."""
    coefficients = np.stack([np.tile(alpha, len(beta)), np.repeat(beta, len(alpha))], axis=1)
    shape = (len(beta), len(alpha))
    return Cells(objective, center, (frame.first, frame.second), coefficients, verbatim, len(alpha), shape)


def lattice_points(
    alpha: NDArray[np.float64],
    beta: NDArray[np.float64],
    places: Sequence[tuple[float, float]],
    weights: Sequence[Weights],
) -> dict[int, Tensor]:
    """Indices of the cells that are given networks, with their vectors."""
    found = {}
    for (x, y), point in zip(places, weights, strict=True):
        columns, lines = np.flatnonzero(alpha == x), np.flatnonzero(beta == y)
        if len(columns) and len(lines):
            found[int(lines[0]) * len(alpha) + int(columns[0])] = point.vector
    return found


def surface(
    objective: Objective,
    began: Cost,
    cells: Cells,
    frame: Frame,
    alpha: NDArray[np.float64],
    beta: NDArray[np.float64],
    found: dict[str, NDArray[Any]],
    anchors: tuple[Anchor, ...],
    *,
    frame_name: str,
    normalization: str,
    paths: tuple[ProjectedPath, ...] = (),
    citations: tuple[str, ...],
    seed: int | None = None,
) -> Surface:
    """The result of a plane's values: arrays in the shape (n_beta, n_alpha), with units and provenance."""
    shape = (len(beta), len(alpha))
    arrays = {name: values.reshape(shape) for name, values in found.items()}
    lengths = frame.lengths
    settings = objective.settings
    return Surface(
        alpha=alpha,
        beta=beta,
        loss=arrays["loss"],
        loss_se=arrays["loss_se"],
        accuracy=arrays.get("accuracy"),
        accuracy_se=arrays.get("accuracy_se"),
        metrics={name.removeprefix("metric:"): v for name, v in arrays.items() if name.startswith("metric:")},
        n_examples=arrays["n_examples"],
        computed=arrays["computed"],
        norm_alpha=lengths[0],
        norm_beta=lengths[1],
        cosine=frame.cosine,
        frame=frame_name,
        normalization=normalization,
        anchors=anchors,
        batchnorm=settings.batchnorm,
        precision=settings.precision,
        tolerance=settings.tolerance,
        paths=paths,
        economy=measure_economy(objective, cells),
        provenance=objective.provenance(
            "plane", began, citations=citations, key=cells.key(), resolution=list(shape), seed=seed
        ),
    )


def _with_margin(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(*values, 0.0), max(*values, 0.0)
    extent = _MARGIN * (high - low)
    return low - extent, high + extent


def _path(objective: Objective, frame: Frame, center: Weights, name: str, points: Sequence[Point]) -> ProjectedPath:
    weights = [as_weights(point).to(center.vector.device) for point in points]
    for point in weights:
        center.require_same_family(point)
    epochs = [float(p.epoch) if isinstance(p, Checkpoint) else float(i) for i, p in enumerate(points)]
    losses = [objective(point).loss for point in weights]
    return project(frame, center, weights, epochs, losses, name)
