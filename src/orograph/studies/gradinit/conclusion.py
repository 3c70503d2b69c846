"""The result of ``gradinit``: claims with verdicts, and the sections of its report."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from orograph.basics.words import counted
from orograph.execute import Outcome
from orograph.initialize.global_scale import GRID
from orograph.results import Comparison, GradientVariance, LearnedScales, Provenance, StudyResult, Table
from orograph.studies.gradinit import claims
from orograph.studies.gradinit.beyond.conclusion import BeyondSections
from orograph.studies.gradinit.measures import Reached, mean_over, minus
from orograph.studies.gradinit.options import GradInit
from orograph.studies.gradinit.plan import (
    BASE,
    GLOBAL,
    GRADINIT,
    WARMUP,
    Arm,
    arms,
    gradients_of,
    run_of,
    scales_of,
    subjects,
)
from orograph.studies.gradinit.published import COLUMNS, SOURCE, rows
from orograph.studies.gradinit.tasks import prelude_of
from orograph.studies.repeated import RepeatedConclusion, averaged, with_error
from orograph.studies.subject import Subject

_READ_CURVES = (
    "Accuracy over the epochs that all arms share. What an arm spent before them (see the table) is not on the axis, "
    "which is why arms with iterations of their own begin above a guess."
)
_READ_SCALES = "A mark for each tensor of the first repetition; on the line it stays as it was. Weights far apart are "\
    "what one global scale cannot do."  # fmt: skip
_READ_VARIANCE = (
    "Above, variance times the squared norm of the tensor, which does not change when a scale is moved between a "
    "weight and the batch norm after it; below, the raw variance, which does."
)


def conclude(options: GradInit, subject: Subject, outcome: Outcome) -> StudyResult:
    """Compare every arm with the base and the controls, decide the claims and write the report's sections in words."""
    return GradInitConclusion(options, subject, outcome).result()


class GradInitConclusion(RepeatedConclusion):
    """Claims and sections, network by network."""

    study = "gradinit"
    citations = ("zhu2021", "dauphin2019", "he2015")
    options: GradInit

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.subjects = subjects(self.options, self.subject)
        self.reached = cache(self._reached)
        self.learned = cache(self._learned)

    def write(self) -> None:
        self.decide()
        for network in self.options.names:
            self.arms_of(network)
        self.published()
        self.look_ahead()
        if self.options.beyond:
            BeyondSections(self).write()

    def what(self) -> str:
        return (
            f"{counted(self.options.repeats, 'repetition')} of {', '.join(self.options.names)} on {self.options.data}"
        )

    def finding(self) -> str:
        count = {
            part: sum(self.verdicts[f"{part}: {network}"] == "reproduced" for network in self.options.names)
            for part in ("first-epoch", "equal-cost")
        }
        return (
            f"GradInit quickens the first epoch of {count['first-epoch']} of "
            f"{counted(len(self.options.names), 'network')}, and more than a warm-up of equal cost does in "
            f"{count['equal-cost']}."
        )

    def notes(self) -> tuple[str, ...]:
        found = [
            "k is the number of plain training iterations that GradInit is worth, counted in passes; they come before "
            "the shared epochs, on a data order of their own, and the optimiser begins afresh after them.",
            "The best accuracy is a maximum over the test curve, and so a little too high in every arm.",
        ]
        runs = [(n, r, arm) for n in self.options.names for r in self.repeats for arm in arms(self.options)]
        lost = [f"{run_of(*one)}" for one in runs if len(self.run(run_of(*one)).epochs) < 2]
        if lost:
            found.append(f"Diverged, and counted with the accuracy from which they began: {', '.join(lost)}.")
        return tuple(found)

    def provenance(self) -> Provenance:
        return replace(super().provenance(), model=", ".join(self.options.names))

    # -- claims --------------------------------------------------------------------------------------------------

    def decide(self) -> None:
        names, one = self.options.names, 1 / self.subject.test_examples
        by_network = {
            arm: {name: minus(self.firsts(name, arm), self.firsts(name, BASE)) for name in names}
            for arm in (GRADINIT, GLOBAL)
        }
        for name in names:
            self.claims.append(claims.first_epoch(name, by_network[GRADINIT][name], one))
        for name in names:
            warm = minus(self.firsts(name, GRADINIT), self.firsts(name, WARMUP))
            self.claims.append(claims.over_warmup(name, warm, one))
        for name in names:
            best, last = (minus(self.at(name, GRADINIT, m), self.at(name, BASE, m)) for m in ("best", "last"))
            self.claims.append(claims.best_epoch(name, best, last, one))
        self.claims.append(claims.scales_differ(mean_over([self.spreads(name) for name in names])))
        self.claims.append(claims.variance_falls(mean_over([self.changes(name) for name in names])))
        gains = {arm: mean_over(list(by_network[arm].values())) for arm in (GRADINIT, GLOBAL)}
        self.claims.append(claims.more_than_one_scale(gains[GRADINIT], gains[GLOBAL], one / len(names)))

    # -- sections ------------------------------------------------------------------------------------------------

    def arms_of(self, network: str) -> None:
        """A network's table, its curves, what was learned, and the variance of its gradients."""
        base = {moment: self.at(network, BASE, moment) for moment in ("first", "best")}
        table = []
        for arm in arms(self.options):
            found = {moment: self.at(network, arm, moment) for moment in ("first", "best", "last")}
            against = ["" if arm == BASE else with_error(minus(found[moment], base[moment]), 100) for moment in base]
            cells = [with_error(found[moment], 100) for moment in found]
            cost = f"a grid of {len(GRID)}" if arm == GLOBAL else with_error(self.costs(network, arm), 1, 0)
            table.append((arm.name, *cells, *against, cost))
        columns = (
            "start", "after the first epoch, %", "best, %", "after the last, %", "first: less base, points",
            "best: less base, points", "cost before, in plain iterations",
        )  # fmt: skip
        names = [f"{word}: {network}" for word in ("accuracy", "scales", "gradients")]
        self.shown[names[0]] = self.curves(network)
        self.shown[names[1]] = self.learned(network, 1, "gradinit").compared()
        each = {arm.name: self.find(gradients_of(network, 1, arm), GradientVariance) for arm in (BASE, GRADINIT)}
        self.shown[names[2]] = GradientVariance.compared(each)
        facts = self.subjects[network]
        learned = [self.learned(network, repeat, "gradinit") for repeat in self.repeats]
        self.section(
            network,
            f"{facts.parameters:,} parameters, {'with' if facts.has_batchnorm else 'without'} batch norm, "
            f"{self.options.train.epochs:g} epochs of {facts.train_examples:,} examples. GradInit took "
            f"{self.options.iterations} iterations, {np.mean([one.constraint_share for one in learned]):.0%} of them "
            f"steps back into the constraint; ln(scale) of weights and gains has a standard deviation of "
            f"{with_error(self.spreads(network))}; log10 of the scale-free variance changed by "
            f"{with_error(self.changes(network))}.",
            names,
            [_READ_CURVES, _READ_SCALES, _READ_VARIANCE],
            (Table("Starts, means over repetitions with standard errors", columns, tuple(table)),),
        )

    def curves(self, network: str) -> Comparison:
        series = {}
        for arm in arms(self.options):
            runs = [self.run(run_of(network, repeat, arm)) for repeat in self.repeats]
            runs = [run for run in runs if len(run.epochs) > 1]
            if runs:
                series[arm.name] = averaged(runs[0].epochs, [np.asarray(run.test_accuracy)[None] for run in runs])
        return Comparison(
            across="epochs",
            quantities=("test accuracy",),
            series=series,
            bars=self.bars,
            provenance=self.provenance(),
        )

    def published(self) -> None:
        columns = ("start", "test accuracy, %", *COLUMNS)
        self.section(
            "The published table",
            "What to compare with: first is the accuracy after the first epoch, best the highest over all. The two "
            "further starts of one epoch cost about half of what GradInit does.",
            tables=(Table("Published test accuracies", columns, rows(), SOURCE),),
        )

    def look_ahead(self) -> None:
        """GradInit's own objective for simpler scales, on the same batches."""
        table = []
        for network in self.options.names:
            each = [self.learned(network, repeat, "gradinit").controls for repeat in self.repeats]
            for place, control in enumerate(each[0]):
                found = [one[place] for one in each if len(one) > place]
                scales = "" if np.isnan(control.scale) else with_error([one.scale for one in found])
                table.append(
                    (network, control.name, scales, with_error([one.loss for one in found], 1, 3),
                     with_error([one.norm for one in found]))
                )  # fmt: skip
        self.section(
            "By GradInit's own objective",
            "The loss after one step of the optimiser, which GradInit minimises, and the length of the gradient before "
            "that step, which it bounds, on batches that none of the scales were learned on.",
            tables=(
                Table(
                    "Simpler scales under the same objective",
                    ("network", "scales", "the one scale", "loss after a step (nats)", "gradient norm"),
                    tuple(table),
                ),
            ),
        )

    # -- pieces --------------------------------------------------------------------------------------------------

    def _reached(self, network: str, repeat: int, arm: Arm) -> Reached:
        return Reached.of(self.run(run_of(network, repeat, arm)))

    def _learned(self, network: str, repeat: int, method: str) -> LearnedScales:
        return self.find(scales_of(network, repeat, method), LearnedScales)

    def at(self, network: str, arm: Arm, moment: str) -> list[float]:
        """Accuracies at ``first``, ``best`` or ``last``, one for each repetition."""
        return [float(getattr(self.reached(network, repeat, arm), moment)) for repeat in self.repeats]

    def firsts(self, network: str, arm: Arm) -> list[float]:
        return self.at(network, arm, "first")

    def spreads(self, network: str) -> list[float]:
        """Standard deviation of ln(scale) over weights and gains; a scale of 0 has none and is left out."""
        found = []
        for repeat in self.repeats:
            one = self.learned(network, repeat, "gradinit")
            kept = one.scales[[role != "bias" and scale > 0 for role, scale in zip(one.roles, one.scales, strict=True)]]
            found.append(float(np.log(kept).std()))
        return found

    def changes(self, network: str) -> list[float]:
        """Mean over tensors of log10 of the scale-free variance after GradInit, less that before."""
        found = []
        for repeat in self.repeats:
            before, after = (
                self.find(gradients_of(network, repeat, arm), GradientVariance).scale_free for arm in (BASE, GRADINIT)
            )
            kept = (before > 0) & (after > 0)
            found.append(float(np.log10(after[kept] / before[kept]).mean()))
        return found

    def costs(self, network: str, arm: Arm) -> list[float]:
        """What came before the shared epochs, in plain iterations."""
        found = []
        for repeat in self.repeats:
            if arm.scales:
                found.append(self.learned(network, repeat, arm.scales).iterations_worth)
            elif arm.prelude:
                files = self.outcome.files[run_of(network, repeat, arm)]
                found.append(float(prelude_of(files).steps[-1]) if "prelude" in files else float("nan"))
            else:
                found.append(0.0)
        return found
