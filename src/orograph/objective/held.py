"""The examples of an objective as batches on its device, made once for each way of holding them.

Objectives that differ only in other settings share them. Of each kind the last one used is kept, so that a second way
takes the first one's memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

from orograph.data import Examples
from orograph.objective.batches import calibration_subset, hold
from orograph.objective.settings import Settings

T = TypeVar("T")


class Held:
    """``split`` to measure heights on, and ``calibration`` to estimate batch-norm statistics from (or None)."""

    def __init__(self, split: Examples, calibration: Examples | None, device: torch.device) -> None:
        self.split = split
        self.calibration = calibration
        self.device = device
        self._kept: dict[str, tuple[Any, Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}}

    def heights(self, settings: Settings, fitting: Callable[[Any], int]) -> list[Any]:
        """The batches to measure on. ``fitting`` finds their size from a batch of few, where that is free."""
        layout = _layout(settings)
        size = settings.batch_size
        if settings.fit_batch and settings.batchnorm != "batch":
            few = hold(self.split.head(2), settings, self.device)[0]
            size = self._once("size", (*layout, settings.precision, size), lambda: fitting(few))
        seed = settings.seed if settings.tolerance else None
        return self._once(
            "heights",
            (*layout, seed, size),
            lambda: hold(self.split, settings, self.device, shuffle_seed=seed, size=size),
        )

    def calibrating(self, settings: Settings, *, other: bool) -> list[Any]:
        """The batches to estimate statistics from."""
        way = (*_layout(settings), settings.batch_size, *_subset(settings), other)
        chosen = self.chosen(settings, other=other)
        return self._once("calibrating", way, lambda: hold(chosen, settings, self.device))

    def chosen(self, settings: Settings, *, other: bool) -> Examples:
        """The capped subset of the calibration examples; ``other`` is a second one."""
        whole = self.calibration
        assert whole is not None
        way = (*_subset(settings), other)
        return self._once("chosen", way, lambda: calibration_subset(whole, settings, other=other))

    def has_choice(self, settings: Settings) -> bool:
        """Whether the subset could have been another one."""
        whole = self.calibration
        if settings.batchnorm != "recalibrate" or whole is None or whole.kind == "batches":
            return False
        return len(whole) > settings.calibration_examples

    def _once(self, kind: str, way: Any, make: Callable[[], T]) -> T:
        if kind not in self._kept or self._kept[kind][0] != way:
            self._kept.pop(kind, None)  # its memory first
            self._kept[kind] = (way, make())
        return cast(T, self._kept[kind][1])


def _layout(settings: Settings) -> tuple[bool, bool]:
    return settings.precision == "float64", settings.channels_last


def _subset(settings: Settings) -> tuple[int, int]:
    return settings.calibration_examples, settings.seed
