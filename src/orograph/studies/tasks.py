"""The tasks studies are made of: train a run, and draw the pictures through its checkpoints.

Each is a function of a :class:`~orograph.execute.TaskContext` that writes its outputs into the task's folder. A network
in a picture is named ``[task, moment]``, where the moment is "start", "final" or an epoch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from orograph.data import Data
from orograph.execute import TaskContext
from orograph.landscape import as_weights, distances, line, neighbourhood, plane, trajectory
from orograph.landscape.axes import axis
from orograph.models import build
from orograph.objective import Objective
from orograph.results import Checkpoint, Result, Run
from orograph.studies.options import build as build_options
from orograph.studies.subject import load_data
from orograph.train import Cycles, Recipe, Streams, fit
from orograph.weights import Weights

Files = dict[str, Path]


def train(context: TaskContext) -> Files:
    """Train one run: outputs ``run`` and ``checkpoint-000`` …; continues where it was killed."""
    arguments = context.arguments
    data, streams = load_data(arguments["data"], context.context), Streams(**arguments["streams"])
    model = build(arguments["model"]["name"], data, seed=streams.initial, **arguments["model"]["options"])
    start = None
    if arguments["start"]:
        start = pick(context, *arguments["start"])
    cycles = arguments.get("cycles")
    run = fit(
        model,
        data,
        build_options(Recipe, arguments["recipe"]),
        seed=streams,
        start=start,
        out=context.folder / "run",
        name=arguments["name"],
        device=arguments["device"],
        progress=context.progress,
        cycles=None if cycles is None else Cycles.from_dict(cycles),
    )
    return store_run(run, context.folder)


def store_run(run: Run, folder: Path) -> Files:
    """The run's outputs: its record, and its checkpoints under names of their own."""
    files = {f"checkpoint-{index:03d}": Path(str(c.path)) for index, c in enumerate(run.checkpoints)}
    nameless = tuple(replace(checkpoint, path=None) for checkpoint in run.checkpoints)
    files["run"] = replace(run, checkpoints=nameless).save(folder / "result.npz")
    return files


def load_run(files: Files) -> Run:
    """A stored run, its checkpoints pointing at the stored files."""
    run = Run.load(files["run"])
    places = (str(files[f"checkpoint-{index:03d}"]) for index in range(len(run.checkpoints)))
    found = (replace(checkpoint, path=path) for checkpoint, path in zip(run.checkpoints, places, strict=True))
    return replace(run, checkpoints=tuple(found))


def checkpoint_at(run: Run, moment: str | float) -> Checkpoint:
    """The run's checkpoint at "start", "final", or the one kept nearest to that epoch."""
    if moment == "start":
        return run.first
    if moment == "final":
        return run.final
    return min(run.checkpoints, key=lambda checkpoint: abs(checkpoint.epoch - float(moment)))


def pick(context: TaskContext, task: str, moment: str | float) -> Weights:
    """The weights of a needed run at a moment."""
    return as_weights(checkpoint_at(load_run(context.inputs[task]), moment))


def measure_distances(context: TaskContext) -> Files:
    """Distances between the networks ``points``; output ``result``."""
    arguments = context.arguments
    points = [pick(context, *point) for point in arguments["points"]]
    return saved(distances(points, names=arguments["names"]), context)


def draw_line(context: TaskContext) -> Files:
    """A line with its barrier; output ``result``."""
    arguments = context.arguments
    objective = objective_of(context)
    a, b = (pick(context, *point) for point in arguments["points"])
    low, high = arguments["span"]
    alphas = axis((low, high), arguments["resolution"], (0.0, 1.0))
    found = line(
        objective,
        a,
        b,
        alphas=alphas,
        names=arguments["names"],
        partial=context.folder,
        progress=context.progress,
    )
    return saved(found, context)


def draw_plane(context: TaskContext) -> Files:
    """A plane through three networks with the paths that led to them; output ``result``."""
    arguments = context.arguments
    a, b, c = (pick(context, *point) for point in arguments["points"])
    paths = {name: load_run(context.inputs[task]).checkpoints for name, task in arguments["paths"]}
    found = plane(
        objective_of(context),
        a,
        b,
        c,
        frame=arguments["frame"],
        u=None if arguments["frame"] == "orthonormal" else tuple(arguments["span"]),
        v=None if arguments["frame"] == "orthonormal" else tuple(arguments["span"]),
        resolution=arguments["resolution"],
        names=arguments["names"],
        trajectories=paths,
        partial=context.folder,
        progress=context.progress,
    )
    return saved(found, context)


def draw_neighbourhood(context: TaskContext) -> Files:
    """The filter-normalised surroundings of one network; output ``result``."""
    arguments = context.arguments
    found = neighbourhood(
        objective_of(context),
        pick(context, *arguments["point"]),
        normalization=arguments["normalization"],
        span=arguments["span"],
        resolution=arguments["resolution"],
        name=arguments["name"],
        seed=arguments["seed"],
        partial=context.folder,
        progress=context.progress,
    )
    return saved(found, context)


def draw_trajectory(context: TaskContext) -> Files:
    """A run on its principal axes; output ``result``."""
    arguments = context.arguments
    run = load_run(context.inputs[arguments["run"]])
    found = trajectory(
        objective_of(context),
        run.checkpoints,
        resolution=arguments["resolution"],
        name=run.name,
        partial=context.folder,
        progress=context.progress,
    )
    return saved(found, context)


def objective_of(context: TaskContext) -> Objective:
    """The objective that ``arguments["objective"]`` describes, over the study's test split."""
    arguments = context.arguments
    wanted = arguments["objective"]
    data: Data = load_data(arguments["data"], context.context)
    model: nn.Module = build(arguments["model"]["name"], data, seed=0, **arguments["model"]["options"])
    split = data.test if wanted["examples"] is None else data.test.head(wanted["examples"])
    return Objective(
        model,
        split,
        loss=wanted["loss"],
        calibration=data.train,
        batchnorm=wanted["batchnorm"],
        precision=wanted["precision"],
        tolerance=wanted["tolerance"],
        cap=wanted["cap"],
        device=arguments["device"],
        name=arguments["model"]["name"],
        source=str(arguments["data"]["source"]),
        part="test",
    )


def saved(result: Result, context: TaskContext) -> Files:
    return {"result": result.save(context.folder / "result.npz")}
