"""The autoencoder's tasks: learn the scales of its start, and train it from one."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from orograph.basics.seeds import isolated_randomness
from orograph.data import Data
from orograph.execute import TaskContext
from orograph.initialize import apply, gradinit
from orograph.results import LearnedScales
from orograph.studies.gradinit.beyond.networks import Autoencoder
from orograph.studies.gradinit.beyond.plan import GLOBAL, LONGER
from orograph.studies.gradinit.starts import KAIMING, chosen_scales, multiply
from orograph.studies.options import build as build_options
from orograph.studies.subject import load_data
from orograph.studies.tasks import Files, saved, store_run
from orograph.train import Recipe, Streams, fit
from orograph.train.batches import steps_per_epoch


def learn(context: TaskContext) -> Files:
    """GradInit on the squared error of reconstructions, looking ahead by Adam; output ``result``."""
    arguments, recipe = context.arguments, _recipe(context)
    data = images_to_images(context)
    found = gradinit(
        _at_base(data, arguments["streams"]["initial"]).to(arguments["device"]),
        data,
        loss="mse",
        optimizer="adam",
        lr=recipe.lr,
        batch_size=recipe.batch_size,
        seed=arguments["streams"]["order"],
        dry_run=True,
        progress=context.progress,
        **arguments["how"],
    )
    return saved(found, context)


def train(context: TaskContext) -> Files:
    """Train from a start; outputs ``run`` and checkpoints."""
    arguments, recipe = context.arguments, _recipe(context)
    data, streams = images_to_images(context), Streams(**arguments["streams"])
    network = _at_base(data, streams.initial)
    if arguments["learned"]:
        learned = LearnedScales.load(context.inputs[arguments["learned"]]["result"])
        if arguments["arm"] == LONGER:
            epochs = max(round(learned.iterations_worth), 1) / steps_per_epoch(data.train, recipe)
            brief = replace(recipe, epochs=epochs, measure_every=epochs)
            before = replace(streams, order=streams.order + 1)
            fit(network, data, brief, seed=before, loss="mse", test=False, device=arguments["device"])
        else:
            multiply(network, chosen_scales("global" if arguments["arm"] == GLOBAL else "learned", learned))
    run = fit(
        network, data, recipe, seed=streams, loss="mse", out=context.folder / "run", name=arguments["arm"],
        device=arguments["device"], progress=context.progress,
    )  # fmt: skip
    return store_run(run, context.folder)


def images_to_images(context: TaskContext) -> Data:
    """The study's images, each its own target."""
    data = load_data(context.arguments["data"], context.context)
    parts = [(split.inputs, split.inputs) for split in (data.train, data.test)]
    return Data.from_tensors(*parts, name=data.name)


def _at_base(data: Data, seed: int) -> nn.Module:
    channels, height, width = data.input_shape
    with isolated_randomness(seed):
        network = Autoencoder((channels, height, width))
    apply(network, KAIMING, seed=seed)
    return network


def _recipe(context: TaskContext) -> Recipe:
    return build_options(Recipe, context.arguments["recipe"])
