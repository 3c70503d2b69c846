"""The autoencoder's tasks: learn the scales of its start, and train it from one."""

from __future__ import annotations

from torch import nn

from orograph.basics.seeds import isolated_randomness
from orograph.data import Data
from orograph.execute import TaskContext
from orograph.initialize import apply, gradinit
from orograph.results import LearnedScales
from orograph.studies.gradinit.beyond.networks import Autoencoder
from orograph.studies.gradinit.beyond.plan import GLOBAL, LONGER
from orograph.studies.gradinit.starts import KAIMING
from orograph.studies.options import build as build_options
from orograph.studies.scaled_starts import chosen_scales, multiply, steps_worth, train_before
from orograph.studies.subject import load_data
from orograph.studies.tasks import Files, saved, store_run
from orograph.train import Recipe, Streams, fit


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
            steps, device = steps_worth(learned), arguments["device"]
            train_before(network, data, recipe, streams, steps, rising=False, device=device, loss="mse")
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
