"""The studies by name. Imports no torch, so that ``orograph studies`` and ``--help`` answer at once."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from orograph.basics.errors import UsageError, nearest


@dataclass(frozen=True)
class Study:
    """Where a study lives: a package of this one, named like it, with modules ``options``, ``plan`` and ``conclusion``.

    ``options_name`` is the frozen dataclass of its options; ``plan(options, subject)`` gives a list of tasks, and
    ``conclude(options, subject, outcome)`` a StudyResult.
    """

    name: str
    title: str
    source: str
    options_name: str

    @property
    def options(self) -> type[Any]:
        """The dataclass of the study's options."""
        return self._part("options", self.options_name)  # type: ignore[no-any-return]

    def plan(self, *arguments: Any) -> Any:
        """The study's tasks."""
        return self._part("plan", "plan")(*arguments)

    def conclude(self, *arguments: Any) -> Any:
        """The study's result."""
        return self._part("conclusion", "conclude")(*arguments)

    def _part(self, module: str, name: str) -> Any:
        return getattr(importlib.import_module(f"orograph.studies.{self.name.replace('-', '_')}.{module}"), name)


_STUDIES = {
    study.name: study
    for study in (
        Study(
            name="initial-values",
            title="Do different initial values lead to the same mountain?",
            source="ElasticDL issue 179 (2019)",
            options_name="InitialValues",
        ),
        Study(
            name="mode-connectivity",
            title="Are independent minima joined by paths of low loss?",
            source="Garipov et al. 2018 (mode connectivity); Ainsworth et al. 2023 (alignment)",
            options_name="ModeConnectivity",
        ),
        Study(
            name="fast-ensembling",
            title="What is the best ensemble that one training budget buys?",
            source="Garipov et al. 2018 (fast geometric ensembling); Huang et al. 2017 (snapshots)",
            options_name="FastEnsembling",
        ),
        Study(
            name="snapshot-ensembles",
            title="What does a cyclic learning rate buy within one training run?",
            source="Huang et al. 2017 (snapshot ensembles)",
            options_name="SnapshotEnsembles",
        ),
        Study(
            name="worker-averaging",
            title="When may workers be averaged?",
            source="ElasticDL issue 179 (2019), its practical conclusion; Stich 2019 (local SGD)",
            options_name="WorkerAveraging",
        ),
        Study(
            name="power-laws",
            title="How does the loss fall with more networks and wider ones, and how best to split a memory budget?",
            source="Lobacheva et al. 2020 (power laws in deep ensembles)",
            options_name="PowerLaws",
        ),
        Study(
            name="gradinit",
            title="Do learned initial scales help more than the compute that they cost, or than one global scale?",
            source="Zhu et al. 2021 (GradInit), Table 3; Dauphin and Schoenholz 2019 (MetaInit)",
            options_name="GradInit",
        ),
        Study(
            name="transformer-warmup",
            title="Can a post-norm transformer be trained without warm-up, if its initial scales are learned?",
            source="Zhu et al. 2021 (GradInit), on translation; Vaswani et al. 2017 (warm-up)",
            options_name="TransformerWarmup",
        ),
        Study(
            name="vgg-from-scratch",
            title="Which initial values let deep VGGs train from scratch, and which call everything one class?",
            source="Document 003, a write-up of training VGG from scratch; Simonyan & Zisserman 2015",
            options_name="VggFromScratch",
        ),
    )
}
DEFAULT = "initial-values"


def known() -> tuple[Study, ...]:
    """All studies."""
    return tuple(_STUDIES.values())


def find(name: str) -> Study:
    """A study by name. Raises UsageError with the nearest name."""
    if name not in _STUDIES:
        raise UsageError(f"unknown study {name!r}{nearest(name, _STUDIES)}; see: orograph studies")
    return _STUDIES[name]
