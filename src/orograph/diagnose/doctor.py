"""``doctor``: why a network does not train, with evidence, and a change that was seen to help.

Stages: 0 the wiring is read; 1 one batch goes through a copy; 2 a copy is trained by the user's own steps; 3 each
prescription is tried on a copy with the same batches and seeds. The user's objects come out as they went in.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn
from torch.optim import Optimizer

from orograph.basics.errors import ModelError, OrographError
from orograph.basics.seeds import isolated_randomness
from orograph.basics.words import counted
from orograph.diagnose.arguments import check_examined
from orograph.diagnose.calling_step import Step
from orograph.diagnose.circumstances import recorded
from orograph.diagnose.examination import MORE, STEPS, Examination
from orograph.diagnose.loading import gather, repeats_by_design, stacks_examples
from orograph.diagnose.losses import Loss
from orograph.diagnose.naming import name_targets
from orograph.diagnose.patient import Patient
from orograph.diagnose.rules.run import update_sizes
from orograph.diagnose.signals import Signals
from orograph.diagnose.step_loss import fit_loss
from orograph.diagnose.thresholds import version
from orograph.diagnose.together import Optimizers, as_one
from orograph.results.diagnosis import Diagnosis, Finding, ParameterReading, StageRecord, Verdict
from orograph.results.provenance import Provenance
from orograph.results.signals import Signal


@recorded
def doctor(
    model: nn.Module,
    loader: Any,
    *,
    loss: str | nn.Module | Callable[..., Any] = "cross_entropy",
    optimizer: Optimizers | None = None,
    step: Step | None = None,
    steps: int = STEPS,
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
    check_examined(model, trained_by, step, steps, batch_size, seconds, seed)
    first = next(model.parameters())
    patient_loss = Loss(loss)
    stages: list[StageRecord] = []
    with isolated_randomness(seed), warnings.catch_warnings():
        # A scheduler misses the step function that it put into the original optimiser.
        warnings.filterwarnings("ignore", message=".*(Seems like `optimizer.step|Detected call of `lr_scheduler.step)")
        batches, epoch = gather(loader, MORE, first.device, first.dtype, seed=seed, size=batch_size)
        patient = Patient(model, batches, patient_loss, trained_by, step, epoch)
        patient.repeats, patient.stacks = repeats_by_design(loader), stacks_examples(loader)
        name_targets(patient)
        fit_loss(patient)
        examination = Examination(patient, steps, seconds, thorough, seed, stages)
        try:
            findings, signals = examination.all()
            told = signals.told(thorough)
        except ModelError as error:
            return _failed(error, model, stages, seed)
    return _diagnosis(findings, signals, told, stages, seed)


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
