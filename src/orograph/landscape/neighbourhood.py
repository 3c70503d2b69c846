"""The surroundings of one network along two directions (Li et al. 2018).

Random directions are filter-normalised by default, since scaling a network's filters would otherwise make the same
function look flat or sharp at will. Cost: one measurement for each cell and two for the centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Literal

from torch import Tensor

from orograph.basics.errors import UsageError
from orograph.landscape.anchors import measure_anchors
from orograph.landscape.axes import axis
from orograph.landscape.frames import Frame
from orograph.landscape.grid import Progress, evaluate
from orograph.landscape.plane import grid_cells, surface
from orograph.landscape.points import Point, family
from orograph.objective import Objective
from orograph.results import Surface
from orograph.weights import Normalization, Weights, dot, normalize, random_plane


def neighbourhood(
    objective: Objective,
    a: Point,
    *,
    directions: Literal["random"] | tuple[Weights | Tensor, Weights | Tensor] = "random",
    normalization: Normalization | None = None,
    span: float | tuple[float, float] = 1.0,
    resolution: int = 41,
    vectors: Literal["zero", "tensor"] = "zero",
    name: str = "A",
    seed: int = 0,
    rows: Sequence[int] | None = None,
    executor: Executor | None = None,
    partial: Path | None = None,
    progress: Progress | None = None,
) -> Surface:
    """Loss and metrics around ``a``; the centre is a cell and holds the network verbatim.

    Parameters
    ----------
    directions : "random" (drawn from ``seed``, orthogonal inside every filter), or two given ones
    normalization : "filter", "layer", "tensor", "none"; default ``filter`` for random directions, else ``none``
    span : the axes run from -span to span (or over the given range, which must contain 0) in units of the directions
    resolution : points per axis, rounded up to the next odd number so that the centre is a cell
    vectors : whether biases and norm layers stay ("zero") or move as whole tensors ("tensor")

    Raises UsageError where the directions are zero, parallel or of another shape.
    """
    began = objective.cost
    (center,), labels = family([a], [name])
    chosen: Normalization
    if isinstance(directions, str):
        if directions != "random":
            raise UsageError(f"directions are 'random' or two tensors, not {directions!r}")
        chosen = normalization or "filter"
        first, second = random_plane(center, seed=seed, normalization=chosen, vectors=vectors)
    else:
        chosen = normalization or "none"
        first, second = (_given(direction, center, chosen) for direction in directions)
    frame = Frame(first, second, ((0.0, 0.0),))
    lengths = frame.lengths
    if not all(lengths):
        raise UsageError("a direction has length 0: all filters are zero, or the network has none that move")
    if abs(frame.cosine) > 1 - 1e-9:
        raise UsageError("the two directions are parallel; a plane needs two different ones")
    low, high = (-span, span) if isinstance(span, (int, float)) else span
    alpha = axis((float(low), float(high)), resolution, (0.0,))
    if 0.0 not in alpha:
        raise UsageError(f"the span {low:g} to {high:g} must contain the centre, 0")
    middle = int(alpha.searchsorted(0.0))
    cells = grid_cells(objective, center, frame, alpha, alpha, {middle * len(alpha) + middle: center.vector})
    found = evaluate(cells, executor=executor, partial=partial, units=rows, progress=progress)
    return surface(
        objective,
        began,
        cells,
        frame,
        alpha,
        alpha,
        found,
        measure_anchors(objective, [center], labels, [(0.0, 0.0)]),
        frame_name="directions",
        normalization=chosen,
        citations=("li2018",),
        seed=seed if isinstance(directions, str) else None,
    )


def _given(direction: Weights | Tensor, center: Weights, normalization: Normalization) -> Tensor:
    vector = direction.vector if isinstance(direction, Weights) else direction
    if vector.shape != center.vector.shape:
        raise UsageError(f"a direction has shape {tuple(vector.shape)}, the network {len(center)} coordinates")
    moved = vector.to(center.vector.device, center.vector.dtype)
    if not dot(moved, moved):
        raise UsageError("a direction has length 0")
    return normalize(moved, center, normalization=normalization, vectors="tensor")
