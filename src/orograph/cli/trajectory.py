"""``orograph trajectory``: a training run on its principal axes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from orograph.basics.errors import UsageError
from orograph.cli.output import parse
from orograph.cli.picture import draw
from orograph.cli.subject import Pictures


@dataclass(frozen=True, kw_only=True)
class TrajectoryOptions(Pictures):
    """The checkpoints of a run on the two axes along which they spread most, with the loss on that plane."""

    run: Path | None = None
    """Folder of a run (og.train.fit with out=, or og.train.Recorder), instead of --weights."""
    resolution: int = 25
    """Points along each axis of the plane; 0 draws only the path."""
    reference: Literal["final", "mean"] = "final"
    """Displacements are taken from the final weights or from their mean."""


def main(words: list[str]) -> None:
    """Parse the flags, measure, write and print."""
    options = parse(TrajectoryOptions, words, "trajectory")
    if options.run is not None and options.out is None:
        options = replace(options, out=Path(f"trajectory-{options.run.resolve().name}"))
    if (options.run is None) == (not options.weights):
        raise UsageError("give either --run FOLDER or --weights with at least three files in order")
    from orograph.landscape import trajectory

    data = options.dataset()
    model = options.network(data)
    objective = options.objective(model, data)
    checkpoints: list[Any]
    if options.run is not None:
        from orograph.train import load_run

        run = load_run(options.run)
        checkpoints, name = [*run.checkpoints], run.name
    else:
        checkpoints, name = [*options.networks(model)], "run"
    resolution = options.resolution or None
    points = (resolution or 0) ** 2 + 2 * len(checkpoints)
    measure = partial(trajectory, objective, checkpoints, reference=options.reference, resolution=resolution, name=name)
    draw(options, "trajectory", points, objective, measure)
