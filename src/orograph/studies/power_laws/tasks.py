"""The task of a block of replicas."""

from __future__ import annotations

from pathlib import Path

from orograph.ensemble import ask, gather
from orograph.execute import TaskContext
from orograph.models import build
from orograph.results import Cost, Run
from orograph.studies.options import build as build_options
from orograph.studies.subject import load_data
from orograph.studies.tasks import saved
from orograph.train import Recipe, fit


def train_block(context: TaskContext) -> dict[str, Path]:
    """Train replicas of one width, each from its seed, and ask them; output ``result``, their predictions."""
    arguments = context.arguments
    data = load_data(arguments["data"], context.context)
    recipe = build_options(Recipe, arguments["recipe"])
    name, options = arguments["model"]["name"], arguments["model"]["options"]
    runs: list[Run] = []
    for replica, (called, seed) in enumerate(zip(arguments["names"], arguments["seeds"], strict=True)):
        network = build(name, data, seed=seed, **options)
        runs.append(fit(network, data, recipe, seed=seed, test=False, name=called, device=arguments["device"]))
        context.progress(replica + 1, len(arguments["seeds"]))
    found = ask(
        build(name, data, seed=0, **options),
        gather("independent", runs, 0),
        data.test,
        precision=arguments["precision"],
        device=arguments["device"],
        name=name,
        source=str(arguments["data"]["source"]),
    )
    cost = sum((run.provenance.cost for run in runs), start=Cost())
    whole = found.provenance.with_cost(found.provenance.cost + cost)
    return saved(type(found)(**{**vars(found), "provenance": whole}), context)
