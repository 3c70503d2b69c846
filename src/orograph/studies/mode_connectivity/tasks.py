"""The tasks that join networks: curves, alignments, planes through bends, legs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from orograph.connect import Curve, align, path, permuted_copy, plane, polyline
from orograph.data import Examples
from orograph.execute import TaskContext
from orograph.results import Path as PathResult
from orograph.studies.options import build as build_options
from orograph.studies.subject import load_data
from orograph.studies.tasks import objective_of, pick, saved
from orograph.train import Recipe
from orograph.weights import Weights

Files = dict[str, Path]


def connect(context: TaskContext) -> Files:
    """A curve between two networks, or from one to a permuted copy of itself; output ``result``."""
    arguments = context.arguments
    objective = objective_of(context)
    data = load_data(arguments["data"], context.context)
    ends = _networks(context)
    if arguments["permuted"]:
        ends.append(permuted_copy(objective.model, ends[0], data.train, seed=arguments["seed"]))
    found = path(
        objective,
        *ends,
        train=data.train,
        kind=arguments["kind"],
        bends=arguments["bends"],
        align=arguments["align"] or False,
        recipe=build_options(Recipe, arguments["recipe"]),
        points=arguments["points"],
        train_examples=arguments["train_examples"],
        line=arguments["line"],
        names=arguments["names"],
        seed=arguments["seed"],
        partial=context.folder,
        progress=lambda what, done, total: context.progress(_PHASES.get(what, 0.9) + 0.3 * done / total, 1.2),
    )
    return saved(found, context)


_PHASES = {"training": 0.0, "curve": 0.3, "line": 0.6}


def align_pair(context: TaskContext) -> Files:
    """The second network aligned to the first, with barriers before and after; output ``result``."""
    arguments = context.arguments
    objective = objective_of(context)
    a, b = _networks(context)
    found = align(
        objective.model,
        a,
        b,
        example=load_data(arguments["data"], context.context).train,
        method=arguments["method"],
        objective=objective,
        names=arguments["names"],
        seed=arguments["seed"],
    )
    return saved(found, context)


def draw_bend(context: TaskContext) -> Files:
    """The plane of a curve's bend, coloured by the train loss with the L2 term; output ``result``."""
    arguments = context.arguments
    joined = PathResult.load(context.inputs[arguments["curve"]]["result"])
    assert joined.control is not None
    curve = Curve.of(joined.kind, joined.control, _networks(context)[0], joined.segments)
    found = plane(
        objective_of(context).over(_train(context), part="train"),
        curve,
        resolution=arguments["resolution"],
        regularized=arguments["decay"],
        names=arguments["names"],
        partial=context.folder,
        progress=context.progress,
    )
    return saved(replace(found, accuracy=None, accuracy_se=None), context)


def draw_legs(context: TaskContext) -> Files:
    """Straight legs through all networks; output ``result``."""
    found = polyline(
        objective_of(context),
        _networks(context),
        train=_train(context),
        names=context.arguments["names"],
        partial=context.folder,
        progress=context.progress,
    )
    return saved(found, context)


def _networks(context: TaskContext) -> list[Weights]:
    return [pick(context, *point) for point in context.arguments["points_at"]]


def _train(context: TaskContext) -> Examples:
    train = load_data(context.arguments["data"], context.context).train
    examples = context.arguments["train_examples"]
    return train if examples is None else train.head(examples)
