"""The result of ``snapshot-ensembles``: claims with verdicts, and the sections of its report."""

from __future__ import annotations

from typing import Any

from orograph.basics.words import counted
from orograph.execute import Outcome
from orograph.results import Comparison, StudyResult, Table
from orograph.studies.members.conclusion import MemberConclusion, calibrated, errors, minus
from orograph.studies.members.planning import run_name
from orograph.studies.members.standing import Standing
from orograph.studies.repeated import with_error
from orograph.studies.snapshot_ensembles import claims
from orograph.studies.snapshot_ensembles.options import SnapshotEnsembles
from orograph.studies.snapshot_ensembles.plan import NO_CYCLE, SINGLE, SINGLE_CYCLE, methods, runs_of, snapshots
from orograph.studies.snapshot_ensembles.published import PUBLISHED
from orograph.studies.subject import Subject

_TEN = 10
_READ_CYCLES = (
    "The rate falls from its highest value to almost nothing in each cycle, and starts again; see whether the error "
    "follows it up and returns lower. Marks are snapshots."
)
_READ_NO_CYCLE = "The ordinary schedule; marks are networks saved at the steps at which the other run takes snapshots."
_READ_GROWTH = "Probabilities of the first 1, 2, … networks averaged; all of them cost one budget together."


def conclude(options: SnapshotEnsembles, subject: Subject, outcome: Outcome) -> StudyResult:
    """Pool what every method collected, decide the claims and write the report's sections in words."""
    return _Conclusion(options, subject, outcome).result()


class _Conclusion(MemberConclusion):
    study = "snapshot-ensembles"
    citations = ("huang2017", "ashukha2020")
    options: SnapshotEnsembles

    def write(self) -> None:
        self.low, self.high = map(snapshots, self.options.lrs)
        self.pools_by_method = {method: self.whole(method) for method in methods(self.options)}
        self.decide()
        self.table()
        self.cycles()
        self.growth()

    def finding(self) -> str:
        return {
            "reproduced": "For the budget of one network, snapshots are the better buy.",
            "not reproduced": "For the budget of one network, snapshots are no better than that network.",
            "inconclusive": "Whether snapshots beat one network of the same budget stays open.",
        }[self.verdicts["snapshots-beat-one"]]

    def notes(self) -> tuple[str, ...]:
        return ("All snapshots of a run are averaged, the last ones being the best; none was chosen by its error.",)

    # -- sections ------------------------------------------------------------------------------------------------

    def decide(self) -> None:
        pools, best = self.pools_by_method, self.pools_by_method[self.high]
        self.claims.append(claims.snapshots_beat_one_network(minus(pools[SINGLE], best)))
        self.claims.append(claims.cycles_matter(minus(pools[NO_CYCLE], best)))
        self.claims.append(claims.memory_matters(minus(pools[SINGLE_CYCLE], best)))
        if self.subject.classes == _TEN:
            self.claims.append(claims.single_cycles_are_too_short(minus(pools[SINGLE_CYCLE], pools[SINGLE])))
        self.claims.append(claims.higher_rate_is_better(minus(pools[self.low], best)))

    def table(self) -> None:
        """Ours, and the published table."""
        rows = []
        for method, each in self.pools_by_method.items():
            runs = runs_of(method, self.options)
            single = self.members(method, runs)
            apart = [self.disagree(method, repeat, runs) for repeat in self.repeats]
            several = len(self.answers(method, 1, runs[0])) * len(runs) > 1
            rows.append(
                (
                    method,
                    with_error(errors(each), 100),
                    with_error(calibrated(each), 1, 4),
                    with_error(errors(single), 100),
                    with_error([one[0] for one in apart], 100) if several else "",
                    f"{self.spent(method, 1, runs):.3f}",
                )
            )
        columns = (
            "method", "test error %", "calibrated NLL (nats)", "error of one member %", "two members disagree on, %",
            "cost (budgets)",
        )  # fmt: skip
        published: tuple[tuple[Any, ...], ...] = PUBLISHED
        self.section(
            "What one budget buys",
            f"Each row spends {self.options.train.epochs:g} epochs of {self.subject.train_examples:,} examples: on one "
            f"network, or on {self.options.cycles} of them. Means over "
            f"{counted(self.options.repeats, 'repetition')}, with standard errors.",
            tables=(
                Table(f"{self.options.model} on {self.options.data}", columns, tuple(rows)),
                Table(
                    "Published test errors, %",
                    ("network", "method", "CIFAR-10", "CIFAR-100", "SVHN", "Tiny ImageNet"),
                    published,
                    "Huang et al. 2017, as in talk 1; stars are the source's. Other networks and data than "
                    "ours, unless they were asked for with --paper.",
                ),
            ),
        )

    def cycles(self) -> None:
        names = [f"cycles of {run_name(method, 1, 1)}" for method in (self.high, NO_CYCLE)]
        for name, method in zip(names, (self.high, NO_CYCLE), strict=True):
            self.shown[name] = Comparison.along(self.run(run_name(method, 1, 1)))
        self.section(
            "Over the cycles",
            "A run with snapshots, and an ordinary one from the same initial values and data order with networks saved "
            "at the same steps.",
            names,
            [_READ_CYCLES, _READ_NO_CYCLE],
        )

    def growth(self) -> None:
        each = {method: runs_of(method, self.options) for method in (NO_CYCLE, SINGLE_CYCLE, self.low, self.high)}
        self.shown["error against members"] = self.growing(each)
        self.section(
            "With more members",
            "Early snapshots are poor networks and still help the average.",
            ["error against members"],
            [_READ_GROWTH],
        )

    def whole(self, method: str) -> list[Standing]:
        """For each repetition what all members of one budget are worth together."""
        return [self.standing(method, repeat, runs_of(method, self.options)) for repeat in self.repeats]
