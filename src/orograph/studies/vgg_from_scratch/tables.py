"""Tables: how every configuration came out, and what was drawn for each layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from orograph.results import Table
from orograph.studies.vgg_from_scratch.trial import FromScratch


def outcome_table(trials: Mapping[str, Sequence[FromScratch]], ending: Callable[[FromScratch], str]) -> Table:
    """A row for each configuration: endings of its runs, means over those that did not diverge."""
    rows: list[tuple[Any, ...]] = []
    for name, runs in trials.items():
        endings = [ending(run) for run in runs]
        rows.append(
            (
                name,
                ", ".join(f"{word} {endings.count(word)}" for word in dict.fromkeys(endings)),
                _mean([100 * run.accuracy for run in runs], ".1f"),
                _mean([run.top for run in runs], ".2f"),
                _mean([run.ratio for run in runs], ".2g"),
                _mean([run.floor for run in runs], ".1e"),
                _mean([_floor(run) for run in runs], ".1e"),
                _mean([_dead(run) for run in runs], ".2f"),
            )
        )
    columns = (
        "configuration", "runs", "test accuracy %", "share of one answer", "r of the logits",
        "weakest layer's largest gradient, start", "the same, early", "most dead units in a layer, early",
    )  # fmt: skip
    return Table("All configurations", columns, tuple(rows), "Means over seeds that have a figure; - where none has.")


def drawn_table(first: Mapping[str, FromScratch]) -> Table:
    """A row for each layer of one net, a column for each start: the standard deviation of what was drawn."""
    columns = ("layer", *first)
    rows = []
    for index, layer in enumerate(next(iter(first.values())).layers):
        cells = [f"{run.drawn[index]:.4f}{' (copied)' if layer in run.copied else ''}" for run in first.values()]
        rows.append((layer, *cells))
    return Table("Standard deviations of D's weights", columns, tuple(rows))


def _floor(run: FromScratch) -> float:
    return float(np.nanmin(run.early[1])) if np.isfinite(run.early[1]).any() else float("nan")


def _dead(run: FromScratch) -> float:
    return float(np.nanmax(run.early[2])) if np.isfinite(run.early[2]).any() else float("nan")


def _mean(values: Sequence[float], form: str) -> str:
    known = [value for value in values if np.isfinite(value)]
    return format(float(np.mean(known)), form) if known else "-"
