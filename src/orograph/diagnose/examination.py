"""The doctor's stages, one after another, on copies of a patient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any

import torch

from orograph.basics.errors import OrographError, in_a_line
from orograph.data.structure import batch_length
from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.patient import Patient
from orograph.diagnose.probe import look_at
from orograph.diagnose.proving import Proving
from orograph.diagnose.rules.counting import counting
from orograph.diagnose.rules.data import data
from orograph.diagnose.rules.function import function
from orograph.diagnose.rules.loss import loss as loss_rules
from orograph.diagnose.rules.options import decays_at_once
from orograph.diagnose.rules.pictures import pictures
from orograph.diagnose.rules.run import running
from orograph.diagnose.rules.settings import settings
from orograph.diagnose.rules.start import architecture, start
from orograph.diagnose.rules.targets import targets
from orograph.diagnose.rules.wiring import wiring
from orograph.diagnose.run import Run
from orograph.diagnose.second_look import SecondLook
from orograph.diagnose.shadow import train
from orograph.diagnose.signals import Signals
from orograph.results.diagnosis import Finding, StageRecord

STEPS = 60
_LONGER = 3  # times as many steps, where it is too early to tell
MORE = _LONGER * STEPS
_PATIENCE = 1.0  # times the seconds of a run, for a longer one
_PROBE = 256
UNASKED = "a rule could not be applied"
_GUESSES = ("W00", "L00", "I00", "O00")  # which a finding of the second look takes the place of


class Examination:
    """The stages in order."""

    def __init__(
        self, patient: Patient, steps: int, seconds: float, thorough: bool, seed: int, stages: list[StageRecord]
    ) -> None:
        self.patient, self.steps, self.seconds, self.seed, self.stages = patient, steps, seconds, seed, stages
        self.thorough = thorough
        self.probe = _probe_batches(patient.batches)

    def all(self) -> tuple[list[Finding], Signals]:
        with self._stage("one batch"), self.patient.copy(own_step=False) as made:
            probe = look_at(made, self.patient.batches, self.patient.epoch)
        chart = Chart(self.patient, probe)
        with self._stage("shadow run") as notes:
            chart.run = self._shadow(chart)
            if chart.run.unwatched:
                notes.append(f"not everything could be recorded ({chart.run.unwatched})")
        signals = Signals(chart, seed=self.seed, seconds=self.seconds / 2, orders=2 if self.thorough else 1)
        with self._stage("wiring and rules") as notes:
            rules = (settings, wiring, function, data, pictures, targets, loss_rules, counting, start, architecture)
            asked: list[Callable[[], Iterable[Suspicion]]] = [partial(rule, chart) for rule in rules]
            asked.append(partial(running, chart, signals))
            suspicions = [one for rule in asked for one in _suspected(rule, notes)]
        with self._stage("proof"), torch.enable_grad():
            proving = Proving(
                chart,
                self.probe,
                signals,
                steps=max(len(chart.run.losses), self.steps) if chart.run else self.steps,
                wanted=self.steps,
                seconds=self.seconds,
                seed=self.seed,
            )
            findings = proving.findings(suspicions)
        if not any(one.alarms for one in findings):
            with self._stage("second look"), torch.enable_grad():
                second = SecondLook(chart, suspicions, seconds=self.seconds, seed=self.seed).findings()
            left = {*_GUESSES, *(one.id for one in second)} if second else set()
            findings = [*second, *(one for one in findings if one.id not in left)]
        return findings, signals

    def _shadow(self, chart: Chart) -> Run:
        patient = self.patient
        if patient.optimizer is None or chart.probe.detached:
            return Run()
        options: dict[str, Any] = {
            "batches": patient.batches,
            "probe": self.probe,
            "task": chart.probe.task,
            "seed": self.seed,
            "epoch": patient.epoch,
        }

        def longer(run: Run) -> int:
            """Three times as many steps where it does not train so far, nor broke down, or what time there is; also
            where the rate fell to nothing, as it may come back."""
            chart.run = run
            if (chart.trains and not decays_at_once(run)) or chart.broke:
                return 0
            affordable = int(_PATIENCE * self.seconds * len(run.losses) / max(run.seconds, 1e-6))
            return max(min(_LONGER * self.steps, affordable) - len(run.losses), 0)

        for _ in range(2):
            bound = patient.bound
            with patient.copy() as made, torch.enable_grad():
                run = train(made, steps=self._affordable(), longer=longer, **options)
            if patient.bound == bound:
                break  # else the copy stood by while the step trained the originals: once more, on them
        return run

    def _affordable(self) -> int:
        """As many steps as fit into the time, by the first batch's pass."""
        spent = 0.0
        with self.patient.copy() as made, torch.enable_grad():
            try:
                for index in range(2):  # the first may have to compile or fill caches
                    began = perf_counter()
                    made.train(self.patient.batches[index % len(self.patient.batches)], index)
                    spent = perf_counter() - began
            except Exception:
                return self.steps
        return max(min(self.steps, int(self.seconds / max(spent, 1e-6))), 20)

    @contextmanager
    def _stage(self, name: str) -> Iterator[list[str]]:
        began, notes = perf_counter(), list[str]()
        try:
            yield notes
        finally:
            self.stages.append(StageRecord(name, perf_counter() - began, "; ".join(notes)))


def _suspected(rule: Callable[[], Iterable[Suspicion]], notes: list[str]) -> Iterator[Suspicion]:
    """What a rule suspects, up to where the user's objects are odder than it foresaw: the others go on."""
    try:
        yield from rule()
    except OrographError:
        raise
    except Exception as error:
        notes.append(f"{UNASKED} ({in_a_line(error)})")


def _probe_batches(batches: list[Any]) -> list[Any]:
    """The first batches, until they hold 256 examples, 8 at most."""
    found: list[Any] = []
    count = 0
    for batch in batches[:8]:
        found.append(batch)
        count += batch_length(batch)
        if count >= _PROBE:
            break
    return found
