"""The result of ``fast-ensembling``: claims with verdicts, and the sections of its report."""

from __future__ import annotations

from typing import Any

import numpy as np

from orograph.basics.words import counted
from orograph.ensemble import deep_ensemble_equivalent
from orograph.execute import Outcome
from orograph.results import Comparison, Distances, Polyline, StudyResult, Table
from orograph.studies.fast_ensembling import claims
from orograph.studies.fast_ensembling.options import FastEnsembling
from orograph.studies.fast_ensembling.plan import (
    FGE,
    INDEPENDENT,
    METHODS,
    SNAPSHOTS,
    distances_of,
    way_of,
)
from orograph.studies.fast_ensembling.published import PUBLISHED
from orograph.studies.members.conclusion import MemberConclusion, calibrated, errors, minus
from orograph.studies.members.planning import run_name
from orograph.studies.members.standing import Standing
from orograph.studies.repeated import mean_and_se, with_error
from orograph.studies.subject import Subject

_READ_BUDGETS = (
    "Each method with one, two and more budgets of training, all members pooled. Where the line of FGE is the lowest, "
    "it is the better way to spend them."
)
_READ_CYCLES = (
    "The learning rate rises and falls; see whether the error follows it, and is low again at every mark, where a "
    "network is collected. Below, how far the run has moved from where its cycles began."
)
_READ_GROWTH = "Probabilities of the first 1, 2, … networks averaged, in the order in which they were collected."
_READ_DISTANCES = "Blocks along the diagonal are methods; the darker a block, the closer its networks lie together."
_READ_LEGS = "Dots are members, in order of collection; a hump between two of them is the barrier of that leg."


def conclude(options: FastEnsembling, subject: Subject, outcome: Outcome) -> StudyResult:
    """Pool the members of every budget, decide the claims and write the report's sections in words."""
    return _Conclusion(options, subject, outcome).result()


class _Conclusion(MemberConclusion):
    study = "fast-ensembling"
    citations = ("garipov2018", "huang2017", "ashukha2020")
    options: FastEnsembling

    def write(self) -> None:
        self.budgets()
        self.cycles()
        self.growth()
        self.differences()
        if self.options.geometry:
            self.geometry()

    def finding(self) -> str:
        return {
            "reproduced": "For the budget of one network a fast geometric ensemble is the better buy.",
            "not reproduced": "For the budget of one network a fast geometric ensemble is no better than that network.",
            "inconclusive": "Whether a fast geometric ensemble beats one network of the same budget stays open.",
        }[self.verdicts["fge-beats-one"]]

    def notes(self) -> tuple[str, ...]:
        return (
            f"One budget is {self.options.train.epochs:g} epochs of {self.subject.train_examples:,} examples. Learning "
            "rates change from step to step; the published codes change them from epoch to epoch.",
        )

    # -- sections ------------------------------------------------------------------------------------------------

    def budgets(self) -> None:
        """The table at 1, 2, … budgets, beside the published one, and claims about it."""
        counts = range(1, self.options.budgets + 1)
        pools = {method: [self.pools(method, budgets) for budgets in counts] for method in METHODS}
        gains = [minus(pools[SNAPSHOTS][at], pools[FGE][at]) for at in range(len(counts))]
        self.claims.append(claims.fge_beats_one_network(minus(pools[INDEPENDENT][0], pools[FGE][0])))
        self.claims.append(claims.snapshots_beat_one_network(minus(pools[INDEPENDENT][0], pools[SNAPSHOTS][0])))
        self.claims.append(claims.fge_beats_snapshots([Standing.mean(each) for each in zip(*gains, strict=True)]))
        if len(counts) > 1:
            self.claims.append(claims.fge_beats_independent(counts[-1], minus(pools[INDEPENDENT][-1], pools[FGE][-1])))
        error = {method: [errors(each) for each in found] for method, found in pools.items()}
        nats = {method: [calibrated(each) for each in found] for method, found in pools.items()}
        here = f"{self.options.model} ({self.options.train.epochs:g})"
        columns = ("network (epochs of 1B)", "data", "method", *(f"{k}B, test error %" for k in counts))
        rows: list[tuple[Any, ...]] = [
            (here, self.options.data, method, *(with_error(values, 100) for values in error[method]))
            for method in METHODS
        ]
        rows += [(*row[: 3 + len(counts)], *("",) * (len(columns) - len(row))) for row in PUBLISHED]
        cost = [self.spent(method, 1, [1]) for method in METHODS]
        self.shown["budgets"] = Comparison(
            across="budgets",
            quantities=("test error", "calibrated test NLL (nats)"),
            series={method: self.series(counts, (error[method], nats[method])) for method in METHODS},
            bars=self.bars,
            provenance=self.provenance(),
        )
        self.section(
            "What one, two and three budgets buy",
            f"At {counts[-1]} budgets all members of {counts[-1]} runs are pooled. One run cost "
            + ", ".join(f"{spent:.3f} budgets ({method})" for method, spent in zip(METHODS, cost, strict=True))
            + f"; a run collects {self.options.snapshots} snapshots, or {counted(self.members_of(FGE), 'member')} "
            f"of fast geometric ensembling{self.cycle_words()}.",
            ["budgets"],
            [_READ_BUDGETS],
            (
                Table(
                    "Test error, ours beside the published",
                    columns,
                    tuple(rows),
                    f"Ours on {self.subject.test_examples:,} test examples: one of them is "
                    f"{100 / self.subject.test_examples:.2g} %. Published: Garipov et al. 2018, as in talk 1. Rows "
                    "below ours differ from it in network and data.",
                ),
                Table(
                    "Calibrated NLL (nats)",
                    ("method", *(f"{k}B" for k in counts)),
                    tuple(
                        (method, *(self.nats(values, nats[INDEPENDENT]) for values in nats[method]))
                        for method in METHODS
                    ),
                    "Temperature before averaging, fitted on one half of the test examples, scored on the other. In "
                    "brackets how many independent networks, of a budget each, do as well (deep-ensemble equivalent, "
                    "Ashukha et al. 2020; never extrapolated), with the band of their spread.",
                ),
            ),
        )

    def cycles(self) -> None:
        for method in (FGE, SNAPSHOTS):
            name = f"cycles of {run_name(method, 1, 1)}"
            self.shown[name] = Comparison.along(self.run(run_name(method, 1, 1)))
        names = [f"cycles of {run_name(method, 1, 1)}" for method in (FGE, SNAPSHOTS)]
        self.section(
            "Over the cycles",
            "Fast geometric ensembling takes short steps from a network that is nearly trained; snapshots take long "
            "ones, from cycles that are training runs of their own.",
            names,
            [_READ_CYCLES] * 2,
        )

    def growth(self) -> None:
        runs = range(1, self.options.budgets + 1)
        self.shown["error against members"] = self.growing(dict.fromkeys(METHODS, runs))
        if self.members_of(FGE) > 1:
            whole = [self.standing(FGE, repeat, (1,)) for repeat in self.repeats]
            self.claims.append(claims.more_members_help(minus(self.members(FGE, [1]), whole)))
        self.section(
            "How the error falls with more members",
            "The same networks as above, one after the other; a run of fast geometric ensembling or of snapshots "
            "has several of them for one budget, an independent network costs a budget each.",
            ["error against members"],
            [_READ_GROWTH],
        )

    def differences(self) -> None:
        """Each member by itself, and how much two of them differ."""
        own = {FGE: [1], SNAPSHOTS: [1], INDEPENDENT: list(range(1, self.options.budgets + 1))}
        single = {method: self.members(method, runs) for method, runs in own.items()}
        apart = {m: [self.disagree(m, repeat, runs) for repeat in self.repeats] for m, runs in own.items()}
        self.claims.append(claims.members_are_nearly_as_good(minus(single[FGE], single[INDEPENDENT])))
        if self.options.budgets > 1 and self.members_of(FGE) > 1:
            pairs = zip(apart[FGE], apart[INDEPENDENT], strict=True)
            self.claims.append(claims.members_disagree_less([one[0] / other[0] for one, other in pairs]))
        rows = []
        for method in METHODS:
            lengths = [self.distance(method, repeat) for repeat in self.repeats] if self.options.geometry else [np.nan]
            rows.append(
                (
                    method,
                    with_error(errors(single[method]), 100),
                    with_error([one[0] for one in apart[method]], 100),
                    with_error([one[1] for one in apart[method]]),
                    with_error(lengths),
                )
            )
        self.section(
            "Members and their differences",
            "Members of one run of fast geometric ensembling and of snapshots, and independent networks: how good each "
            "is by itself, and how much two of them differ. More errors allow more disagreement, hence the share.",
            tables=(
                Table(
                    "Members",
                    (
                        "method",
                        "test error of one, %",
                        "two disagree on, %",
                        "the same over the mean error",
                        "mean distance of two",
                    ),
                    tuple(rows),
                    "Published (ResNet-164, CIFAR-100): members of FGE err on 22.0 % and disagree on 15 %, independent "
                    "networks err on 21.5 % and disagree on 20 %; distances of 7 (FGE) and 40 (snapshots).",
                ),
            ),
        )

    def geometry(self) -> None:
        if self.members_of(SNAPSHOTS) > 1 and self.members_of(FGE) > 1:
            ratios = [self.distance(FGE, repeat) / self.distance(SNAPSHOTS, repeat) for repeat in self.repeats]
            self.claims.append(claims.members_lie_close(ratios))
        ways = [
            way_of(method, 1) for method in (FGE, SNAPSHOTS, INDEPENDENT) if way_of(method, 1) in self.outcome.files
        ]
        if way_of(FGE, 1) in self.outcome.files:
            legs = [self.find(way_of(FGE, repeat), Polyline) for repeat in self.repeats]
            heights = [max(leg.error_height or 0.0 for leg in way.test_barriers) for way in legs]
            self.claims.append(claims.no_barrier_between_members(heights, self.subject.test_examples))
        self.section(
            "Where the members lie",
            "Distances between the members of one run of each method and the independent networks, and straight legs "
            "through them in the order of collection. Nothing was trained on the legs. Runs of equal number begin at "
            "the same initial values with the same data order, so members of the first run and the first independent "
            "network share most of their way.",
            [distances_of(1), *ways],
            [_READ_DISTANCES, *([_READ_LEGS] * len(ways))],
        )

    def nats(self, values: list[float], reference: list[list[float]]) -> str:
        """Calibrated NLL, and the deep-ensemble equivalent of its mean."""
        curve = [mean_and_se(each)[0] for each in reference]
        spread = [float(np.std(each, ddof=1)) if len(each) > 1 else 0.0 for each in reference]
        equivalent = deep_ensemble_equivalent(mean_and_se(values)[0], curve, spread=spread)
        return f"{with_error(values, 1, 4)} ({equivalent})"

    # -- pieces --------------------------------------------------------------------------------------------------

    def cycle_words(self) -> str:
        """How long a fast geometric cycle really is, an even number of steps."""
        run = self.run(run_name(FGE, 1, 1))
        steps = run.provenance.options["collected"]
        if len(steps) < 2:
            return ""
        length = steps[1] - steps[0]
        return f", one every {length} steps ({length * float(run.epochs[-1]) / int(run.steps[-1]):.3g} epochs)"

    def members_of(self, method: str) -> int:
        """How many networks a run collects."""
        return len(self.answers(method, 1, 1))

    def distance(self, method: str, repeat: int) -> float:
        """The mean distance between two members of one run, or between two independent networks."""
        found = self.find(distances_of(repeat), Distances)
        mine = [at for at, name in enumerate(found.names) if name.startswith(f"{method} ")]
        block = found.matrix[np.ix_(mine, mine)]
        return float(block[np.triu_indices(len(mine), 1)].mean()) if len(mine) > 1 else float("nan")
