"""The page of a diagnosis: findings on top in plain words, then what the loss, layers and gradients did."""

from __future__ import annotations

import math
from typing import Literal

from orograph.report.readings import reading
from orograph.report.tables import known, without_empty_columns
from orograph.results import Diagnosis, Panel, Result, Section, StudyResult, Table

_LONG = 16  # rows of a table
_HEADLINES = {
    "trains": "The network trains as it is",
    "does not train": "The network does not train as it is",
    "unclear": "In a short run it was not seen whether the network trains",
    "not run": "The network was not trained",
}


def page_of(result: Diagnosis) -> StudyResult:
    """The diagnosis as a page without claims; its findings are told by :mod:`orograph.report.findings`."""
    name = result.provenance.model
    sections = (_course(result), _layers(result), _measurements(result))
    return StudyResult(
        provenance=result.provenance,
        study=f"Diagnosis of {name}" if name else "Diagnosis",
        headline=_headline(result),
        claims=(),
        sections=tuple(section for section in sections if section.panels or section.tables),
        results=_results(result),
    )


def _headline(result: Diagnosis) -> str:
    """The verdict, and what is wrong in the first place."""
    verdict, count = _HEADLINES[result.verdict], len(result.findings)
    if not count:
        return f"{verdict}: nothing to report."
    first = result.findings[0].title
    if not result.alarms:
        return f"{verdict}. Noticed: {first}{f', and {count - 1} more' * (count > 1)}."
    if result.verdict == "trains":
        verdict += ", but something is wrong"
    return f"{verdict}: {first}." + f" It is the first of {count} findings, root causes first." * (count > 1)


def _course(result: Diagnosis) -> Section:
    panels = []
    if len(result.loss):
        panels.append(Panel("loss", "The loss, step by step", reading(result.curve)))
    if result.rates is not None:
        panels.append(Panel("rates", "The loss while the learning rate rises", reading(result.rates)))
    return Section("How the loss went", _steps(result), tuple(panels))


def _steps(result: Diagnosis) -> str:
    """Whose steps they are, and how many of those that were asked for."""
    if result.provenance.method == "monitor":
        return "The steps of your own loop, as the monitor saw them."
    asked, done = result.provenance.options.get("steps"), len(result.loss)
    whose = "Your own training steps, on a copy of the network"
    if not isinstance(asked, int) or asked == done or not done:
        return f"{whose}."
    if done > asked:
        return f"{whose}: {done}, as after the {asked} that were asked for it was too early to tell."
    why = "then the numbers broke down" if result.curve.broken is not None else "then it ended"
    return f"{whose}: {done} of the {asked} that were asked for, {why}."


def _layers(result: Diagnosis) -> Section:
    panels, tables = [], []
    if result.activations is not None:
        panels.append(Panel("activations", "What each layer puts out, over the steps", reading(result.activations)))
    if result.gradients is not None:
        panels.append(Panel("gradients", "The gradient of each parameter, over the steps", reading(result.gradients)))
    if result.layers:
        rows = tuple(
            (one.layer or "the network", one.kind, one.mean, one.std, one.zeros, one.dead, one.saturated, one.between,
             one.gradient_rms)
            for one in result.layers
        )  # fmt: skip
        columns = ("layer", "kind", "mean", "standard deviation", "zeros", "dead units", "saturated",
                   "between examples", "gradient (rms)")  # fmt: skip
        caption = "Shares from 0 to 1; between examples: how much of the spread depends on the input."
        tables.append(Table("Layers on the first batch, as they run", columns, rows, caption, _form(rows)))
    if result.parameters:
        rows_ = tuple(
            (one.parameter, one.size, one.norm, known(one.he_ratio), one.gradient_norm, known(one.update_ratio))
            for one in result.parameters
        )
        columns_ = ("parameter", "numbers", "norm", "deviation over He's", "gradient norm", "change in a step")
        caption = "Change in a step: relative to the norm, median; 0.001 to 0.02 is usual."
        tables.append(Table("Parameters", columns_, rows_, caption, _form(rows_)))
    return Section("Layer by layer", "", tuple(panels), tuple(tables))


def _form(rows: tuple[object, ...]) -> Literal["sorted", "folded"]:
    """A long table, of a deep network, is folded: what comes after it would be far away."""
    return "folded" if len(rows) > _LONG else "sorted"


def _measurements(result: Diagnosis) -> Section:
    """Single numbers, and what the examination itself did."""
    tables = []
    if result.signals:
        rows = tuple((one.what, known(one.value), one.usual, one.reading) for one in result.signals)
        columns = ("what", "measured", "usual", "reading")
        tables.append(without_empty_columns(Table("Measurements", columns, rows, form="brief")))
    if result.stages:
        stages = tuple(
            (stage.name, None if math.isnan(stage.seconds) else _seconds(stage.seconds), stage.note)
            for stage in result.stages
        )
        tables.append(without_empty_columns(Table("Stages", ("stage", "time", "note"), stages, form="brief")))
    return Section("Measurements and stages" if result.signals else "The examination", "", (), tuple(tables))


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.005 else "less than 0.01 s"


def _results(result: Diagnosis) -> dict[str, Result]:
    found: dict[str, Result] = {"loss": result.curve} if len(result.loss) else {}
    parts = {"activations": result.activations, "gradients": result.gradients, "rates": result.rates}
    return found | {name: part for name, part in parts.items() if part is not None}
