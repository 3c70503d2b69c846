"""The tasks of ``power-laws``: blocks of replicas of each width, trained and asked."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from orograph.basics.errors import OrographError, UsageError
from orograph.basics.seeds import derive
from orograph.execute import Task
from orograph.models import build
from orograph.studies.planning import Planner
from orograph.studies.power_laws.options import PowerLaws
from orograph.studies.subject import Subject, load_data


def plan(options: PowerLaws, subject: Subject) -> list[Task]:
    """All tasks; the widest networks first, as they take longest."""
    return _Planner(options, subject).tasks()


def blocks(options: PowerLaws) -> list[range]:
    """The replicas of each task, numbered from 1."""
    firsts = range(1, options.replicas + 1, options.block)
    return [range(first, min(first + options.block, options.replicas + 1)) for first in firsts]


def block_of(width: float, replicas: range) -> str:
    """The task of a block."""
    return f"width {width:g}: replicas {replicas[0]} to {replicas[-1]}"


def parameters_of(options: PowerLaws, subject: Subject) -> dict[float, int]:
    """Parameters of one network of each width.

    Raises UsageError where the network takes no width, or two widths make networks of one size.
    """
    data = load_data(subject.data, subject.context)
    name, more = subject.model["name"], subject.model["options"]
    found: dict[float, int] = {}
    for width in options.widths:
        try:
            network = build(name, data, seed=0, **more, width=_plain(width))
        except OrographError as error:
            raise UsageError(
                f"{name} was not built with width={width:g}, the option that is varied: {error}"
            ) from error
        found[width] = sum(parameter.numel() for parameter in network.parameters())
        same = [other for other in found if other < width and found[other] == found[width]]
        if same:
            raise UsageError(f"widths {same[0]:g} and {width:g} give networks of the same size; leave one out")
    return found


class _Planner(Planner):
    options: PowerLaws

    def tasks(self) -> list[Task]:
        sizes = parameters_of(self.options, self.subject)
        smallest = min(sizes.values())
        found = []
        for width in reversed(self.options.widths):
            options = {**self.subject.model["options"], "width": _plain(width)}
            for replicas in blocks(self.options):
                names = [f"{width:g}.{replica}" for replica in replicas]
                arguments: dict[str, Any] = {
                    **self.base,
                    "model": dict(self.subject.model, options=options),
                    "names": names,
                    "seeds": [derive(self.options.seed, "width", str(width), replica) for replica in replicas],
                    "recipe": asdict(self.options.train),
                    "precision": self.options.precision,
                }
                # Larger networks take longer, though not in proportion.
                effort = len(names) * self.training(self.options.train) * (sizes[width] / smallest) ** 0.5
                found.append(
                    self.task(block_of(width, replicas), "power_laws.tasks:train_block", arguments, (), effort)
                )
        return found


def _plain(width: float) -> float | int:
    """Whole widths as whole numbers, for networks that count channels."""
    return int(width) if width == int(width) else width
