"""What every study's conclusion needs: its results by task, claims, sections in words, a headline, and provenance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from orograph import results
from orograph.basics.keys import plain
from orograph.execute import Outcome
from orograph.results import (
    Claim,
    Cost,
    Panel,
    Predictions,
    Provenance,
    Result,
    Run,
    Section,
    StudyResult,
    Table,
    Verdict,
    Workers,
    load,
)
from orograph.studies.subject import Subject
from orograph.studies.tasks import load_run

_Kind = TypeVar("_Kind", bound=Result)


class Conclusion(ABC):
    """Gathers claims and sections: :meth:`write` says what they are, :meth:`finding` what was found."""

    study: ClassVar[str]
    citations: ClassVar[tuple[str, ...]]

    def __init__(self, options: Any, subject: Subject, outcome: Outcome) -> None:
        self.options, self.subject, self.outcome = options, subject, outcome
        self.shown: dict[str, Result] = {}
        self.claims: list[Claim] = []
        self.sections: list[Section] = []

    @abstractmethod
    def write(self) -> None:
        """Decide every claim and write every section."""

    @abstractmethod
    def finding(self) -> str:
        """What was found of the study's main question, in a sentence."""

    @abstractmethod
    def what(self) -> str:
        """What was studied, e.g. "4 replicas of convnet on digits"."""

    def notes(self) -> tuple[str, ...]:
        """What a reader should know besides."""
        return ()

    def result(self) -> StudyResult:
        """The study's result."""
        self.write()
        return StudyResult(
            study=self.study,
            headline=self.headline(),
            claims=tuple(self.claims),
            sections=tuple(self.sections),
            results=self.shown,
            notes=(*self.notes(), *self.remarks()),
            provenance=self.provenance(),
        )

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The verdict of each claim so far, by its id."""
        return {claim.id: claim.verdict for claim in self.claims}

    @cached_property
    def hardly_trained(self) -> float | None:
        """The median test accuracy, if it is nearer to a guess's than to 1; else None."""
        each = [value for record in self.records for value in record.accuracies if np.isfinite(value)]
        right = float(np.median(each)) if each else 1.0
        return right if right < (1 + 1 / max(self.subject.classes, 1)) / 2 else None

    def remarks(self) -> tuple[str, ...]:
        """What would make any verdict worth little."""
        found = []
        if self.subject.unseen_classes:
            names = ", ".join(self.subject.unseen_classes)
            found.append(f"Only the test set has examples of {names}; nothing can learn them, and errors count them.")
        if self.hardly_trained is not None:
            found.append(
                f"Half of the networks get at most {self.hardly_trained:.0%} of the test examples right (a guess: "
                f"{1 / max(self.subject.classes, 1):.0%}): verdicts over networks that are hardly trained say little "
                "of those that are; train for more epochs."
            )
        return tuple(found)

    def headline(self) -> str:
        """The finding, and how many claims came out how."""
        counts = dict.fromkeys(("reproduced", "not reproduced", "inconclusive"), 0)
        for claim in self.claims:
            counts[claim.verdict] += 1
        words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        opening = f"{self.finding()} " if self.finding() else ""
        if self.hardly_trained is not None:
            opening = f"Of networks that are hardly trained: {opening}"
        return f"{opening}{self.what()}; of {len(self.claims)} published claims {words}."

    def section(
        self,
        title: str,
        text: str,
        panels: Sequence[str] = (),
        readings: Sequence[str] = (),
        tables: tuple[Table, ...] = (),
    ) -> None:
        """Add a section that shows the results of the tasks ``panels``, each with how to read it."""
        for name in panels:
            self.shown[name] = self.result_of(name)
        drawn = tuple(Panel(name, panel_title(name), text) for name, text in zip(panels, readings, strict=True))
        self.sections.append(Section(title, text, drawn, tables))

    def run(self, task: str) -> Run:
        """The record of a training task."""
        return load_run(self.outcome.files[task])

    def find(self, task: str, kind: type[_Kind]) -> _Kind:
        """The result of a task."""
        return kind.load(self.outcome.files[task]["result"])

    def result_of(self, task: str) -> Result:
        """The result of a task, of whatever kind, read once; or what the conclusion has put there itself."""
        if task not in self.shown:
            files: dict[str, Path] = self.outcome.files[task]
            found = load(files["run"] if "run" in files else files["result"])
            # Control points are as large as networks, and no figure shows them.
            self.shown[task] = replace(found, control=None) if isinstance(found, results.Path) else found
        return self.shown[task]

    @cached_property
    def records(self) -> list[_Record]:
        """The cost of every task and the accuracies it found; the rest is read where it is needed."""
        return [
            _Record.of(load(files["run"] if "run" in files else files["result"]))
            for files in self.outcome.files.values()
        ]

    def provenance(self) -> Provenance:
        """The options, and the cost of all tasks together."""
        return Provenance(
            method=f"study {self.study}",
            options=plain(asdict(self.options)),
            seeds={"seed": self.options.seed},
            model=self.options.model,
            data=self.options.data,
            fingerprint=self.subject.data["fingerprint"],
            precision=self.options.precision,
            device=self.subject.device,
            threads=self.options.threads,
            citations=self.citations,
            cost=sum((record.cost for record in self.records), start=Cost()),
        )


@dataclass(frozen=True)
class _Record:
    """Of one task."""

    cost: Cost
    accuracies: tuple[float, ...]

    @classmethod
    def of(cls, found: Result) -> _Record:
        """Test accuracies are those at the end, one for each network."""
        accuracies: Sequence[float] = ()
        if isinstance(found, Run):
            accuracies = (last(found.test_accuracy),)
        elif isinstance(found, Predictions):
            accuracies = found.accuracy.tolist()
        elif isinstance(found, Workers):
            accuracies = (1 - found.worker_error[-1]).tolist()
        return cls(found.provenance.cost, tuple(accuracies))


def last(values: NDArray[np.float64] | None) -> float:
    """The last of a column, NaN where it was not measured."""
    return float("nan") if values is None else float(values[-1])


def panel_title(task: str) -> str:
    """``part: line A-B`` as ``Line A-B (part)``."""
    part, colon, rest = task.partition(": ")
    words = f"{rest} ({part})" if colon else part
    return words[:1].upper() + words[1:]
