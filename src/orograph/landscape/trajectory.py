r"""A training trajectory on the principal axes of its checkpoints.

Rows are the displacements :math:`w_t - w_{ref}`. Their principal axes come from the T x T Gram matrix in float64, never
from a D x D one. A long random walk in high dimension shows structure too: its shares of variance,
:math:`6 / (\pi^2 k^2)` (Antognini & Sohl-Dickstein 2018), stand beside the measured ones. Contours belong to the
projected points, so each checkpoint's true loss is given beside the loss of its projection. Cost: two measurements for
each checkpoint, and one for each cell of the surface.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from orograph.basics.errors import UsageError
from orograph.landscape.anchors import measure_anchors
from orograph.landscape.axes import centred_axis
from orograph.landscape.frames import Frame
from orograph.landscape.grid import Progress, evaluate
from orograph.landscape.plane import grid_cells, surface
from orograph.landscape.points import Point, family
from orograph.objective import Objective
from orograph.results import Checkpoint, ProjectedPath, Surface, Trajectory, random_walk_shares
from orograph.weights import Weights, dot, length_of

_AXES_REPORTED = 10


def trajectory(
    objective: Objective,
    checkpoints: Sequence[Point],
    *,
    reference: Literal["final", "mean"] = "final",
    resolution: int | None = None,
    margin: float = 0.2,
    epochs: Sequence[float] | None = None,
    steps: Sequence[int] | None = None,
    name: str = "run",
    executor: Executor | None = None,
    partial: Path | None = None,
    progress: Progress | None = None,
) -> Trajectory:
    """Principal axes, coordinates, true and projected losses of at least three checkpoints.

    Parameters
    ----------
    reference : displacements are taken from the "final" weights or from their "mean"
    resolution : also draw the loss on the plane of the first two axes, with about this many points per axis
    margin : how far beyond the trajectory that plane reaches, as a share of its extent
    epochs, steps : when the checkpoints were taken; known already for checkpoints of a run

    Raises UsageError for fewer than three checkpoints, or if they all lie on one line.
    """
    began = objective.cost
    if len(checkpoints) < 3:
        raise UsageError(f"a trajectory needs at least three checkpoints, not {len(checkpoints)}")
    if reference not in ("final", "mean"):
        raise UsageError(f"reference is 'final' or 'mean', not {reference!r}")
    known = [point for point in checkpoints if isinstance(point, Checkpoint)]
    complete = len(known) == len(checkpoints)
    taken = np.array(steps if steps is not None else [p.step for p in known] if complete else range(len(checkpoints)))
    when = np.array(epochs if epochs is not None else [p.epoch for p in known] if complete else taken, dtype=np.float64)
    weights, _ = family(checkpoints, [f"{name} at {e:g}" for e in when])
    center = weights[-1] if reference == "final" else _mean(weights)
    axes, coordinates, shares = principal_axes(weights, center)
    frame = Frame(axes[0], axes[1], ((0.0, 0.0),))
    off_plane = np.array(
        [_off_plane(point, center, axes, place) for point, place in zip(weights, coordinates, strict=True)]
    )
    with objective.session(center):
        true = [objective(point) for point in weights]
        projected = [objective.along(center, [(float(x), axes[0]), (float(y), axes[1])]) for x, y in coordinates]
    losses = np.array([m.loss for m in true])
    drawn = None
    if resolution is not None:
        path = ProjectedPath(name, when, coordinates, off_plane, losses)
        drawn = _surface(objective, center, frame, path, reference, resolution, margin, executor, partial, progress)
    gaps = np.diff(taken)
    accuracies = [m.accuracy for m in true]
    return Trajectory(
        name=name,
        epochs=when,
        steps=taken.astype(np.int64),
        coordinates=coordinates,
        off_plane=off_plane,
        loss=losses,
        loss_projected=np.array([m.loss for m in projected]),
        accuracy=None if accuracies[0] is None else np.array(accuracies, dtype=np.float64),
        explained=shares,
        explained_random_walk=random_walk_shares(len(shares)),
        reference=reference,
        even=bool(len(set(gaps.tolist())) <= 1),
        batchnorm=objective.settings.batchnorm,
        precision=objective.settings.precision,
        surface=drawn,
        provenance=objective.provenance(
            "trajectory", began, citations=("li2018", "antognini2018"), reference=reference
        ),
    )


def principal_axes(
    weights: Sequence[Weights], center: Weights
) -> tuple[tuple[Tensor, Tensor], NDArray[np.float64], NDArray[np.float64]]:
    """The first two principal axes (D,), coordinates (T, 2) on them, and shares of variance (k,), k <= 10.

    Each axis points so that the first checkpoint lies on its positive side. Raises UsageError where the displacements
    span less than a plane.
    """
    rows = [point.vector - center.vector for point in weights]
    count = len(rows)
    gram = np.zeros((count, count))
    for i in range(count):
        for j in range(i + 1):
            gram[i, j] = gram[j, i] = dot(rows[i], rows[j])
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1].clip(min=0.0), vectors[:, ::-1]
    if values[1] <= 1e-14 * values[0]:
        raise UsageError("the checkpoints lie on one line (or are all the same); there is no plane through them")
    axes, columns = [], []
    for k in (0, 1):
        lead = vectors[np.abs(vectors[:, k]).argmax(), k] if abs(vectors[0, k]) < 1e-12 else vectors[0, k]
        combination = vectors[:, k] * np.sign(lead)
        axis = torch.zeros_like(center.vector, dtype=torch.float64)
        for weight, row in zip(combination, rows, strict=True):
            axis.add_(row, alpha=float(weight))
        axis /= math.sqrt(values[k])
        axes.append(axis.to(center.vector.dtype))
        columns.append(combination * math.sqrt(values[k]))
    shares = values[: min(count - 1, _AXES_REPORTED)] / values.sum()
    return (axes[0], axes[1]), np.stack(columns, axis=1), shares


def _mean(weights: Sequence[Weights]) -> Weights:
    total = torch.zeros_like(weights[0].vector, dtype=torch.float64)
    for point in weights:
        total += point.vector
    return weights[-1].with_vector((total / len(weights)).to(weights[0].vector.dtype))


def _off_plane(point: Weights, center: Weights, axes: tuple[Tensor, Tensor], place: NDArray[np.float64]) -> float:
    along = [(-float(coordinate), axis) for axis, coordinate in zip(axes, place, strict=True)]
    return length_of([(1.0, point.vector), (-1.0, center.vector), *along])


def _surface(
    objective: Objective,
    center: Weights,
    frame: Frame,
    path: ProjectedPath,
    reference: str,
    resolution: int,
    margin: float,
    executor: Executor | None,
    partial: Path | None,
    progress: Progress | None,
) -> Surface:
    began = objective.cost
    spans = []
    for column in path.coordinates.T:
        low, high = min(column.min(), 0.0), max(column.max(), 0.0)
        spans.append((low - margin * (high - low), high + margin * (high - low)))
    alpha, beta = (centred_axis(span, resolution) for span in spans)
    origin = {int(np.flatnonzero(beta == 0)[0]) * len(alpha) + int(np.flatnonzero(alpha == 0)[0]): center.vector}
    cells = grid_cells(objective, center, frame, alpha, beta, origin)
    found = evaluate(cells, executor=executor, partial=partial, progress=progress)
    anchors = measure_anchors(objective, [center], [reference], [(0.0, 0.0)])
    return surface(
        objective,
        began,
        cells,
        frame,
        alpha,
        beta,
        found,
        anchors,
        frame_name="orthonormal",
        normalization="none",
        paths=(path,),
        citations=("li2018", "antognini2018"),
    )
