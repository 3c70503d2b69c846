"""The page of a diagnosis: findings on top in plain words, then what the layers and gradients did."""

from __future__ import annotations

import math

from orograph.report.figures import reading
from orograph.results import Diagnosis, Finding, Panel, Result, Section, StudyResult, Table

_HEADLINES = {
    "trains": "The network trains as it is",
    "does not train": "The network does not train as it is",
    "unclear": "In a short run it was not seen whether the network trains",
    "not run": "The network was not trained",
}
_OUTCOMES = {
    "verified": "Tried on a copy, it helped",
    "no effect": "Tried on a copy, it changed little by itself",
    "made worse": "Tried on a copy, it made things worse",
    "not tried": "It was not tried on a copy",
}


def page_of(result: Diagnosis) -> StudyResult:
    """The diagnosis as a page without claims."""
    count = len(result.findings)
    told = "nothing to report" if not count else f"{count} finding{'s' * (count > 1)}, root causes first"
    return StudyResult(
        provenance=result.provenance,
        study="Diagnosis",
        headline=f"{_HEADLINES[result.verdict]}: {told}.",
        claims=(),
        sections=(
            *(_finding(number, one) for number, one in enumerate(result.findings, start=1)),
            *_training(result),
            *_tables(result),
        ),
        results=_results(result),
    )


def _finding(number: int, one: Finding) -> Section:
    trial = one.trial
    tried = f"{_OUTCOMES[trial.outcome]}."
    if trial.outcome != "not tried":
        tried = f"{_OUTCOMES[trial.outcome]}: {trial.measure} {trial.before:.3g} before, {trial.after:.3g} with it."
    place = f" Look at {one.where}." if one.where else ""
    evidence = "\n".join(f"· {item}" for item in one.evidence)
    parts = [
        f"{one.severity.capitalize()}, {one.confidence:.0%} sure ({one.id}).{place}",
        f"Why: {one.cause}.",
        f"What to do: {one.prescription}. {tried}",
    ]
    if evidence:
        parts.append(f"The numbers behind it:\n{evidence}")
    if one.limits:
        parts.append(f"It would be wrong in this case: {one.limits}.")
    return Section(f"{number}. {one.title[:1].upper()}{one.title[1:]}", "\n\n".join(parts), code=one.code)


def _training(result: Diagnosis) -> tuple[Section, ...]:
    panels = []
    if len(result.loss):
        panels.append(Panel("loss", "The loss, step by step", reading(result)))
    if result.activations is not None:
        panels.append(Panel("activations", "What each layer puts out, over the steps", reading(result.activations)))
    if result.gradients is not None:
        panels.append(Panel("gradients", "The gradient of each parameter, over the steps", reading(result.gradients)))
    if result.rates is not None:
        panels.append(Panel("rates", "The loss while the learning rate rises", reading(result.rates)))
    if not panels:
        return ()
    return (Section("How it went", "The user's own steps, on a copy of the network.", tuple(panels)),)


def _results(result: Diagnosis) -> dict[str, Result]:
    found: dict[str, Result] = {"loss": result} if len(result.loss) else {}
    if result.activations is not None:
        found["activations"] = result.activations
    if result.gradients is not None:
        found["gradients"] = result.gradients
    if result.rates is not None:
        found["rates"] = result.rates
    return found


def _tables(result: Diagnosis) -> tuple[Section, ...]:
    tables = []
    if result.signals:
        told = tuple((one.what, one.value, one.usual, one.reading) for one in result.signals)
        tables.append(Table("Measurements", ("what", "value", "usual", "reading"), told))
    if result.layers:
        rows = tuple(
            (one.layer or "the network", one.kind, one.mean, one.std, one.zeros, one.dead, one.saturated, one.between,
             one.gradient_rms)
            for one in result.layers
        )  # fmt: skip
        columns = ("layer", "kind", "mean", "standard deviation", "zeros", "dead units", "saturated",
                   "between examples", "gradient (rms)")  # fmt: skip
        caption = "Shares from 0 to 1; between examples: how much of the spread depends on the input."
        tables.append(Table("Layers on the first batch, as they run", columns, rows, caption))
    if result.parameters:
        rows_ = tuple(
            (one.parameter, one.size, one.norm, one.he_ratio, one.gradient_norm, one.update_ratio)
            for one in result.parameters
        )
        columns_ = ("parameter", "numbers", "norm", "deviation over He's", "gradient norm", "change in a step")
        tables.append(
            Table(
                "Parameters", columns_, rows_, "Change in a step: relative to the norm, median; 0.001 to 0.02 is usual."
            )
        )
    if result.stages:
        spent = tuple((stage.name, stage.seconds) for stage in result.stages if not math.isnan(stage.seconds))
        tables.append(Table("The examination", ("stage", "seconds"), spent))
    return (Section("Layer by layer", "", (), tuple(tables)),) if tables else ()
