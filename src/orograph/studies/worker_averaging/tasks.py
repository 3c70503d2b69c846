"""The task of a team of workers."""

from __future__ import annotations

from pathlib import Path

from orograph.ensemble import average_workers
from orograph.execute import TaskContext
from orograph.models import build
from orograph.studies.options import build as build_options
from orograph.studies.subject import load_data
from orograph.studies.tasks import objective_of, pick, saved
from orograph.train import Recipe


def train_team(context: TaskContext) -> dict[str, Path]:
    """Train workers from their common start and average them; output ``result``."""
    arguments = context.arguments
    data = load_data(arguments["data"], context.context)
    network = build(arguments["model"]["name"], data, seed=arguments["seed"], **arguments["model"]["options"])
    if arguments["start"]:
        pick(context, *arguments["start"]).put_into(network)
    found = average_workers(
        network,
        data,
        build_options(Recipe, arguments["recipe"]),
        began=arguments["began"],
        seed=arguments["seed"],
        device=arguments["device"],
        objective=objective_of(context),
        progress=context.progress,
        **arguments["team"],
    )
    return saved(found, context)
