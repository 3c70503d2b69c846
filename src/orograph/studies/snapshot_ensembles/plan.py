"""The tasks of ``snapshot-ensembles``: runs of each method, and the answers of what they collect."""

from __future__ import annotations

from dataclasses import replace

from orograph.basics.errors import OrographError, UsageError
from orograph.execute import Task
from orograph.models import build
from orograph.studies.members.planning import MemberPlanner, Method
from orograph.studies.snapshot_ensembles.options import SnapshotEnsembles
from orograph.studies.subject import Subject, load_data

SINGLE, DROPOUT, NO_CYCLE, SINGLE_CYCLE = "single", "dropout", "no cycle", "single cycle"


def plan(options: SnapshotEnsembles, subject: Subject) -> list[Task]:
    """All tasks, each after those it needs."""
    return _Planner(options, subject).tasks()


def snapshots(lr: float) -> str:
    """What the snapshots from an initial rate are called."""
    return f"snapshots {lr:g}"


def methods(options: SnapshotEnsembles) -> tuple[str, ...]:
    """All rows of the table, in the published order."""
    dropped = (DROPOUT,) if options.dropout is not None else ()
    return (SINGLE, *dropped, NO_CYCLE, SINGLE_CYCLE, *map(snapshots, options.lrs))


def runs_of(method: str, options: SnapshotEnsembles) -> tuple[int, ...]:
    """The runs that share one budget: those of single cycles begin anew each time."""
    return tuple(range(1, options.cycles + 1)) if method == SINGLE_CYCLE else (1,)


class _Planner(MemberPlanner):
    options: SnapshotEnsembles

    def tasks(self) -> list[Task]:
        if self.options.dropout is not None:
            self._require_dropout()
        methods = self.methods()
        for method in methods:
            self.collected(method)  # refused now where it does not fit
        found = []
        for repeat in range(1, self.options.repeats + 1):
            for method in methods:
                for run in runs_of(method.name, self.options):
                    found += self.member_run(method, repeat, run)
        return found

    def _require_dropout(self) -> None:
        """Before anything runs: whether the network can be told to drop units."""
        name, options = self.subject.model["name"], self.subject.model["options"]
        data = load_data(self.subject.data, self.subject.context)
        try:
            build(name, data, seed=0, **options, dropout=self.options.dropout)
        except OrographError as error:
            raise UsageError(f"{name} takes no option dropout; leave that row out with --dropout none") from error

    def methods(self) -> list[Method]:
        options, recipe = self.options, self.options.train
        epochs = recipe.epochs / options.cycles
        short = replace(recipe, epochs=epochs, measure_every=min(recipe.measure_every, epochs))
        cosine = {"name": "snapshot", "cycles": 1, "lr": options.lrs[1]}
        found = [Method(SINGLE, recipe)]
        if options.dropout is not None:
            found.append(Method(DROPOUT, recipe, None, {"dropout": options.dropout}))
        found.append(Method(NO_CYCLE, recipe, {"name": "no cycle", "cycles": options.cycles}))
        found.append(Method(SINGLE_CYCLE, short, cosine))
        rows = ((lr, {"name": "snapshot", "cycles": options.cycles, "lr": lr}) for lr in options.lrs)
        return found + [Method(snapshots(lr), recipe, cycles) for lr, cycles in rows]
