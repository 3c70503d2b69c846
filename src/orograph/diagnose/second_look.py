"""A second look at a network that nothing was found in: whether it learns what could have been learned.

Many faults leave a network that learns, and less than it might: initial values that cost it its depth, a step that
comes too seldom, a forward pass that loses what matters. So it is trained for longer, on all batches but a few, and
asked about those; beside it the same network with all that can be changed from outside as it usually is (weights,
loss, optimiser, step), and a plain network of two layers. Where one of these answers far better, single changes are
tried for the one that accounts for it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from typing import Any, NamedTuple

from torch import nn

from orograph.data.structure import batch_length
from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Edit, Suspicion, quality_of
from orograph.diagnose.glances import glance
from orograph.diagnose.order import finding_of
from orograph.diagnose.patient import Copy
from orograph.diagnose.plain import plain_copy
from orograph.diagnose.rules.counting import draws, usual_loss
from orograph.diagnose.rules.stepping import in_turns, steps_seldom
from orograph.diagnose.shadow import train
from orograph.diagnose.thresholds import threshold
from orograph.diagnose.unexplained import cured, in_order
from orograph.results.diagnosis import Evidence, Finding, Severity, Trial

_STEPS = 400
_LEAST = 200  # steps, below which a run is no longer than those before
_RATES = (1e-3, 5e-3)  # of Adam in the trusted settings
_SHARE = 0.5  # of the time of a shadow run, for each of these
_MOST = 2.0  # times that for all of them
_KEPT = 0.2  # share of the batches that are kept aside
_BATCHES = 8  # at most
_FEW = 50  # examples kept aside, below which an answer may be right by luck
_TRIED = 8  # suspicions whose change is tried again
_PASSES = 5  # over the examples, by which an ordinary training has come far
_ACCOUNTS = 0.6  # share of the difference that a change has to make good
_SLOWER = ("W00", "O00", "O02", "I00", "L00")
_MEASURE = "quality of the answers to examples kept aside (1 is perfect)"


class _Answers(NamedTuple):
    """Quality at the end of a run, on batches kept aside and on the first of those that it was trained on."""

    aside: float
    trained: float
    rank: float = math.nan  # how well answers aside are in the order of the targets


class SecondLook:
    """Longer runs of one patient, each made once, and what they say; nothing where time does not allow them."""

    def __init__(self, chart: Chart, suspicions: Sequence[Suspicion], *, seconds: float, seed: int) -> None:
        self.chart, self.seed = chart, seed
        self._suspicions = suspicions
        self._deadline = perf_counter() + _MOST * seconds
        self._found: dict[str, _Answers | None] = {}
        own = chart.patient.batches[: chart.patient.epoch]
        kept = min(max(int(_KEPT * len(own)), 1), _BATCHES)
        while sum(map(batch_length, own[-kept:])) < _FEW and kept < len(own) // 3:
            kept += 1  # the last batch may hold a few left-over examples
        self._trained, self._aside = own[:-kept], own[-kept:]
        self._kept = sum(map(batch_length, self._aside))
        run = chart.run
        each = run.seconds / len(run.losses) if run is not None and run.losses else math.inf
        self.steps = int(min(_STEPS, _SHARE * seconds / max(each, 1e-6)))

    @property
    def possible(self) -> bool:
        """Whether there is time, something to keep aside, and a way to rate the answers."""
        run = self.chart.run
        if run is None or run.error or (statistics.median(run.taken or [1]) < 1 and not steps_seldom(self.chart)):
            return False  # gathered gradients: a step for each batch would be another training
        if self.chart.patient.optimizer is None or math.isnan(quality_of(run)) or self.chart.embeds:
            return False
        return self.steps >= _LEAST and len(self._trained) >= 2 and not draws(self.chart)

    def findings(self) -> list[Finding]:
        """One finding where the network falls far behind, else none."""
        run = self.chart.run
        if not self.possible or quality_of(run) > threshold("second_look"):
            return []
        own = self._answers(None)
        if own is None or (not self.chart.probe.task.form and own.aside < 0 and abs(own.rank) >= threshold("trained")):
            return []  # the second: answers of the opposite order, such as distances
        trusted = max((self._answers(edit) or own for edit in self._trusted()), key=lambda one: one.aside)
        plain = None if self.chart.reconstructs else self._plain()  # which has no narrow place to get through
        best = max(own, trusted, key=lambda one: one.aside)
        if trusted.aside - own.aside >= threshold("behind"):
            return [self._cause(own, trusted) or self._told(self._together(), own, trusted)]
        if plain is not None and plain.aside - best.aside >= threshold("behind_plain"):
            return [self._order(best, plain) or self._cause(own, plain) or self._architecture(best, plain)]
        every = [one for one in (*self._found.values(), plain) if one is not None]
        unseen, heart = max(one.aside for one in every), max(one.trained for one in every)
        neighbours = self.chart.probe.known.surprise  # which know ranks, however wild some targets are
        quiet = not neighbours > 2 * threshold("surprise")
        if unseen < threshold("says_nothing") and heart >= threshold("by_heart") and self._kept >= _FEW and quiet:
            return [self._by_heart(heart, unseen)]
        return []

    def _cause(self, own: _Answers, best: _Answers) -> Finding | None:
        """The first change that makes good most of the difference, suspicions before others."""
        wanted = own.aside + _ACCOUNTS * (best.aside - own.aside)
        for one in self._ways():
            assert one.edit is not None
            found = self._answers(one.edit)
            if found is not None and found.aside >= wanted:
                return self._told(one, own, found)
        return None

    def _together(self) -> Suspicion:
        """All of the trusted settings at once."""
        edit = max(self._trusted(), key=lambda edit: found.aside if (found := self._answers(edit)) else -1.0)
        return cured("I00", "initial weights and optimiser together", edit, True)

    def _told(self, one: Suspicion, own: _Answers, found: _Answers) -> Finding:
        trial = Trial("verified", _MEASURE, own.aside, found.aside, self.steps)
        severity = self._severity(own)
        early = self._early and (one.id == "O02" or own.aside >= threshold("learned"))
        slower = self._warming or in_turns(self.chart.run) or early or not self._makes_good(own, found)
        slower = slower or self._kept < _FEW
        if one.id in _SLOWER and (slower or (one.id == "L00" and in_order(self.chart, own.rank, found.rank))):
            severity = "question"
        if own.aside >= threshold("not_learned"):
            one = replace(one, title=one.title.replace("keeps it from learning", "holds it back")
                          .replace("keep it from learning", "hold it back"),
                          cause=one.cause.replace("it learns as soon", "it learns far more as soon"))  # fmt: skip
        return finding_of(replace(one, severity=severity, needs="nothing"), trial)

    @staticmethod
    def _makes_good(own: _Answers, found: _Answers) -> bool:
        """Whether a change brings most of what is missing; one that is merely quicker brings a part of it."""
        wanted = max(threshold("behind"), threshold("makes_good") * (1 - own.aside))
        return own.aside < threshold("trained") or found.aside - own.aside >= wanted

    @property
    def _early(self) -> bool:
        """Whether the network has seen all examples a few times only."""
        return self.steps < _PASSES * len(self._trained)

    @property
    def _warming(self) -> bool:
        """Whether a schedule still raised the rate when the shadow run ended."""
        rates = [rate for rate in (self.chart.run.lr if self.chart.run is not None else []) if math.isfinite(rate)]
        return len(rates) > 1 and rates[-1] >= max(rates) > 1.05 * rates[-len(rates) // 4 - 1]

    def _ways(self) -> Iterator[Suspicion]:
        """What was suspected and could not be proved, settings of the optimiser last; then what needs no suspicion."""
        chart = self.chart
        tried: set[str] = set()
        suspected = [one for one in self._suspicions if one.edit is not None]
        for one in sorted(suspected, key=lambda one: (one.id in ("O01", "O02", "O03"), one.rank))[:_TRIED]:
            if one.edit is not None and one.edit.name not in tried:
                tried.add(one.edit.name)
                yield one
        if chart.patient.step is not None:
            yield cured("W00", "the training step", edits.ordinary_step(), True)
        if (loss := usual_loss(chart)) is not None:
            yield cured("L00", "the loss", loss, True)
        yield cured("I00", "the initial weights", edits.redrawn(), True)
        if any(isinstance(module, (nn.Sigmoid, nn.Tanh)) for module in chart.patient.model.modules()):
            saturating = edits.both(edits.rectified(), edits.trusted_optimizer())
            yield replace(cured("I06", "sigmoid or tanh in so many layers", saturating, True), explains=("A08",))
        assert chart.patient.optimizer is not None
        if any(group.get("weight_decay", 0.0) > 0 for group in chart.patient.optimizer.param_groups):
            yield cured("O05", "weight decay", edits.option("weight_decay", 0.0), True)
        for id, factor in (("O02", 10.0), ("O01", 0.1)):
            way = "higher" if factor > 1 else "lower"
            yield cured(id, f"the learning rate, which should be {way},", edits.rate(factor), True)
        for rate in _RATES:
            yield cured("O00", "the optimiser or the training step", edits.trusted_optimizer(rate), True)

    def _trusted(self) -> list[Edit]:
        loss = usual_loss(self.chart)
        usual = [edits.redrawn(), *([] if loss is None else [loss])]
        return [edits.both(*usual, edits.trusted_optimizer(rate)) for rate in _RATES]

    def _order(self, own: _Answers, plain: _Answers) -> Finding | None:
        """Places that the network does not know, where a network that knows them does far better."""
        blind = next((one for one in self._suspicions if one.id == "A04"), None)
        if blind is None:
            return None
        told = (*blind.evidence, *self._compared(own, plain))
        return finding_of(replace(blind, severity=self._severity(own), evidence=told, needs="nothing"), Trial())

    @staticmethod
    def _severity(own: _Answers) -> Severity:
        return "critical" if own.aside < threshold("not_learned") else "warning"

    @staticmethod
    def _compared(own: _Answers, plain: _Answers) -> tuple[Evidence, Evidence]:
        return (
            Evidence("quality on examples kept aside, with the better of both optimisers", own.aside),
            Evidence("the same of a plain network", plain.aside, own.aside + threshold("behind_plain")),
        )

    def _architecture(self, own: _Answers, plain: _Answers) -> Finding:
        return Finding(
            id="A08",
            title="a plain network learns what this one does not",
            severity=self._severity(own),
            confidence=0.7,
            cause="two hidden layers on the same examples answer far better, and neither other weights, the usual loss "
            "nor a trusted optimiser bring this network there: its forward pass loses what matters",
            prescription="take parts out of forward() until it learns; look for axes that are swapped, positions that "
            "are missing, and places that are read wrongly",
            stage=3,
            evidence=self._compared(own, plain),
            limits="so few steps: large networks may need more",
        )

    def _by_heart(self, heart: float, unseen: float) -> Finding:
        return Finding(
            id="D05",
            title="the targets have nothing to do with the inputs",
            severity="warning",
            confidence=0.7,
            cause="examples are learned by heart, and neither this network, with other settings, too, nor a plain one "
            "can answer for those that were kept aside",
            prescription="look at inputs and targets side by side: were both shuffled in the same way, and cut from "
            "the same rows?",
            stage=3,
            evidence=(
                Evidence("the best quality on examples of the training", heart, threshold("by_heart")),
                Evidence("the best on examples kept aside", unseen, threshold("says_nothing"), "above 0.3"),
            ),
            limits="examples that are too few for such a task",
        )

    def _answers(self, edit: Edit | None) -> _Answers | None:
        """What a copy answers that was changed so and trained for long; None where it could not be."""
        name = "" if edit is None else edit.name
        if name not in self._found:
            patient = self.chart.patient
            own_step = edit is None or not (edit.ordinary or patient.bound)
            self._found[name] = self._tried(patient.copy(own_step=own_step), edit)
        return self._found[name]

    def _plain(self) -> _Answers | None:
        made = plain_copy(self._trained, self.chart.probe.task, self.seed)
        return None if made is None else self._tried(_alone(made), None)

    def _tried(self, copied: Any, edit: Edit | None) -> _Answers | None:
        if perf_counter() > self._deadline:
            return None
        task = self.chart.probe.task
        try:
            with copied as made:
                if edit is not None:
                    edit.apply(made)
                run = train(made, self._trained, self._aside, task, steps=self.steps, seed=self.seed, record=False)
                if run.error:
                    return None
                if run.stopped is not None:
                    return _Answers(-1.0, -1.0)
                seen = glance(made, self._trained[:_BATCHES], task, self.steps)
                return _Answers(quality_of(run), seen.quality, run.glances[-1].rank)
        except Exception:  # a change that does not fit this network
            return None


@contextmanager
def _alone(made: Copy) -> Iterator[Copy]:
    yield made
