"""The tasks of ``gradinit``: learn scales, look at gradients, train from a start.

Every task draws the base initialisation again from its seed and multiplies it by the scales that it was given, which is
cheaper than keeping networks, and the same to the bit.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from orograph.basics.errors import Diverged
from orograph.data import Augmentation, Data, colour_axes
from orograph.execute import TaskContext
from orograph.initialize import gradient_variance, gradinit, metainit
from orograph.initialize.chunks import Chunks
from orograph.results import LearnedScales, Run
from orograph.studies.gradinit.starts import at_base
from orograph.studies.options import build as build_options
from orograph.studies.scaled_starts import chosen_scales, multiply, steps_worth, train_before
from orograph.studies.subject import load_data
from orograph.studies.tasks import Files, saved, store_run
from orograph.train import Recipe, Streams, fit
from orograph.train.batches import steps_per_epoch


def learn(context: TaskContext) -> Files:
    """Learn the scales of one network, which is not trained here; output ``result``."""
    arguments = context.arguments
    data, recipe = load_data(arguments["data"], context.context), build_options(Recipe, arguments["recipe"])
    network = at_base(arguments["model"], data, arguments["streams"]["initial"]).to(arguments["device"])
    shared: dict[str, Any] = {
        "batch_size": recipe.batch_size, "seed": arguments["streams"]["order"], "progress": context.progress,
        "dry_run": True, **arguments["how"],
    }  # fmt: skip
    if arguments["method"] == "metainit":
        return saved(metainit(network, data, **shared), context)
    found = gradinit(network, data, optimizer="sgd", lr=recipe.lr, augmentation=augmentation(recipe, data), **shared)
    return saved(found, context)


def gradients(context: TaskContext) -> Files:
    """How much gradients vary at a start, on batches that are the same for all starts; output ``result``."""
    arguments = context.arguments
    data, recipe = load_data(arguments["data"], context.context), build_options(Recipe, arguments["recipe"])
    network = started(context, data).to(arguments["device"])
    luck = arguments["streams"]["augmentation"]
    draw = Chunks(data.train, recipe.batch_size, network, seed=luck, augmentation=augmentation(recipe, data))
    return saved(gradient_variance(network, [draw() for _ in range(arguments["batches"])], seed=luck), context)


def train(context: TaskContext) -> Files:
    """Train an arm: outputs ``run``, checkpoints, and ``prelude``, the run of the iterations before it, where there is
    one. A run that diverges is told by its record, which then ends at its start."""
    arguments = context.arguments
    data, recipe = load_data(arguments["data"], context.context), build_options(Recipe, arguments["recipe"])
    network, streams = started(context, data), Streams(**arguments["streams"])
    files: Files = {}
    before: Run | None = None
    shared: dict[str, Any] = {
        "device": arguments["device"], "name": arguments["name"], "seed": streams, "progress": context.progress,
    }  # fmt: skip
    try:
        if arguments["prelude"]:
            before = prelude(context, network, data, recipe)
            nameless = tuple(replace(checkpoint, path=None) for checkpoint in before.checkpoints)
            files["prelude"] = replace(before, checkpoints=nameless).save(context.folder / "prelude.npz")
        run = fit(network, data, recipe, out=context.folder / "run", **shared)
    except Diverged:
        run = fit(started(context, data), data, replace(recipe, epochs=0, warmup=0), **shared)
        run = replace(run, checkpoints=())
    if before is not None:
        run = replace(run, provenance=run.provenance.with_cost(run.provenance.cost + before.provenance.cost))
    return {**files, **store_run(run, context.folder)}


def prelude(context: TaskContext, network: nn.Module, data: Data, recipe: Recipe) -> Run:
    """Train ``network`` in place for as many iterations as GradInit is worth, or one epoch."""
    arguments = context.arguments
    wanted, steps = arguments["prelude"], steps_per_epoch(data.train, recipe)
    if wanted["as_long_as"]:
        steps = steps_worth(LearnedScales.load(context.inputs[wanted["as_long_as"]]["result"]))
    return train_before(
        network,
        data,
        recipe,
        Streams(**arguments["streams"]),
        steps,
        rising=wanted["schedule"] == "warm-up",
        device=arguments["device"],
        out=context.folder / "prelude",
    )


def started(context: TaskContext, data: Data) -> nn.Module:
    """The network at the start that the task is about."""
    arguments = context.arguments
    network = at_base(arguments["model"], data, arguments["streams"]["initial"])
    if arguments["scales"]:
        task, kind = arguments["scales"]
        multiply(network, chosen_scales(kind, LearnedScales.load(context.inputs[task]["result"])))
    return network


def augmentation(recipe: Recipe, data: Data) -> Augmentation | None:
    """Of images, as in training; None where there is none."""
    if not recipe.augments:
        return None
    axes = colour_axes(data.train.inputs) if recipe.colour else None
    return Augmentation(recipe.crop, recipe.flip, recipe.cutout, recipe.scale, recipe.crop_to, recipe.colour, axes)


def prelude_of(files: dict[str, Path]) -> Run:
    """The run before a run."""
    return Run.load(files["prelude"])
