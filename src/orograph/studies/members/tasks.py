"""The tasks of ensembles: the answers of what a run collected, the distances between members, and a way through them.

``arguments["runs"]`` names training tasks; all that their cycles collected are the members.
"""

from __future__ import annotations

from pathlib import Path

from orograph.connect import polyline
from orograph.ensemble import Collected, ask, gather
from orograph.execute import TaskContext
from orograph.landscape import distances
from orograph.models import build
from orograph.studies.subject import load_data
from orograph.studies.tasks import load_run, objective_of, saved

Files = dict[str, Path]


def answers(context: TaskContext) -> Files:
    """The logits of all members for the test examples; output ``result``."""
    arguments = context.arguments
    data = load_data(arguments["data"], context.context)
    found = ask(
        build(arguments["model"]["name"], data, seed=0, **arguments["model"]["options"]),
        _members(context),
        data.test,
        precision=arguments["precision"],
        device=arguments["device"],
        name=arguments["model"]["name"],
        source=str(arguments["data"]["source"]),
    )
    return saved(found, context)


def member_distances(context: TaskContext) -> Files:
    """Distances between all members; output ``result``."""
    members = _members(context)
    return saved(distances(members.members, names=[record.name for record in members.records]), context)


def way_through(context: TaskContext) -> Files:
    """Straight legs through the members in the order in which they were collected; output ``result``."""
    arguments, members = context.arguments, _members(context)
    train = load_data(arguments["data"], context.context).train
    found = polyline(
        objective_of(context),
        members.members,
        train=train if arguments["train_examples"] is None else train.head(arguments["train_examples"]),
        names=[record.name for record in members.records],
        partial=context.folder,
        progress=context.progress,
    )
    return saved(found, context)


def _members(context: TaskContext) -> Collected:
    runs = [load_run(context.inputs[task]) for task in context.arguments["runs"]]
    return gather(context.arguments["method"], runs, 0)
