"""The result of ``worker-averaging``: claims with verdicts, and the sections of its report."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from scipy import stats

from orograph.basics.words import counted
from orograph.execute import Outcome
from orograph.results import Comparison, Series, StudyResult, Table, Workers
from orograph.studies.repeated import RepeatedConclusion, with_error
from orograph.studies.statistics import at_most, finite_mean, mean_interval
from orograph.studies.subject import Subject
from orograph.studies.worker_averaging import claims
from orograph.studies.worker_averaging.options import WorkerAveraging
from orograph.studies.worker_averaging.plan import Arm, arms, longer_of, team_of

_ONCE, _REPEATED = Arm(False, False), Arm(False, True)
_READ_STARTS = (
    "To the right, workers part later. Above zero their average is worse than one worker that took as many steps; "
    "below, it is better. Underneath, the barrier between two workers before they are averaged."
)
_READ_BARRIERS = "Each point is a team, averaged once: the barrier between two of its workers, and what averaging cost."
_READ_ALONG = "Lines are teams that are averaged again and again, single points those averaged once, at the end."


def conclude(options: WorkerAveraging, subject: Subject, outcome: Outcome) -> StudyResult:
    """Compare every average with one worker, decide the claims and write the report's sections in words."""
    return _Conclusion(options, subject, outcome).result()


class _Conclusion(RepeatedConclusion):
    study = "worker-averaging"
    citations = ("elasticdl179", "stich2019", "frankle2020")
    options: WorkerAveraging

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.team = cache(self._team)

    def write(self) -> None:
        self.decide()
        self.starts()
        self.barriers()
        self.along()

    def what(self) -> str:
        o = self.options
        return f"{counted(o.repeats, 'repetition')} of {o.team} workers with {o.model} on {o.data}"

    def finding(self) -> str:
        """Which teams may be averaged: where the whole interval lies within one percentage point of one worker."""
        may = []
        for arm in arms(self.options):
            surely = [start for start in self.options.starts if self.is_as_good(start, arm)]
            if surely:
                may.append(f"{arm.name} (from {' and '.join(f'{start:g}' for start in surely)} epochs)")
        if not may:
            return "No average is surely within one percentage point of one worker."
        return f"Surely within one percentage point of one worker: averages of {'; '.join(may)}."

    def is_as_good(self, start: float, arm: Arm) -> bool:
        gaps = self.gaps(start, arm)
        interval = mean_interval(gaps, resolution=1 / self.subject.test_examples)
        return at_most(finite_mean(gaps), interval, claims.AS_GOOD) == "reproduced"

    def notes(self) -> tuple[str, ...]:
        found = ["Momentum is averaged with the weights; learning rates are those of one worker's whole run."]
        if self.subject.has_batchnorm and self.options.batchnorm in (None, "recalibrate"):
            found.append("Batch-norm statistics were re-estimated for averages and workers alike.")
        return tuple(found)

    # -- sections ------------------------------------------------------------------------------------------------

    def decide(self) -> None:
        options, one = self.options, 1 / self.subject.test_examples
        later = [start for start in options.starts if start > 0]
        if 0.0 in options.starts:
            self.claims.append(claims.scratch_once(self.gaps(0.0, _ONCE), one))
        if later:
            each = np.mean([self.gaps(start, _ONCE) for start in later], axis=0).tolist()
            self.claims.append(claims.started_once(" or ".join(f"{start:g}" for start in later), each, one))
        if 0.0 in options.starts:
            self.claims.append(claims.again_and_again(self.gaps(0.0, _REPEATED), one))
        if options.shards:
            each = np.mean([self.gaps(start, Arm(True, True)) for start in options.starts], axis=0).tolist()
            self.claims.append(claims.shards_too(each, one))
        if options.longer:
            each = [float(np.mean([self.lag(repeat, s, _REPEATED) for s in options.starts])) for repeat in self.repeats]
            self.claims.append(claims.equal_examples(options.team, each, one))
        if len(options.starts) > 2:  # fewer points have no order to speak of
            self.claims.append(claims.barrier_tells([self.correlation(repeat) for repeat in self.repeats]))

    def starts(self) -> None:
        series = {}
        for arm in arms(self.options):
            both = [[found(start, arm) for start in self.options.starts] for found in (self.gaps, self.walls)]
            series[arm.name] = self.series(self.options.starts, both)
        self.shown["starts"] = Comparison(
            across="epochs of common training",
            quantities=("test error of the average less that of one worker", "error barrier between two workers"),
            series=series,
            bars=self.bars,
            provenance=self.provenance(),
        )
        rows: list[tuple[Any, ...]] = []
        for start in self.options.starts:
            alone = [self.one_worker(repeat, start) for repeat in self.repeats]
            rows.append((f"{start:g}", "one worker, equal steps", with_error(alone, 100), "", "", "1"))
            for arm in arms(self.options):
                teams = [self.team(repeat, start, arm) for repeat in self.repeats]
                rows.append(
                    (
                        f"{start:g}",
                        arm.name,
                        with_error([float(team.average_error[-1]) for team in teams], 100),
                        with_error(self.walls(start, arm), 100),
                        with_error([float(team.distance[-1]) for team in teams]),
                        str(self.options.team),
                    )
                )
            if self.options.longer:
                longer = [float(self.find(longer_of(r, start), Workers).average_error[-1]) for r in self.repeats]
                words = "one worker, equal examples"
                rows.append((f"{start:g}", words, with_error(longer, 100), "", "", str(self.options.team)))
        columns = (
            "common start (epochs)", "how", "test error %", "error barrier between workers, points",
            "distance from the average", "examples passed, in those of one worker",
        )  # fmt: skip
        self.section(
            "The average against one worker",
            f"{self.options.team} workers begin at one network and each takes the steps that are left of "
            f"{self.options.train.epochs:g} epochs; averaged once at the end, or every "
            f"{counted(self.options.every, 'epoch')}.",
            ["starts"],
            [_READ_STARTS],
            (Table("All teams, means over repetitions", columns, tuple(rows)),),
        )

    def barriers(self) -> None:
        series = {}
        for arm in arms(self.options):
            if not arm.repeated:
                places = [(repeat, start) for repeat in self.repeats for start in self.options.starts]
                walls = np.array([self.team(repeat, start, arm).error_barrier for repeat, start in places])
                gaps = np.array([[self.gap(repeat, start, arm) for repeat, start in places]])
                labels = tuple(f"repetition {repeat}, from {start:g} epochs" for repeat, start in places)
                series[arm.name.removesuffix(", once")] = Series(walls, gaps, joined=False, labels=labels)
        self.shown["barriers"] = Comparison(
            across="error barrier between two workers",
            quantities=("test error of the average less that of one worker",),
            series=series,
            provenance=self.provenance(),
        )
        self.section(
            "What the barrier tells",
            "An average of two networks is the middle of the line between them, so a barrier there is what it pays; "
            "an average of more lies between all of them.",
            ["barriers"],
            [_READ_BARRIERS],
        )

    def along(self) -> None:
        names = []
        for start in self.options.starts:
            name = f"along training, from {start:g} epochs"
            teams = {arm.often: self.team(1, start, arm) for arm in arms(self.options) if not arm.shards}
            self.shown[name] = Workers.compared(teams)
            names.append(name)
        self.section("Along training", "Teams of the first repetition.", names, [_READ_ALONG] * len(names))

    # -- pieces --------------------------------------------------------------------------------------------------

    def _team(self, repeat: int, start: float, arm: Arm) -> Workers:
        return self.find(team_of(repeat, start, arm), Workers)

    def one_worker(self, repeat: int, start: float) -> float:
        """The mean test error of workers that were never averaged, each with the steps of an ordinary run."""
        return float(self.team(repeat, start, _ONCE).worker_error[-1].mean())

    def gap(self, repeat: int, start: float, arm: Arm) -> float:
        """Test error of the average less that of one worker at equal steps."""
        return float(self.team(repeat, start, arm).average_error[-1]) - self.one_worker(repeat, start)

    def lag(self, repeat: int, start: float, arm: Arm) -> float:
        """Test error of the average less that of one worker at equal examples."""
        longer = self.find(longer_of(repeat, start), Workers)
        return float(self.team(repeat, start, arm).average_error[-1] - longer.average_error[-1])

    def gaps(self, start: float, arm: Arm) -> list[float]:
        return [self.gap(repeat, start, arm) for repeat in self.repeats]

    def walls(self, start: float, arm: Arm) -> list[float]:
        return [self.team(repeat, start, arm).error_barrier for repeat in self.repeats]

    def correlation(self, repeat: int) -> float:
        """Of barriers and gaps over the starts of teams averaged once, mean over the ways to share: shards cost
        something at any barrier, so teams of the two kinds are not ranked together. NaN where nothing varies."""
        each = []
        for arm in (arm for arm in arms(self.options) if not arm.repeated):
            walls = [self.team(repeat, start, arm).error_barrier for start in self.options.starts]
            gaps = [self.gap(repeat, start, arm) for start in self.options.starts]
            if len(set(walls)) > 1 and len(set(gaps)) > 1:
                each.append(float(stats.spearmanr(walls, gaps).statistic))
        return finite_mean(each)
