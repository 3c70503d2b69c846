"""The tasks of ``worker-averaging``: common starts, teams of workers from each, and one worker for all of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from orograph.basics.errors import UsageError
from orograph.execute import Task
from orograph.studies.planning import Planner, Point
from orograph.studies.subject import Subject, load_data
from orograph.studies.worker_averaging.options import WorkerAveraging
from orograph.train.batches import steps_per_epoch
from orograph.train.loop import steps_at

_LEFT = 20  # measurements of a team on its way


@dataclass(frozen=True)
class Arm:
    """One way to average."""

    shards: bool
    repeated: bool

    @property
    def name(self) -> str:
        """As it stands in tables and figures."""
        return f"{'own shard' if self.shards else 'own order'}, {self.often}"

    @property
    def often(self) -> str:
        """How often its workers are averaged, in words."""
        return "again and again" if self.repeated else "once"


def arms(options: WorkerAveraging) -> tuple[Arm, ...]:
    """All ways to average that are switched on."""
    return tuple(Arm(shards, repeated) for shards in (False, *([True] * options.shards)) for repeated in (False, True))


def team_of(repeat: int, start: float, arm: Arm) -> str:
    """The task of a team."""
    return f"team {repeat} from {start:g} epochs: {arm.name}"


def longer_of(repeat: int, start: float) -> str:
    """The task of the one worker that takes the steps of all."""
    return f"longer {repeat} from {start:g} epochs"


def plan(options: WorkerAveraging, subject: Subject) -> list[Task]:
    """All tasks of the parts that are switched on, each after those it needs."""
    return _Planner(options, subject).tasks()


class _Planner(Planner):
    options: WorkerAveraging

    def tasks(self) -> list[Task]:
        self._require_room()
        found = []
        for repeat in range(1, self.options.repeats + 1):
            for start in self.options.starts:
                found += self.common(repeat, start)
                found += [self.team(repeat, start, arm) for arm in arms(self.options)]
                if self.options.longer:
                    found.append(self.longer(repeat, start))
        return found

    def _require_room(self) -> None:
        """Before anything is trained: a step is left to the workers, and examples for every shard."""
        options = self.options
        per_epoch = steps_per_epoch(load_data(self.subject.data, self.subject.context).train, options.train)
        if steps_at(options.starts[-1], per_epoch) >= steps_at(options.train.epochs, per_epoch):
            raise UsageError(
                f"a start of {options.starts[-1]:g} epochs leaves the workers less than a step; start earlier"
            )
        if options.shards and 2 * options.team > self.subject.train_examples:
            raise UsageError(
                f"{self.subject.train_examples} examples cannot be shared among {options.team} workers; choose a "
                "smaller team or --no-shards"
            )

    def common(self, repeat: int, start: float) -> list[Task]:
        """The run that leads to the common start; from scratch there is none."""
        if not start:
            return []
        recipe = replace(self.options.train, epochs=start, warmup=0.0, measure_every=start)
        stretch = {"name": "stretch", "whole": self.options.train.epochs, "warmup": self.options.train.warmup}
        name = _common(repeat, start)
        return [self.train(name, name, recipe, self.streams("common", str(repeat)), cycles=stretch)]

    def team(self, repeat: int, start: float, arm: Arm) -> Task:
        every = self.options.every if arm.repeated else None
        left = self.options.train.epochs - start
        rounds = min(left / every, _LEFT) if every else 1
        passes = self.cell(None) * (self.options.team + 1) * rounds
        lines = self.cell(None) * self.options.points * self.options.team * (self.options.team - 1) / 2
        effort = self.options.team * self.training(replace(self.options.train, epochs=left, warmup=0.0))
        return self.workers(
            team_of(repeat, start, arm),
            repeat,
            start,
            effort + passes + lines,
            workers=self.options.team,
            every=every,
            shards=arm.shards,
            points=self.options.points,
        )

    def longer(self, repeat: int, start: float) -> Task:
        """One worker with the steps of the whole team, and a schedule of that length."""
        epochs = start + self.options.team * (self.options.train.epochs - start)
        effort = self.training(replace(self.options.train, epochs=epochs - start, warmup=0.0))
        alone = {"workers": 1, "every": None, "shards": False, "points": 0, "whole": epochs}
        return self.workers(longer_of(repeat, start), repeat, start, effort, **alone)

    def workers(self, task: str, repeat: int, start: float, effort: float, **team: object) -> Task:
        point: Point | None = (_common(repeat, start), "final") if start else None
        arguments = {
            **self.base,
            "recipe": asdict(self.options.train),
            "began": start,
            "start": point,
            "seed": self.streams("common", str(repeat))["initial"],
            "objective": self.objective("cross_entropy", None),
            "team": team,
        }
        needs = [point[0]] if point else []
        return self.task(task, "worker_averaging.tasks:train_team", arguments, needs, effort)


def _common(repeat: int, start: float) -> str:
    return f"common start {repeat}, {start:g} epochs"
