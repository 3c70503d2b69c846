"""The result of ``vgg-from-scratch``: claims with verdicts, and the sections of its report."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from orograph.basics.words import counted
from orograph.execute import Outcome
from orograph.results import StudyResult
from orograph.studies.repeated import RepeatedConclusion
from orograph.studies.subject import Subject
from orograph.studies.vgg_from_scratch import arms as configurations
from orograph.studies.vgg_from_scratch import claims
from orograph.studies.vgg_from_scratch.arms import GLOROT, GRAFTED, HE, Arm, Start, arms, between
from orograph.studies.vgg_from_scratch.options import VggFromScratch
from orograph.studies.vgg_from_scratch.plan import source_of, trial_of
from orograph.studies.vgg_from_scratch.profiles import profiles
from orograph.studies.vgg_from_scratch.tables import drawn_table, outcome_table
from orograph.studies.vgg_from_scratch.trial import FromScratch

_READ = (
    "Layers from the image to the logits. A line that falls steeply loses the signal (above) and, with it, what the "
    "first layers could learn from; where r falls towards 0 the outputs no longer depend on the image."
)


def conclude(options: VggFromScratch, subject: Subject, outcome: Outcome) -> StudyResult:
    """Say how every run came out, decide the claims and write the report's sections in words."""
    return _Conclusion(options, subject, outcome).result()


class _Conclusion(RepeatedConclusion):
    study = "vgg-from-scratch"
    citations = ("simonyan2015", "glorot2010", "he2015")
    options: VggFromScratch

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.trials = cache(self._trials)

    def write(self) -> None:
        self.decide()
        self.outcomes()
        self.starts()
        self.layers()

    def what(self) -> str:
        o = self.options
        trained = f"{counted(len(arms(o)), 'configuration')} of VGG-A, B and D at width {o.width:g}"
        return f"{trained} on {o.data}, {counted(o.repeats, 'seed')}"

    def finding(self) -> str:
        """Which starts let D learn in every run at the ordinary learning rate."""
        low = [arm for arm in arms(self.options) if arm.net == "D" and arm.lr == self.options.train.lr]
        good = [arm.start.name for arm in low if arm.clip is None and all(map(self.learns, self.trials(arm)))]
        return f"D learns from: {'; '.join(good)}." if good else "D learns from no start in every run."

    def notes(self) -> tuple[str, ...]:
        o = self.options
        found = [
            f"Standard deviations are those of full width; at width {o.width:g} they are drawn "
            f"{np.sqrt(1 / o.width):.3g} times as large, which keeps what a layer does to the signal's size.",
            f"A run learns whose test accuracy makes up for {o.margin:.0%} of what the most frequent class leaves "
            f"wrong; it calls one class where {o.one_class:.0%} of the answers are one.",
        ]
        if not any(self.learns(run) for arm in arms(o) for run in self.trials(arm)):
            found.append("No run learned, so verdicts say little: train longer, or choose other data.")
        elif not all(map(self.learns, self.sources)):
            found.append("The A whose layers were transplanted did not learn with every seed.")
        return tuple(found)

    # -- claims --------------------------------------------------------------------------------------------------

    def decide(self) -> None:
        o = self.options
        normal, graft = configurations.normal(o), configurations.grafted_normal(o)
        add, one = self.claims.append, 1 / self.subject.test_examples
        for decided, start, nets, test in (
            (claims.normal_everywhere, normal, "ABD", self.calls_one),
            (claims.small_middle, between(o.small_middle), "BD", self.calls_one),
            (claims.own_middle, between(o.own_middle), "BD", self.learns),
            (claims.middle, between(o.middle), "BD", self.learns),
            (claims.large_middle, between(o.large_middle), "BD", self.collapses),
        ):
            runs = self.runs(start, nets)
            add(decided(float(start.std or 0), [test(run) for run in runs], self.told(runs)))
        runs = [run for clip in o.clips for run in self.runs(between(o.large_middle), "BD", clip)]
        add(claims.no_cure(o.large_middle, [self.collapses(run) for run in runs], self.told(runs)))
        runs = self.runs(GLOROT, "AB")
        add(claims.glorot_shallow([self.learns(run) for run in runs], self.told(runs)))
        add(claims.glorot_deep(*self.against(self.runs(GLOROT, "B"), self.runs(GLOROT, "D")), one))
        low, high = self.runs(HE, "D"), self.runs(HE, "D", lr=o.high_lr)
        clipped = self.runs(HE, "D", o.clips[0], o.high_lr)
        add(claims.cliff(o.high_lr, *self.against(low, high), one))
        add(claims.saved(o.clips[0], o.high_lr, *self.against(clipped, high), one))
        source = float(np.mean([self.accuracy(run) for run in self.sources]))
        taught = all(map(self.learns, self.sources))
        differences, note = self.against(self.runs(GRAFTED, "D"), self.runs(GLOROT, "D"))
        add(claims.transplant(differences, note, one, source=source, taught=taught))
        differences, note = self.against(self.runs(graft, "D"), self.runs(normal, "D"))
        add(claims.transplant_normal(o.normal, differences, note, one, source=source, taught=taught))
        add(self.floor())

    def floor(self) -> Any:
        """Over all runs at the ordinary learning rate without clipping, so that only the start decides."""
        each = [arm for arm in arms(self.options) if arm.clip is None and arm.lr == self.options.train.lr]
        runs = [run for arm in each for run in self.trials(arm)]
        learning = [run for run in runs if self.learns(run)]
        failing = [run for run in runs if not self.learns(run)]
        diverged = [run for run in failing if run.diverged]
        parts = {"learn": learning, "call one class": [r for r in failing if self.calls_one(r)], "diverge": diverged}
        note = "; ".join(
            f"of {len(found)} runs that {words}, median {np.median([run.floor for run in found]):.2g}"
            for words, found in parts.items()
            if found
        )
        return claims.gradient_floor(_decades(learning), _decades(failing), f"{note[:1].upper()}{note[1:]}.")

    # -- sections ------------------------------------------------------------------------------------------------

    def outcomes(self) -> None:
        o = self.options
        rows: dict[str, tuple[str, float, Sequence[FromScratch]]] = {}
        source = f"A: {GLOROT.name}, {counted(o.source_epochs, 'epoch')}, for its layers"
        rows[source] = ("A", o.train.lr, self.sources)
        for arm in arms(o):
            rows[arm.name] = (arm.net, arm.lr, self.trials(arm))
        table = outcome_table(
            {name: trials for name, (_, _, trials) in rows.items()}, lambda run: run.ending(o.margin, o.one_class)
        )
        text = (
            f"Each configuration was trained for {counted(o.train.epochs, 'epoch')} with {counted(o.repeats, 'seed')}; "
            "seeds decide initial values and the order of the data alike in all configurations of a net."
        )
        self.section("How the runs came out", text, tables=(table,))

    def starts(self) -> None:
        deep = [arm for arm in arms(self.options) if arm.net == "D" and arm.clip is None]
        first = {arm.start.name: self.trials(arm)[0] for arm in deep if arm.lr == self.options.train.lr}
        text = (
            "What the first seed drew for D. A net of width w draws with the standard deviation of full width times "
            "sqrt(1 / w); Glorot's and He's values know the width themselves."
        )
        self.section("The initial values", text, tables=(drawn_table(first),))

    def layers(self) -> None:
        names = []
        for net in ("B", "D"):
            low = [arm for arm in arms(self.options) if arm.net == net and arm.lr == self.options.train.lr]
            found = {arm.start.name: self.trials(arm) for arm in low if arm.clip is None}
            for early, words in ((False, "at the start"), (True, f"after {self.options.early} steps")):
                name = f"layers of {net} {words}"
                self.shown[name] = profiles(found, self.provenance(), early=early)
                names.append(name)
        text = (
            "Without biases the loss of a net of ReLU layers depends on the product of its layers, so at the start "
            "the scalar product of weights and gradient is one number for all layers: their gradients rise and fall "
            "together, and it is their common level that tells starts apart. Runs that diverged have no second figure."
        )
        self.section("Layer by layer", text, names, [_READ] * len(names))

    # -- pieces --------------------------------------------------------------------------------------------------

    @property
    def sources(self) -> list[FromScratch]:
        """The trained A of each seed."""
        return [self.find(source_of(repeat), FromScratch) for repeat in self.repeats]

    def _trials(self, arm: Arm) -> list[FromScratch]:
        return [self.find(trial_of(arm, repeat), FromScratch) for repeat in self.repeats]

    def runs(self, start: Start, nets: str, clip: float | None = None, lr: float | None = None) -> list[FromScratch]:
        """All seeds of these nets from a start."""
        rate = self.options.train.lr if lr is None else lr
        return [run for net in nets for run in self.trials(Arm(net, start, rate, clip))]

    def learns(self, run: FromScratch) -> bool:
        return run.learns(self.options.margin)

    def calls_one(self, run: FromScratch) -> bool:
        return run.ending(self.options.margin, self.options.one_class) == "one class"

    def collapses(self, run: FromScratch) -> bool:
        return run.diverged or self.calls_one(run)

    def accuracy(self, run: FromScratch) -> float:
        """That of the most frequent class where a run diverged: a net of NaN answers no better."""
        return run.most if run.diverged else run.accuracy

    def against(self, these: Sequence[FromScratch], others: Sequence[FromScratch]) -> tuple[list[float], str]:
        """Differences of accuracy seed by seed, and both sides in words."""
        differences = [self.accuracy(a) - self.accuracy(b) for a, b in zip(these, others, strict=True)]
        return differences, f"{self.told(these)} Against: {self.told(others)}"

    def told(self, runs: Sequence[FromScratch]) -> str:
        """How runs came out, e.g. "Learns 5, one class 1; accuracies 0.10 to 0.93."""
        endings = [run.ending(self.options.margin, self.options.one_class) for run in runs]
        counts = ", ".join(f"{word} {endings.count(word)}" for word in dict.fromkeys(endings))
        reached = [self.accuracy(run) for run in runs]
        return f"{counts[:1].upper()}{counts[1:]}; accuracies {min(reached):.3f} to {max(reached):.3f}."


def _decades(runs: Sequence[FromScratch]) -> list[float]:
    """Gradients that are zero count as the smallest number there is: a net that passes nothing on has the least."""
    least = float(np.finfo(np.float32).tiny)
    return [float(np.log10(max(run.floor, least))) for run in runs]
