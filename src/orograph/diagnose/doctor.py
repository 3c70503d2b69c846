"""``doctor``: why a network does not train, with evidence, and a change that was seen to help.

Stages: 0 the wiring is read; 1 one batch goes through a copy; 2 a copy is trained by the user's own steps; 3 each
prescription is tried on a copy with the same batches and seeds. The user's objects come out as they went in.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from orograph.basics.errors import ModelError, OrographError, UsageError
from orograph.basics.seeds import isolated_randomness
from orograph.basics.words import counted
from orograph.data.structure import batch_length
from orograph.diagnose.chart import Chart
from orograph.diagnose.circumstances import recorded
from orograph.diagnose.losses import Loss
from orograph.diagnose.naming import name_targets
from orograph.diagnose.patient import Patient, Step, gather, repeats_by_design, stacks_examples
from orograph.diagnose.probe import look_at
from orograph.diagnose.proving import Proving
from orograph.diagnose.rules.counting import counting
from orograph.diagnose.rules.data import data
from orograph.diagnose.rules.function import function
from orograph.diagnose.rules.loss import loss as loss_rules
from orograph.diagnose.rules.options import decays_at_once
from orograph.diagnose.rules.pictures import pictures
from orograph.diagnose.rules.run import running, update_sizes
from orograph.diagnose.rules.settings import settings
from orograph.diagnose.rules.start import architecture, start
from orograph.diagnose.rules.targets import targets
from orograph.diagnose.rules.wiring import wiring
from orograph.diagnose.run import Run
from orograph.diagnose.second_look import SecondLook
from orograph.diagnose.shadow import train
from orograph.diagnose.signals import Signals
from orograph.diagnose.step_loss import fit_loss
from orograph.diagnose.thresholds import version
from orograph.diagnose.together import Optimizers, as_one
from orograph.results.diagnosis import Diagnosis, Finding, ParameterReading, StageRecord, Verdict
from orograph.results.provenance import Provenance
from orograph.results.signals import Signal

_STEPS = 60
_LONGER = 3  # times as many steps, where it is too early to tell
_MORE = _LONGER * _STEPS
_PATIENCE = 1.0  # times the seconds of a run, for a longer one
_PROBE = 256
_GUESSES = ("W00", "L00", "I00", "O00")  # which a finding of the second look takes the place of


@recorded
def doctor(
    model: nn.Module,
    loader: Any,
    *,
    loss: str | nn.Module | Callable[..., Any] = "cross_entropy",
    optimizer: Optimizers | None = None,
    step: Step | None = None,
    steps: int = _STEPS,
    batch_size: int = 64,
    seconds: float = 20.0,
    thorough: bool = False,
    seed: int = 0,
) -> Diagnosis:
    """Examine why ``model`` does not train on ``loader``, or that it does.

    Parameters
    ----------
    model : in the mode in which the training loop has it; on its device
    loader : what the loop iterates over: a DataLoader or any other source of batches that can be read twice, a list of
        batches, a Dataset, a pair (inputs, targets), or ``Data``
    loss : "cross_entropy", "mse", a module or function of (outputs, targets), or a function of (model, batch)
    optimizer : the user's, or a list, tuple or dictionary of several; None: Adam with rate 1e-3 stands in
    step : the user's own training step, ``step(model, batch, optimizer)`` (arguments are also found by their names:
        inputs, targets, loss, index), which returns the loss. None is zero_grad, loss, backward, step. Where ``loss``
        fails on the data, as in reinforcement learning, what the step calls backward() on takes its place.
    steps : of the shadow run; it goes on to three times as many where it is too early to tell
    batch_size : where the data are not batches yet
    seconds : about how long one run of steps may take; a slower network is given fewer steps
    thorough : take every measurement (learning-rate range in two orders, largest Hessian eigenvalue, gradient noise,
        one-batch overfit), not only those that a suspicion calls for

    Returns
    -------
    Diagnosis
        ``findings`` in the order of root causes; none for a healthy network.

    Raises
    ------
    UsageError
        No data, no parameters, or arguments of other kinds. What is wrong with the network itself is a finding, also
        that it fails.
    """
    trained_by: Optimizer | None = as_one(optimizer)
    _check(model, trained_by, step, steps, batch_size, seconds, seed)
    first = next(model.parameters())
    patient_loss = Loss(loss)
    stages: list[StageRecord] = []
    with isolated_randomness(seed), warnings.catch_warnings():
        # A scheduler misses the step function that it put into the original optimiser.
        warnings.filterwarnings("ignore", message=".*(Seems like `optimizer.step|Detected call of `lr_scheduler.step)")
        batches, epoch = gather(loader, _MORE, first.device, first.dtype, seed=seed, size=batch_size)
        patient = Patient(model, batches, patient_loss, trained_by, step, epoch)
        patient.repeats, patient.stacks = repeats_by_design(loader), stacks_examples(loader)
        name_targets(patient)
        fit_loss(patient)
        examination = _Examination(patient, steps, seconds, thorough, seed, stages)
        try:
            findings, signals = examination.all()
            told = signals.told(thorough)
        except ModelError as error:
            return _failed(error, model, stages, seed)
    return _diagnosis(findings, signals, told, stages, seed)


class _Examination:
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
        with self._stage("wiring and rules"):
            rules = (settings, wiring, function, data, pictures, targets, loss_rules, counting, start, architecture)
            suspicions = [one for rule in rules for one in rule(chart)]
            suspicions += running(chart, signals)
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


def _check(model: Any, optimizer: Any, step: Any, steps: Any, batch_size: Any, seconds: Any, seed: Any) -> None:
    if not isinstance(model, nn.Module):
        raise UsageError(f"the doctor examines an nn.Module, not a {type(model).__name__}")
    if isinstance(model, torch.jit.ScriptModule):
        raise UsageError("a scripted network cannot be watched; give the module that it was made from")
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in model.parameters()):
        raise UsageError("the network has lazy layers without weights; pass one batch through it first")
    if all(p.device.type == "meta" for p in model.parameters()) and any(True for _ in model.parameters()):
        raise UsageError("the network lies on the meta device and holds no numbers; build it on cpu or cuda")
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise UsageError(
            f"optimizer must be a torch.optim.Optimizer, not a {type(optimizer).__name__}; for example "
            "torch.optim.Adam(model.parameters(), lr=1e-3)"
        )
    if step is not None and not callable(step):
        raise UsageError(f"step must be a function of (model, batch, optimizer), not a {type(step).__name__}")
    if not any(True for _ in model.parameters()):
        raise UsageError("the network has no parameters, so there is nothing to train")
    for name, value in (("steps", steps), ("batch_size", batch_size)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise UsageError(f"{name} must be a whole number from 1, not {value!r}")
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise UsageError(f"the seed must be a whole number, not {seed!r}")
    if isinstance(seconds, bool) or not isinstance(seconds, Real) or not 0 < float(seconds) < math.inf:
        raise UsageError(f"seconds must be a number above 0, not {seconds!r}")


def _failed(error: OrographError, model: nn.Module, stages: list[StageRecord], seed: int) -> Diagnosis:
    """A network that cannot run is diagnosed by that."""
    devices = Counter(str(parameter.device) for parameter in model.parameters())
    apart = Finding(
        id="W08",
        title="parameters lie on several devices",
        severity="critical",
        confidence=0.9,
        cause=", ".join(f"{counted(count, 'parameter')} on {device}" for device, count in devices.items()),
        prescription="bring them together, or move the data along in forward()",
        code=f"model.to({str(next(model.parameters()).device)!r})",
        explains=("W11",),
    )
    finding = Finding(
        id="W11",
        title="the network or its loss fails on the first batch",
        severity="critical",
        confidence=1.0,
        cause=str(error),
        prescription="mend this first; everything else comes after it",
        stage=1,
    )
    findings = (apart, finding) if len(devices) > 1 else (finding,)
    return Diagnosis(findings=findings, verdict="not run", stages=tuple(stages), provenance=_provenance(seed, {}))


def _diagnosis(
    findings: list[Finding], signals: Signals, told: tuple[Signal, ...], stages: list[StageRecord], seed: int
) -> Diagnosis:
    chart = signals.chart
    run = chart.run
    verdict: Verdict = "not run"
    if run is not None and (run.losses or run.error):
        verdict = "trains" if chart.trains else "does not train" if chart.fails else "unclear"
    sizes = {} if run is None else update_sizes(run)
    parameters = tuple(
        ParameterReading(**{**vars(one), "update_ratio": sizes.get(one.parameter, float("nan"))})
        for one in chart.probe.parameters
    )
    return Diagnosis(
        findings=tuple(findings),
        verdict=verdict,
        stages=tuple(stages),
        task=chart.probe.task.words,
        loss=np.array([] if run is None else run.losses, dtype=np.float64),
        layers=tuple(chart.probe.layers),
        parameters=parameters,
        activations=None if run is None else run.series.histograms("outputs"),
        gradients=None if run is None else run.series.histograms("gradients"),
        signals=told,
        rates=vars(signals).get("rates"),
        provenance=_provenance(seed, {"steps": 0 if run is None else len(run.losses)}),
    )


def _provenance(seed: int, options: dict[str, Any]) -> Provenance:
    return Provenance(method="doctor", seeds={"seed": seed}, options={**options, "thresholds": version()})
