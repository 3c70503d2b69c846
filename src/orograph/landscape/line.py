r"""Heights along a straight line.

Between two networks :math:`\phi(\alpha) = (1 - \alpha) A + \alpha B` (Goodfellow et al. 2015; ElasticDL issue 179 looks
beyond both ends, alpha from -1 to 2); or from one network along a direction. Cost: one measurement for each point.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from orograph.basics.errors import UsageError
from orograph.landscape.anchors import measure_anchors
from orograph.landscape.axes import axis, given_axis
from orograph.landscape.barrier import barrier_on
from orograph.landscape.economy import measure_economy
from orograph.landscape.grid import Cells, Progress, evaluate
from orograph.landscape.points import Point, family
from orograph.objective import Objective
from orograph.results import Line
from orograph.weights import Difference, Direction, Normalization, Weights, dot, normalize, random_direction

_POINTS_IN_A_UNIT = 8


def line(
    objective: Objective,
    a: Point,
    b: Point | None = None,
    *,
    direction: Weights | Tensor | None = None,
    alphas: ArrayLike | None = None,
    resolution: int = 61,
    names: Sequence[str] | None = None,
    normalization: Normalization | None = None,
    seed: int = 0,
    barrier: bool = True,
    executor: Executor | None = None,
    partial: Path | None = None,
    progress: Progress | None = None,
) -> Line:
    """Loss and metrics on the line through ``a`` and ``b``, or from ``a`` along a direction.

    Parameters
    ----------
    alphas : array of coefficients, default ``resolution`` points on (-1, 2) for two networks, (-1, 1) for a direction
        0 (and 1, for two networks) must lie on it where they lie inside its range; the default is rounded up until
        they do.
    direction : (D,) tensor or Weights; without it and without ``b``, a random one is drawn from ``seed``
    normalization : "filter", "layer", "tensor", "none"; default ``filter`` for a random direction, else ``none``
    barrier : whether the barrier between two networks is measured and refined too
    executor, partial, progress : see :func:`orograph.landscape.grid.evaluate`

    Raises
    ------
    UsageError, WeightsError
        The alphas miss a given network; the networks are equal, of different architectures, or hold NaN.
    """
    if b is not None and direction is not None:
        raise UsageError("give a second network or a direction, not both")
    began = objective.cost
    weights, labels = family([a] if b is None else [a, b], names)
    center = weights[0]
    through = (0.0,) if b is None else (0.0, 1.0)
    span = (-1.0, 1.0) if b is None else (-1.0, 2.0)
    values = axis(span, resolution, through) if alphas is None else given_axis(alphas, through)
    if b is not None:
        step: Direction = Difference(weights[1].vector, center.vector)
        scaling = "none"
        if not dot(step, step):
            raise UsageError(f"networks {labels[0]} and {labels[1]} are the same point; there is no line between them")
    else:
        step, scaling = _direction(center, direction, normalization, seed)
    given = zip(through, weights, strict=True)
    verbatim = {int(np.flatnonzero(values == t)[0]): w.vector for t, w in given if t in values}
    cells = Cells(objective, center, (step,), values[:, None], verbatim, _POINTS_IN_A_UNIT, (len(values),))
    found = evaluate(cells, executor=executor, partial=partial, progress=progress)
    anchors = measure_anchors(objective, weights, labels, [(t,) for t in through])
    wall = None
    if b is not None and barrier:
        inside = (values >= 0) & (values <= 1)
        complete = bool(found["computed"].all()) and {0.0, 1.0} <= set(values)
        ts = values[inside] if complete and inside.sum() > 2 else axis((0.0, 1.0), 21, (0.0, 1.0))
        known = complete and inside.sum() > 2
        wall = barrier_on(
            objective,
            weights[0],
            weights[1],
            ts,
            found["loss"][inside] if known else None,
            1 - found["accuracy"][inside] if known and "accuracy" in found else None,
        )
    return Line(
        alphas=values,
        loss=found["loss"],
        loss_se=found["loss_se"],
        accuracy=found.get("accuracy"),
        accuracy_se=found.get("accuracy_se"),
        metrics={name.removeprefix("metric:"): v for name, v in found.items() if name.startswith("metric:")},
        n_examples=found["n_examples"],
        computed=found["computed"],
        length=float(np.sqrt(dot(step, step))),
        names=labels,
        anchors=anchors,
        frame="models" if b is not None else "direction",
        normalization=scaling,
        batchnorm=objective.settings.batchnorm,
        precision=objective.settings.precision,
        tolerance=objective.settings.tolerance,
        barrier=wall,
        economy=measure_economy(objective, cells),
        provenance=objective.provenance(
            "line",
            began,
            citations=("goodfellow2015", "elasticdl179", *(("frankle2020",) if wall else ())),
            key=cells.key(),
            points=len(values),
            seed=seed if b is None and direction is None else None,
        ),
    )


def _direction(
    center: Weights, given: Weights | Tensor | None, normalization: Normalization | None, seed: int
) -> tuple[Tensor, str]:
    if given is None:
        chosen: Normalization = normalization or "filter"
        return normalize(random_direction(center, seed=seed), center, normalization=chosen), chosen
    vector = given.vector if isinstance(given, Weights) else given
    if vector.shape != center.vector.shape:
        raise UsageError(f"the direction has shape {tuple(vector.shape)}, the network {len(center)} coordinates")
    chosen = normalization or "none"
    moved = vector.to(center.vector.device, center.vector.dtype)
    return normalize(moved, center, normalization=chosen, vectors="tensor"), chosen
