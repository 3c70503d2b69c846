"""Writes a report: everything (styles, script, plotly, data, still pictures) inside one HTML file.

Plotly's script is 4.7 MB; it is stored gzipped and inflated by the browser's own ``DecompressionStream`` when the
first figure comes near the window. Where that does not exist the page shows the still pictures and says so.
"""

from __future__ import annotations

import base64
import gzip
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from orograph._version import __version__
from orograph.basics.errors import OrographError
from orograph.basics.files import write_atomic
from orograph.figures.relief import number
from orograph.report.banner import contour_banner
from orograph.report.diagnosis import page_of
from orograph.report.figures import drawn
from orograph.report.findings import cards, heading
from orograph.report.readings import reading
from orograph.report.record import groups
from orograph.report.tables import told
from orograph.results import Claim, Diagnosis, Panel, Result, Section, StudyResult

VERDICTS = ("reproduced", "not reproduced", "inconclusive")


def write(result: Result, path: str | Path) -> Path:
    """Write the report of a study, or of any single result, to ``path`` in one step; returns the path.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    path = Path(path)
    write_atomic(path, render(result))
    return path


def render(result: Result) -> str:
    """The report as the text of one self-contained HTML file."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    findings: dict[str, Any] = {"cards": []}
    if isinstance(result, Diagnosis):
        study, findings = page_of(result), {"title": heading(result), "cards": cards(result)}
    else:
        study = result if isinstance(result, StudyResult) else _alone(result)
    environment = Environment(
        loader=PackageLoader("orograph.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = [_section(study, section, index) for index, section in enumerate(study.sections)]
    return environment.get_template("page.html.jinja").render(
        study=study,
        banner=contour_banner(study.results.values(), study.study),
        claims=[_claim(claim) for claim in study.claims],
        tally=_tally(study.claims),
        verdicts=[(verdict, sum(claim.verdict == verdict for claim in study.claims)) for verdict in VERDICTS],
        findings=findings,
        sections=sections,
        figures=any(panel["figure"] for section in sections for panel in section["panels"]),
        provenance=groups(study.provenance),
        citation=study.cite(),
        version=__version__,
        style=_asset("style.css"),
        script=_asset("page.js"),
        plotly=_plotly(),
    )


def _alone(result: Result) -> StudyResult:
    """A page for one result: a study without claims, with one section."""
    kind = type(result).title
    title = kind[:1].upper() + kind[1:]
    name = getattr(result, "name", "") or _listed(_names(result))
    panel = Panel("result", f"{title} {name}".strip(), reading(result))
    return StudyResult(
        provenance=result.provenance,
        study=f"{title} {name}".strip(),
        headline="",
        claims=(),
        sections=(Section("What was measured", result.summary(), (panel,)),),
        results={"result": result},
    )


def _names(result: Result) -> tuple[str, ...]:
    """The networks that a single result is about."""
    if hasattr(result, "names"):
        return tuple(result.names)
    return tuple(anchor.name for anchor in getattr(result, "anchors", ()))


def _listed(names: tuple[str, ...], most: int = 4) -> str:
    """The names, or the first ones and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _asset(name: str) -> Markup:
    return Markup(files("orograph.report").joinpath(name).read_text(encoding="utf-8"))  # noqa: S704  our own file


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()


def _claim(claim: Claim) -> dict[str, Any]:
    measured = "not measured" if claim.measured is None else f"{number(claim.measured)} {claim.unit}".strip()
    interval = f"95 % interval {number(claim.interval[0])} to {number(claim.interval[1])}" if claim.interval else ""
    return {**asdict(claim), "measured": measured, "interval": interval, "reason": _reason(claim)}


def _reason(claim: Claim) -> str:
    """Why the rule gave this verdict: where the interval lies to the rule's bound."""
    if claim.verdict == "inconclusive" and claim.interval is None and "interval" not in claim.rule:
        return "Inconclusive because what was measured lies between the rule's bounds."
    if claim.verdict == "inconclusive" and claim.interval is None:
        return "Inconclusive because there are too few measurements for an interval."
    if claim.verdict == "inconclusive":
        return "Inconclusive because the interval reaches over the rule's bound: it leaves both answers open."
    if claim.verdict == "not reproduced" and claim.interval is not None:
        return "Not reproduced because the whole interval lies on the other side of the rule's bound."
    return ""


def _tally(claims: tuple[Claim, ...]) -> str:
    """The verdicts in one sentence."""
    if not claims:
        return ""
    counts = [(sum(claim.verdict == verdict for claim in claims), verdict) for verdict in VERDICTS]
    parts = [f"{count} {verdict}" for count, verdict in counts if count]
    return f"{len(claims)} published claim{'s' if len(claims) > 1 else ''} tested: {', '.join(parts)}."


def _section(study: StudyResult, section: Section, index: int) -> dict[str, Any]:
    return {
        "id": f"section-{index + 1}",
        "title": section.title,
        "code": section.code,
        "paragraphs": [part.strip() for part in section.text.split("\n\n") if part.strip()],
        "panels": [_panel(study, panel, f"figure-{index + 1}-{k + 1}") for k, panel in enumerate(section.panels)],
        "tables": [told(table) for table in section.tables],
    }


def _panel(study: StudyResult, panel: Panel, identity: str) -> dict[str, Any]:
    """A panel with its figure, or with the reason why there is none: one missing result must not cost the page."""
    result = study.results.get(panel.result)
    figure, missing = None, ""
    if result is None:
        missing = f"This figure is missing: the study holds no result named {panel.result!r}."
    else:
        try:
            figure = drawn(result)
        except OrographError as error:
            missing = f"This figure could not be drawn: {error}."
    return {"id": identity, "title": panel.title, "reading": panel.reading, "figure": figure, "missing": missing}
