"""``path``: join two networks by a curve of low loss, and measure what lies on it.

The curve is trained as in :mod:`orograph.connect.training` and measured as in :mod:`orograph.connect.profile`, with the
straight line beside it. Source: Garipov et al. 2018. Cost: the recipe's epochs, and twice the profile's passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path as FilePath
from typing import Any

import numpy as np
from torch import Tensor

from orograph.basics.errors import UsageError, WeightsError
from orograph.basics.keys import content_key
from orograph.basics.seeds import derive
from orograph.connect.align import Method
from orograph.connect.align import align as align_networks
from orograph.connect.curves import FAMILIES, Curve, Family
from orograph.connect.profile import Ground, measure_profile
from orograph.connect.training import decay_of, train_curve
from orograph.data import Examples, as_examples
from orograph.landscape.anchors import measure_anchors
from orograph.landscape.points import Point, family
from orograph.objective import Objective
from orograph.objective.batchnorm import tracking_layers
from orograph.results import Alignment, Cost, Path, Run
from orograph.train import Recipe
from orograph.weights import Weights

Progress = Callable[[str, int, int], None]


def path(
    objective: Objective,
    a: Point,
    b: Point,
    *,
    train: Any,
    kind: Family = "bezier",
    bends: int = 1,
    through: Sequence[Point] = (),
    align: bool | Method = False,
    recipe: Recipe | None = None,
    epochs: float | None = None,
    lr: float | None = None,
    points: int = 61,
    goal: float | None = None,
    most_bends: int = 4,
    train_examples: int | None = None,
    line: bool = True,
    pair: bool = True,
    barriers: bool = True,
    names: Sequence[str] | None = None,
    seed: int = 0,
    partial: FilePath | None = None,
    progress: Progress | None = None,
) -> Path:
    """A curve of low loss from ``a`` to ``b``, measured on the objective's examples (test) and on ``train``.

    Parameters
    ----------
    train : the training examples: what the curve is trained on, what the train figures are measured on, and where
        the objective has no calibration examples, what batch norm is re-estimated from
    kind : "bezier" or "polychain"; bends : free control points (of each segment)
    through : networks that the curve must pass through on its way
    align : permute the units of ``b`` (and of ``through``) to match ``a`` first, by "weights" (True) or "activations"
    recipe : how the bends are trained; its weight decay acts on the points of the curve. Default: 20 epochs of SGD
        with the published schedule and lr 0.015; ``epochs`` and ``lr`` replace the recipe's. About 0.3 of the networks'
        own lr and one to two times their epochs serve well.
    points : how many points of [0, 1] are measured
    goal : add bends, at most ``most_bends``, until the barrier of the train loss (nats) is no higher than this
    train_examples : measure train figures on the first so many examples (default: all)
    line : measure the straight line too; pair : the first network averaged with each point too; barriers : refine the
        barriers between the points
    partial : a folder for unfinished work; an equal call after a kill continues there
    progress : called with (what, done, total)

    Raises
    ------
    WeightsError
        The networks are of different architectures, hold NaN, or differ in buffers that no path can carry.
    UsageError
        The networks are the same point; an option is out of range. TaskError: training the curve diverged.
    """
    if kind not in FAMILIES:
        raise UsageError(f"kind is {' or '.join(FAMILIES)}, not {kind!r}")
    if bends < 1:
        raise UsageError(f"a curve needs at least 1 bend, not {bends}; the straight line is measured beside it anyway")
    if goal is not None and not goal >= 0:
        raise UsageError(f"goal is the height of a barrier, from 0, not {goal}")
    if points < 3:
        raise UsageError(f"a path is measured at 3 points at least, not {points}")
    if goal is not None and not barriers:
        raise UsageError("a goal is a barrier's height; leave barriers=False out")
    given, labels = family([a, *through, b], names)
    _require_apart(given, labels)
    examples = as_examples(train, "the training examples")
    recipe = _recipe(recipe, epochs, lr)
    if not recipe.epochs > 0:
        raise UsageError("a curve that is not trained is the straight line; give more than 0 epochs")
    tell = progress or (lambda *_: None)
    route, alignment = given, None
    if align:
        method: Method = "weights" if align is True else align
        route, alignment = _aligned(objective, given, labels, examples, method, seed)
    for other in route[1:]:
        _require_same_buffers(objective, route[0], other, labels[0])
    decay = decay_of(objective.model, route[0].layout, recipe)
    measured = examples if train_examples is None else examples.head(train_examples)
    ground = Ground.of(objective, measured, route[0], decay, pair=pair)
    ts = np.linspace(0.0, 1.0, points)

    def profile_of(curve: Curve, what: str) -> Any:
        return measure_profile(
            ground, curve, ts, barriers=barriers, kept_in=partial, progress=lambda done, total: tell(what, done, total)
        )

    curve, spent = Curve.straight(route, kind, bends), Cost()
    while True:
        curve, run = _trained(objective, curve, examples, recipe, seed, partial, tell)
        spent += run.provenance.cost
        profile = profile_of(curve, "curve")
        wall = profile.train_barrier
        if goal is None or curve.bends >= most_bends or (wall is not None and wall.height <= goal):
            break
        curve = curve.with_another_bend()
    straight = profile_of(Curve.straight(route, kind, 0), "line") if line else None
    naive = profile_of(Curve.straight(given, kind, 0), "line before alignment") if line and alignment else None
    return Path(
        kind=kind,
        bends=curve.bends,
        segments=curve.segments,
        names=(labels[0], labels[-1]),
        anchors=measure_anchors(ground.test, [route[0], route[-1]], [labels[0], labels[-1]], [(0.0,), (1.0,)]),
        profile=profile,
        line=straight,
        naive_line=naive,
        legs=tuple(curve.legs()),
        chord=route[0].distance(route[-1]),
        decay=None if isinstance(decay, Tensor) else decay,
        control=np.stack([point.vector.cpu().numpy() for point in curve.points]),
        training=_light(run),
        alignment=None if alignment is None else replace(alignment, weights=None),
        batchnorm=ground.test.settings.batchnorm,
        goal=goal,
        curve=curve,
        provenance=ground.test.provenance(
            "path",
            Cost(),
            citations=("garipov2018", *(("ainsworth2023",) if alignment else ()), "frankle2020"),
            points=points,
            seed=seed,
            recipe=asdict(recipe),
            align=alignment.method if alignment else None,
            train=examples.fingerprint,
        ).with_cost(ground.cost + spent),
    )


def _aligned(
    objective: Objective,
    given: Sequence[Weights],
    labels: Sequence[str],
    examples: Examples,
    method: Method,
    seed: int,
) -> tuple[list[Weights], Alignment]:
    """All networks with their units in the first one's order, and the last one's alignment."""
    found = [
        align_networks(
            objective.model, given[0], other, example=examples, method=method, names=(labels[0], label), seed=seed
        )
        for other, label in zip(given[1:], labels[1:], strict=True)
    ]
    copy = next((one for one in found if not one.distance_after), None)
    if copy is not None:
        raise UsageError(
            f"network {copy.names[1]} is {copy.names[0]} with its units in another order: aligned, they are the same "
            "point"
        )
    return [given[0], *(one.weights for one in found)], found[-1]


def _trained(
    objective: Objective,
    curve: Curve,
    examples: Examples,
    recipe: Recipe,
    seed: int,
    partial: FilePath | None,
    tell: Progress,
) -> tuple[Curve, Run]:
    # Named by all that it depends on, so that what another call has left does not stand in the way.
    ends = [point.fingerprint() for point in curve.points]
    key = content_key([asdict(recipe), seed, curve.kind, ends, examples.fingerprint])
    folder = None if partial is None else FilePath(partial) / f"curve-{curve.bends}-{key}"
    return train_curve(
        objective.model,
        curve,
        examples,
        recipe,
        loss=objective.criterion.loss,
        seed=derive(seed, "curve", curve.bends),
        device=objective.device,
        out=folder,
        progress=lambda done, total: tell("training", done, total),
    )


def _recipe(recipe: Recipe | None, epochs: float | None, lr: float | None) -> Recipe:
    recipe = Recipe(epochs=20, lr=0.015, schedule="hold-decay") if recipe is None else recipe
    changes: dict[str, Any] = {name: value for name, value in (("epochs", epochs), ("lr", lr)) if value is not None}
    if recipe.bias_lr != 1:
        raise UsageError("on a path all parameters move at one rate; leave bias_lr at 1")
    return replace(recipe, **changes) if changes else recipe


def _require_apart(networks: Sequence[Weights], labels: Sequence[str]) -> None:
    for (one, first), (other, second) in pairwise(zip(networks, labels, strict=True)):
        if not one.distance(other):
            raise UsageError(f"networks {first} and {second} are the same point; there is no path between them")


def _require_same_buffers(objective: Objective, one: Weights, other: Weights, label: str) -> None:
    """Buffers ride along from the first network; statistics and counters of batch norm are all that may differ."""
    layers = {id(layer) for layer in tracking_layers(objective.model)}
    free = {
        f"{name}.{buffer}".lstrip(".")
        for name, module in objective.model.named_modules()
        if id(module) in layers
        for buffer, _ in module.named_buffers(recurse=False)
    }
    for name, tensor in one.buffers.items():
        theirs = other.buffers.get(name)
        if name not in free and theirs is not None and not tensor.equal(theirs.to(tensor.device)):
            raise WeightsError(
                f"buffer {name} differs between the networks, and a path carries that of {label}; make it equal, or a "
                "parameter"
            )


def _light(run: Run) -> Run:
    """The record without the weights of its checkpoints."""
    return replace(run, checkpoints=tuple(replace(c, weights=None, path=None) for c in run.checkpoints))
