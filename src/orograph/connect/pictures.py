"""Pictures of connected networks: the plane that a curve bends in, and straight legs through many networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path as FilePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from orograph.basics.errors import UsageError
from orograph.connect.curves import Curve
from orograph.connect.profile import Ground, measure_profile
from orograph.data import as_examples
from orograph.landscape.plane import plane as draw_plane
from orograph.landscape.points import Point, family
from orograph.objective import Objective
from orograph.results import Barrier, Cost, Polyline, Profile, Surface

_MARGIN = 0.2
_LEAST_HEIGHT = 0.8  # of a picture, as a share of the distance of the curve's ends
_ON_THE_CURVE = 31


def plane(
    objective: Objective,
    curve: Curve,
    *,
    resolution: int = 21,
    regularized: float = 0.0,
    names: Sequence[str] = ("A", "B", "bend"),
    partial: FilePath | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Surface:
    """The plane through a curve's ends and its middle bend, in true lengths, with the curve drawn on it.

    With one bend the curve lies in the plane; with more, ``paths[0].off_plane`` says how far from it. ``regularized``
    is the strength of weight decay: the loss is then with the L2 term (1/2) decay |w|^2, as in the published pictures.
    Source: Garipov et al. 2018, Figures 1 and 2. Raises UsageError where the curve has no bend, or is a line.
    """
    if not curve.free:
        raise UsageError("a curve without bends is a line; a plane needs three networks")
    a, b, bend = curve.points[0], curve.points[-1], curve.points[curve.free[len(curve.free) // 2]]
    places = _places(a.distance(b), [(p.dot(q)) for p, q in ((b - a, bend - a), (bend - a, bend - a))])
    box = _box(places)
    ts = np.linspace(0.0, 1.0, _ON_THE_CURVE)
    found = draw_plane(
        objective,
        a,
        b,
        bend,
        frame="orthonormal",
        u=box[0],
        v=box[1],
        resolution=resolution,
        names=names,
        trajectories={"the curve": [curve.at(float(t)) for t in ts]},
        partial=partial,
        progress=progress,
    )
    way = replace(found.paths[0], epochs=ts, unit="t")
    found = replace(found, paths=(way,))
    return _with_penalty(found, curve, regularized) if regularized else found


def polyline(
    objective: Objective,
    networks: Sequence[Point],
    *,
    train: Any,
    points: int = 11,
    names: Sequence[str] | None = None,
    decay: float | Tensor = 0.0,
    partial: FilePath | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Polyline:
    """Straight legs through ``networks`` in their order, ``points`` on each (both ends counted), nothing trained.

    Source: Garipov et al. 2018, Figure 9, where the networks are the members of an ensemble. Raises UsageError for
    fewer than two networks, or two neighbours that are the same point.
    """
    given, labels = family(networks, names)
    if len(given) < 2 or points < 2:
        raise UsageError("a polyline needs two networks at least, and two points on each leg")
    legs = len(given) - 1
    curve = Curve.straight(given, "polychain", 0)
    if not min(curve.legs()):
        raise UsageError("two networks in a row are the same point; leave one of them out")
    ground = Ground.of(objective, as_examples(train, "the training examples"), given[0], decay, pair=False)
    ts = np.linspace(0.0, 1.0, legs * (points - 1) + 1)
    corners = np.arange(len(given)) * (points - 1)
    ts[corners] = np.arange(len(given)) / legs
    profile = measure_profile(ground, curve, ts, barriers=False, kept_in=partial, progress=progress)
    unit = objective.criterion.unit
    return Polyline(
        names=labels,
        corners=corners.astype(np.int64),
        profile=profile,
        train_barriers=_leg_barriers(profile, "train", corners, len(ground.train.split), unit),
        test_barriers=_leg_barriers(profile, "test", corners, len(ground.test.split), unit),
        batchnorm=ground.test.settings.batchnorm,
        provenance=ground.test.provenance("polyline", Cost(), citations=("garipov2018",)).with_cost(ground.cost),
    )


def _places(length: float, products: Sequence[float], /) -> list[tuple[float, float]]:
    """Orthonormal coordinates of both ends and the bend, from <b - a, c - a> and |c - a|^2."""
    across = products[0] / length
    return [(0.0, 0.0), (length, 0.0), (across, float(np.sqrt(max(products[1] - across**2, 0.0))))]


def _box(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Ranges of both axes: the triangle with the published margin; a flat one with so much that it is no strip."""
    found = []
    width = float(np.ptp([place[0] for place in places]))
    for axis in (0, 1):
        values = [place[axis] for place in places]
        extent = float(np.ptp(values))
        margin = max(_MARGIN * extent, (_LEAST_HEIGHT * width - extent) / 2)
        found.append((min(values) - margin, max(values) + margin))
    return found


def _with_penalty(surface: Surface, curve: Curve, decay: float) -> Surface:
    """The surface with the L2 term on every loss. On a plane |w|^2 is a quadratic of the coordinates."""
    a, b = curve.points[0], curve.points[-1]
    bend = curve.points[curve.free[len(curve.free) // 2]]
    first = (b - a) / a.distance(b)
    second = (bend - a) - (bend - a).dot(first) * first
    second = second / second.norm()
    along, up = a.dot(first), a.dot(second)

    def penalty(x: Any, y: Any) -> Any:
        return decay / 2 * (a.norm() ** 2 + 2 * (x * along + y * up) + x**2 + y**2)

    anchors = tuple(
        replace(p, loss=p.loss + float(penalty(*p.coordinates)), loss_own=p.loss_own + float(penalty(*p.coordinates)))
        for p in surface.anchors
    )
    way, record = surface.paths[0], surface.provenance
    norms = np.array([curve.at(float(t)).norm() for t in way.epochs])
    return replace(
        surface,
        loss=surface.loss + penalty(surface.alpha[None, :], surface.beta[:, None]),
        anchors=anchors,
        paths=(replace(way, loss=way.loss + decay / 2 * norms**2),),
        provenance=replace(record, options={**record.options, "weight decay in the loss": decay}),
    )


def _leg_barriers(
    profile: Profile, part: str, corners: NDArray[np.int64], examples: int, unit: str
) -> tuple[Barrier, ...]:
    """The highest rise above the chord of each leg, over the points measured."""
    found = []
    loss, error = getattr(profile, f"{part}_loss"), getattr(profile, f"{part}_error")
    for low, high in pairwise(corners):
        share = np.linspace(0.0, 1.0, high - low + 1)
        heights, at = _rise(loss[low : high + 1], share)
        wrong = (None, None) if error is None else _rise(error[low : high + 1], share)
        top = float(loss[low : high + 1][round(at * (high - low))])
        found.append(
            Barrier(
                height=heights,
                at=at,
                loss_at=top,
                loss_start=float(loss[low]),
                loss_end=float(loss[high]),
                se=float("nan"),
                resolved=False,
                grid_height=heights,
                grid_at=at,
                n_examples=examples,
                error_height=wrong[0],
                error_at=wrong[1],
                evaluations=len(share),
                unit=unit,
            )
        )
    return tuple(found)


def _rise(values: NDArray[np.float64], share: NDArray[np.float64]) -> tuple[float, float]:
    rise = values - ((1 - share) * values[0] + share * values[-1])
    best = int(np.where(np.isfinite(rise), rise, np.inf).argmax())
    return max(float(rise[best]), 0.0), float(share[best])
