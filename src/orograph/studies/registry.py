"""The studies by name. Imports no torch, so that ``orograph studies`` and ``--help`` answer at once."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from orograph.basics.errors import UsageError, nearest


@dataclass(frozen=True)
class Study:
    """Where a study lives: its options (a frozen dataclass) and its two functions.

    ``plan(options, data) -> list of Task`` and ``conclude(options, data, outcome, store) -> StudyResult``.
    """

    name: str
    title: str
    source: str
    options_at: str
    plan_at: str
    conclude_at: str

    @property
    def options(self) -> type[Any]:
        """The dataclass of the study's options."""
        return _load(self.options_at)  # type: ignore[no-any-return]

    def plan(self, *arguments: Any) -> Any:
        """The study's tasks."""
        return _load(self.plan_at)(*arguments)

    def conclude(self, *arguments: Any) -> Any:
        """The study's result."""
        return _load(self.conclude_at)(*arguments)


_STUDIES = {
    study.name: study
    for study in (
        Study(
            name="initial-values",
            title="Do different initial values lead to the same mountain?",
            source="ElasticDL issue 179 (2019)",
            options_at="orograph.studies.initial_values.options:InitialValues",
            plan_at="orograph.studies.initial_values.plan:plan",
            conclude_at="orograph.studies.initial_values.conclusion:conclude",
        ),
        Study(
            name="mode-connectivity",
            title="Are independent minima joined by paths of low loss?",
            source="Garipov et al. 2018 (mode connectivity); Ainsworth et al. 2023 (alignment)",
            options_at="orograph.studies.mode_connectivity.options:ModeConnectivity",
            plan_at="orograph.studies.mode_connectivity.plan:plan",
            conclude_at="orograph.studies.mode_connectivity.conclusion:conclude",
        ),
        Study(
            name="fast-ensembling",
            title="What is the best ensemble that one training budget buys?",
            source="Garipov et al. 2018 (fast geometric ensembling); Huang et al. 2017 (snapshots)",
            options_at="orograph.studies.fast_ensembling.options:FastEnsembling",
            plan_at="orograph.studies.fast_ensembling.plan:plan",
            conclude_at="orograph.studies.fast_ensembling.conclusion:conclude",
        ),
        Study(
            name="snapshot-ensembles",
            title="What does a cyclic learning rate buy within one training run?",
            source="Huang et al. 2017 (snapshot ensembles)",
            options_at="orograph.studies.snapshot_ensembles.options:SnapshotEnsembles",
            plan_at="orograph.studies.snapshot_ensembles.plan:plan",
            conclude_at="orograph.studies.snapshot_ensembles.conclusion:conclude",
        ),
        Study(
            name="worker-averaging",
            title="When may workers be averaged?",
            source="ElasticDL issue 179 (2019), its practical conclusion; Stich 2019 (local SGD)",
            options_at="orograph.studies.worker_averaging.options:WorkerAveraging",
            plan_at="orograph.studies.worker_averaging.plan:plan",
            conclude_at="orograph.studies.worker_averaging.conclusion:conclude",
        ),
        Study(
            name="power-laws",
            title="How does the loss fall with more networks and wider ones, and how best to split a memory budget?",
            source="Lobacheva et al. 2020 (power laws in deep ensembles)",
            options_at="orograph.studies.power_laws.options:PowerLaws",
            plan_at="orograph.studies.power_laws.plan:plan",
            conclude_at="orograph.studies.power_laws.conclusion:conclude",
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


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
