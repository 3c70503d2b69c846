"""What a study ends in: claims with verdicts, tables, and the figures that show them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from orograph.results.result import Result, record

Verdict = Literal["reproduced", "not reproduced", "inconclusive"]


@record
@dataclass(frozen=True)
class Claim:
    """One published statement and what was found of it here.

    ``published`` is the source's own figure in words, ``measured`` ours (None where it could not be measured, with the
    reason in ``note``), ``interval`` its 95 % interval over replicas or pairs, ``rule`` the stated rule that turns the
    measured figure into the ``verdict``.
    """

    id: str
    statement: str
    published: str
    measured: float | None
    interval: tuple[float, float] | None
    unit: str
    rule: str
    verdict: Verdict
    note: str = ""


@record
@dataclass(frozen=True)
class Table:
    """Rows of text and numbers under column titles.

    ``form``: a reader may sort the rows; "brief" ones are to be read as they stand, and become blocks on a phone;
    "folded" is a sorted one that opens when it is asked for.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    caption: str = ""
    form: Literal["sorted", "brief", "folded"] = "sorted"


@record
@dataclass(frozen=True)
class Panel:
    """One figure of a report: which result (a key of ``StudyResult.results``), its title and how to read it."""

    result: str
    title: str
    reading: str


@record
@dataclass(frozen=True)
class Section:
    """A part of the report: a question, what was found, and the figures and tables that show it; ``code`` to copy."""

    title: str
    text: str
    panels: tuple[Panel, ...] = ()
    tables: tuple[Table, ...] = ()
    code: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class StudyResult(Result):
    """The outcome of a study: its claims, and everything its report shows.

    ``heading`` and ``source`` say what is asked and by whom it was published. ``results`` holds every result that a
    panel shows, by name. ``report`` is the path of the page, once written.
    """

    study: str
    headline: str
    claims: tuple[Claim, ...]
    sections: tuple[Section, ...] = ()
    results: dict[str, Result] = field(default_factory=dict)
    heading: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()
    report: str | None = field(default=None, metadata={"compared": False})

    title: ClassVar[str] = "study"

    def summary(self) -> str:
        lines = [self.headline] if self.headline else []
        for claim in self.claims:
            measured = "not measured" if claim.measured is None else f"{claim.measured:.4g} {claim.unit}".strip()
            if claim.interval:
                measured += f" [{claim.interval[0]:.4g}, {claim.interval[1]:.4g}]"
            lines.append(f"{claim.verdict:>15}  {claim.statement} Measured: {measured}.")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints: ``study``, ``headline``, ``claims``, ``cost``, ``report``."""
        from orograph.basics.keys import plain

        return {
            "study": self.study,
            "headline": self.headline,
            "claims": plain(self.claims),
            "cost": plain(self.provenance.cost),
            "notes": list(self.notes),
            "report": self.report,
        }
