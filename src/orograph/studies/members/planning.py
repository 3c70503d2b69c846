"""Plans of studies of ensembles: runs of several methods, repeated, each with the answers of what it collects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from orograph.execute import Task
from orograph.studies.planning import Planner
from orograph.studies.subject import load_data
from orograph.train import Cycles
from orograph.train.batches import steps_per_epoch
from orograph.train.loop import steps_at
from orograph.train.recipe import Recipe

_MODULE = "members.tasks"


@dataclass(frozen=True)
class Method:
    """How one run of a method is trained: its recipe, its cycles (None: none), and further options of the network."""

    name: str
    recipe: Recipe
    cycles: dict[str, Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)


def run_name(method: str, repeat: int, run: int) -> str:
    """What run ``run`` of repetition ``repeat`` is called."""
    return f"{method} {repeat}.{run}"


def answers_of(method: str, repeat: int, run: int) -> str:
    """The task that asks the members of a run."""
    return f"answers: {run_name(method, repeat, run)}"


class MemberPlanner(Planner):
    """Tasks of a study whose options also have ``precision`` and ``train_examples``."""

    def member_run(self, method: Method, repeat: int, run: int) -> list[Task]:
        """Train one run and ask what it collected. Runs of equal repetition and number share their initial values
        and data order over all methods, so that methods are compared in pairs."""
        name = run_name(method.name, repeat, run)
        model = {**self.subject.model, "options": {**self.subject.model["options"], **method.options}}
        more: dict[str, Any] = {"model": model}
        if method.cycles is not None:
            more["cycles"] = method.cycles
        streams = self.streams("repetition", f"{repeat}.{run}")
        return [
            self.train(name, name, method.recipe, streams, **more),
            self.members(answers_of(method.name, repeat, run), "answers", [name], method.name, self.cell(None), model),
        ]

    def collected(self, method: Method) -> int:
        """How many networks a run of ``method`` collects. Raises UsageError where its cycles do not fit the run."""
        if method.cycles is None:
            return 1
        per_epoch = steps_per_epoch(load_data(self.subject.data, self.subject.context).train, method.recipe)
        total = steps_at(method.recipe.epochs, per_epoch)
        return len(Cycles.from_dict(method.cycles).collected(total, per_epoch))

    def members(
        self, task: str, function: str, runs: list[str], method: str, effort: float, model: dict[str, Any] | None = None
    ) -> Task:
        """A task about all that ``runs`` collected."""
        arguments = {
            **self.base,
            "model": model or self.base["model"],
            "runs": runs,
            "method": method,
            "precision": self.options.precision,
        }
        return self.task(task, f"{_MODULE}:{function}", arguments, runs, effort)

    def way(self, task: str, runs: list[str], method: str, points: int) -> Task:
        """Straight legs through all that ``runs`` collected."""
        examples = self.options.train_examples
        shown = self.subject.train_examples if examples is None else min(examples, self.subject.train_examples)
        arguments = {
            **self.base,
            "runs": runs,
            "method": method,
            "objective": self.objective("cross_entropy", None),
            "train_examples": None if shown == self.subject.train_examples else shown,
        }
        return self.task(task, f"{_MODULE}:way_through", arguments, runs, points * (self.cell(None) + shown))
