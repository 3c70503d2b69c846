"""The result of ``transformer-warmup``: claims with verdicts, and the sections of its report."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orograph.basics.words import counted
from orograph.execute import Outcome
from orograph.initialize.global_scale import GRID
from orograph.results import Comparison, LearnedScales, Series, StudyResult, Table
from orograph.studies.repeated import RepeatedConclusion, with_error
from orograph.studies.subject import Subject
from orograph.studies.transformer_warmup import claims
from orograph.studies.transformer_warmup.options import TransformerWarmup
from orograph.studies.transformer_warmup.plan import (
    ARMS,
    GLOBAL,
    GRADINIT,
    LONGER,
    PLAIN,
    REFERENCE,
    Arm,
    run_of,
    scales_of,
)
from orograph.studies.transformer_warmup.record import Translation

_AWAY = 1.5  # times the entropy of words: what lies above is not drawn
_READ_CURVES = (
    "A panel for each rate, means over the repetitions that did not diverge. The level near which plateaus lie is the "
    "entropy of the words; losses far above it are left out. What an arm spent before is not on the axis."
)
_READ_RATES = "Final losses of test sentences against the rate, means over the repetitions that did not diverge."
_READ_SCALES = "A mark for each tensor of the first repetition, in the order of the network."


def conclude(options: TransformerWarmup, subject: Subject, outcome: Outcome) -> StudyResult:
    """Count the runs that train, decide the claims and write the report's sections in words."""
    return _Conclusion(options, subject, outcome).result()


class _Conclusion(RepeatedConclusion):
    study = "transformer-warmup"
    citations = ("zhu2021", "vaswani2017")
    options: TransformerWarmup

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.record = cache(self._record)

    def write(self) -> None:
        for optimizer in self.options.optimizers:
            self.decide(optimizer)
        for optimizer in self.options.optimizers:
            self.section_of(optimizer)

    def what(self) -> str:
        o = self.options
        shape = f" ({o.layers} + {o.layers} layers of {o.dimension})" if o.model.startswith("transformer") else ""
        return f"{counted(o.repeats, 'repetition')} of {o.model}{shape} on {o.data}"

    def finding(self) -> str:
        parts = []
        for optimizer in self.options.optimizers:
            counts = ", ".join(
                f"{arm.name} {sum(self.trained(optimizer, arm))}" for arm in (REFERENCE, PLAIN, GRADINIT)
            )
            parts.append(f"by {optimizer} of {len(self.runs(optimizer, PLAIN))} runs each trained: {counts}")
        found = "; ".join(parts)
        return f"{found[0].upper()}{found[1:]}."

    def notes(self) -> tuple[str, ...]:
        o = self.options
        return (
            f"A run trained if its final training loss is at most {o.plateau:g} of the entropy of the words "
            f"({self.entropy:.3f} nats per token); above twice the entropy, or not finite, it diverged.",
            "k is the number of plain training iterations that GradInit is worth, counted in passes; they come before "
            "the run at its own rate, without warm-up, and the optimiser begins afresh after them.",
            "Losses are means over tokens, in nats. BLEU is of greedy translations, words cut as the data say.",
            "GradInit's own settings were chosen on this task, from other initial values; all rates share them."
            if o.data == "copy-reverse"
            else "GradInit's own settings were chosen on copy-reverse, not on these data.",
        )

    # -- claims --------------------------------------------------------------------------------------------------

    def decide(self, optimizer: str) -> None:
        warm, plain, learned, longer, one = (
            self.trained(optimizer, arm) for arm in (REFERENCE, PLAIN, GRADINIT, LONGER, GLOBAL)
        )
        self.claims.append(claims.warmup_needed(optimizer, warm, plain))
        self.claims.append(claims.gradinit_trains(optimizer, plain, learned))
        self.claims.append(claims.as_many_as_warmup(optimizer, warm, plain, learned))
        self.claims.append(claims.more_than_compute(optimizer, plain, learned, longer))
        self.claims.append(claims.more_than_one_scale(optimizer, plain, learned, one))

    # -- sections ------------------------------------------------------------------------------------------------

    def section_of(self, optimizer: str) -> None:
        """Counts, losses and BLEU of one optimiser, its curves, and what was learned for it."""
        names = [f"{word}: {optimizer}" for word in ("training loss", "test loss", "scales")]
        self.shown[names[0]] = self.curves(optimizer)
        self.shown[names[1]] = self.against_rate(optimizer)
        each = [self.find(scales_of(optimizer, repeat), LearnedScales) for repeat in self.repeats]
        self.shown[names[2]] = each[0].compared()
        rows = [self.row(optimizer, rate, arm) for rate in self.options.rates_of(optimizer) for arm in ARMS]
        columns = (
            "rate", "start", "trained, plateaued, diverged", "final training loss", "test loss", "BLEU, %",
            "iterations before",
        )  # fmt: skip
        self.section(
            f"By {optimizer}",
            f"GradInit took {self.options.iterations} iterations, worth "
            f"{with_error([one.iterations_worth for one in each], 1, 0)} of training; "
            f"{np.mean([one.constraint_share for one in each]):.0%} of them were steps back into the constraint. The "
            f"entropy of the words is {self.entropy:.3f} nats per token.",
            names,
            [_READ_CURVES, _READ_RATES, _READ_SCALES],
            (Table("All runs, losses in nats per token, means with standard errors", columns, tuple(rows)),),
        )

    def row(self, optimizer: str, rate: float, arm: Arm) -> tuple[str, ...]:
        runs = [self.record(optimizer, rate, repeat, arm) for repeat in self.repeats]
        counts = Counter(run.outcome(self.options.plateau) for run in runs)
        finite = [run for run in runs if np.isfinite(run.train_loss)]
        return (
            f"{rate:g}",
            arm.name,
            ", ".join(str(counts[word]) for word in ("trained", "plateaued", "diverged")),
            with_error([run.train_loss for run in finite], 1, 3),
            with_error([run.test_loss for run in finite], 1, 3),
            with_error([run.bleu for run in runs], 100, 1),
            self.before(optimizer, runs, arm),
        )

    def before(self, optimizer: str, runs: list[Translation], arm: Arm) -> str:
        """What came before the runs, in plain iterations; a global scale is picked from a grid on a few batches."""
        if arm.scales == "global":
            return f"a grid of {len(GRID)}"
        if arm.scales:
            each = [self.find(scales_of(optimizer, repeat), LearnedScales) for repeat in self.repeats]
            return with_error([one.iterations_worth for one in each], 1, 0)
        return with_error([float(run.before) for run in runs], 1, 0)

    def curves(self, optimizer: str) -> Comparison:
        rates = self.options.rates_of(optimizer)
        series = {}
        for arm in ARMS:
            each = {rate: [self.record(optimizer, rate, repeat, arm) for repeat in self.repeats] for rate in rates}
            steps = next((run.steps for runs in each.values() for run in runs if len(run.steps)), None)
            if steps is None:
                continue
            rows = [
                _mean([run.curve for run in runs if len(run.curve) == len(steps)], len(steps)) for runs in each.values()
            ]
            values = np.stack(rows)
            values[values > _AWAY * self.entropy] = np.nan
            series[arm.name] = Series(steps.astype(np.float64), values)
        everything = [one.x for one in series.values()]
        if everything:
            ends = np.array([everything[0][0], everything[0][-1]])
            series["entropy of the words"] = Series(ends, np.full((len(rates), 2), self.entropy))
        return Comparison(
            across="steps",
            quantities=tuple(f"training loss at rate {rate:g} (nats per token)" for rate in rates),
            series=series,
            provenance=self.provenance(),
        )

    def against_rate(self, optimizer: str) -> Comparison:
        rates, series = self.options.rates_of(optimizer), {}
        for arm in ARMS:
            values = [
                [self.record(optimizer, rate, repeat, arm).test_loss for repeat in self.repeats] for rate in rates
            ]
            found = np.array([_mean([np.array([one]) for one in row if np.isfinite(one)], 1)[0] for row in values])
            found[found > _AWAY * self.entropy] = np.nan
            series[arm.name] = Series(np.array(rates), found[None])
        return Comparison(
            across="learning rate",
            quantities=("test loss (nats per token)",),
            series=series,
            logarithmic=("learning rate",),
            provenance=self.provenance(),
        )

    # -- pieces --------------------------------------------------------------------------------------------------

    @property
    def entropy(self) -> float:
        """Of the frequencies of training words, nats per token."""
        return self.runs(self.options.optimizers[0], PLAIN)[0].entropy

    def _record(self, optimizer: str, rate: float, repeat: int, arm: Arm) -> Translation:
        return self.find(run_of(optimizer, rate, repeat, arm), Translation)

    def runs(self, optimizer: str, arm: Arm) -> list[Translation]:
        """All of an arm, rate by rate."""
        rates = self.options.rates_of(optimizer)
        return [self.record(optimizer, rate, repeat, arm) for rate in rates for repeat in self.repeats]

    def trained(self, optimizer: str, arm: Arm) -> list[bool]:
        """Of each run of an arm, whether it trained."""
        return [run.outcome(self.options.plateau) == "trained" for run in self.runs(optimizer, arm)]


def _mean(rows: list[NDArray[np.float64]], length: int) -> NDArray[np.float64]:
    """(length,) means over rows, NaN for none."""
    return np.mean(rows, axis=0) if rows else np.full(length, np.nan)
