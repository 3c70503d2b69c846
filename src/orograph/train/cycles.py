r"""Learning rates that come back, and the steps at which a run then collects networks; all step by step.

Of a run of T steps with peak rate :math:`\eta` (the recipe's lr) and its ordinary schedule:

- :class:`Snapshots` (Huang et al. 2017): M cosine cycles of n steps, a network at the end of each,
  :math:`\alpha(t) = (\alpha_0 / 2) (\cos(\pi \,\mathrm{mod}(t - 1, n) / n) + 1)`. Where M does not divide T, the first
  cycles are one step longer.
- :class:`NoCycle` (their baseline): the ordinary schedule, networks at the same steps.
- :class:`FastGeometric` (Garipov et al. 2018): the ordinary schedule up to step :math:`s_0`, then triangles of c
  steps, with i counted from there and :math:`t = (\mathrm{mod}(i - 1, c) + 1) / c`:
  :math:`(1 - 2t) \alpha_1 + 2t \alpha_2` up to t = 1/2, :math:`(2 - 2t) \alpha_2 + (2t - 1) \alpha_1` after it.
  Networks are collected where the rate is lowest, in the middle of each triangle; n of them cost (n - 1/2) c steps,
  and the last one is the run's end.
- :class:`Averaging` (SWA, Izmailov et al. 2018): the rate falls to ``lr`` before the start, and stays; networks are
  collected once an epoch, their weights to be averaged.
- :class:`Stretch`: a part of a longer ordinary run, for workers that are averaged now and then.

The published codes change rates from epoch to epoch; these change from step to step.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from orograph.basics.errors import UsageError, nearest
from orograph.train.recipe import Recipe
from orograph.train.schedule import learning_rates

Rates = NDArray[np.float64]
_WATCHED = 8  # measurements of each cycle


@dataclass(frozen=True)
class Cycles(ABC):
    """A schedule of a whole run, and the steps after which it collects."""

    name: ClassVar[str]

    @abstractmethod
    def rates(self, recipe: Recipe, total: int, per_epoch: int) -> Rates:
        """(total,) the learning rate of each step."""

    @abstractmethod
    def collected(self, total: int, per_epoch: int) -> tuple[int, ...]:
        """The numbers of steps done when a network is collected, ascending."""

    def begin(self, total: int, per_epoch: int) -> int:
        """The number of steps done when the cycles begin; the whole run belongs to them unless a subclass says."""
        return 0

    def offset(self, per_epoch: int) -> int:
        """How many steps of a longer run went before, so that data order and random streams go on from there."""
        return 0

    def watched(self, total: int, per_epoch: int) -> set[int]:
        """Steps at which a run is measured: where cycles begin, where networks are collected, and 7 between."""
        corners = [self.begin(total, per_epoch), *self.collected(total, per_epoch)]
        between = (np.linspace(low, high, _WATCHED + 1) for low, high in pairwise(corners))
        return set(corners) | {round(step) for steps in between for step in steps}

    @staticmethod
    def from_dict(options: Mapping[str, Any]) -> Cycles:
        """The schedule of :meth:`to_dict`. Raises UsageError for an unknown one."""
        kinds = {kind.name: kind for kind in (Snapshots, NoCycle, FastGeometric, Averaging, Stretch)}
        chosen = {name: value for name, value in options.items() if name != "name"}
        if options["name"] not in kinds:
            raise UsageError(f"unknown cycles {options['name']!r}{nearest(options['name'], kinds)}")
        return kinds[options["name"]](**chosen)

    def to_dict(self) -> dict[str, Any]:
        """Name and options, as JSON types."""
        return {"name": self.name, **asdict(self)}


@dataclass(frozen=True)
class Snapshots(Cycles):
    """``cycles`` cosine cycles from the rate ``lr`` (None: the recipe's)."""

    cycles: int = 5
    lr: float | None = None

    name: ClassVar[str] = "snapshot"

    def __post_init__(self) -> None:
        _require_cycles(self.cycles)
        _require_rate("lr", self.lr)

    def rates(self, recipe: Recipe, total: int, per_epoch: int) -> Rates:
        high = recipe.lr if self.lr is None else self.lr
        lengths = cycle_lengths(total, self.cycles)
        return np.concatenate([high / 2 * (np.cos(math.pi * np.arange(n) / n) + 1) for n in lengths])

    def collected(self, total: int, per_epoch: int) -> tuple[int, ...]:
        return tuple(int(step) for step in np.cumsum(cycle_lengths(total, self.cycles)))


@dataclass(frozen=True)
class NoCycle(Cycles):
    """The recipe's own schedule; ``cycles`` networks at the steps at which :class:`Snapshots` collects."""

    cycles: int = 5

    name: ClassVar[str] = "no cycle"

    def __post_init__(self) -> None:
        _require_cycles(self.cycles)

    def rates(self, recipe: Recipe, total: int, per_epoch: int) -> Rates:
        return learning_rates(recipe, total, per_epoch)

    def collected(self, total: int, per_epoch: int) -> tuple[int, ...]:
        return Snapshots(self.cycles).collected(total, per_epoch)


@dataclass(frozen=True)
class FastGeometric(Cycles):
    """Triangles of ``cycle`` epochs between ``high`` and ``low``, as many as fit after about the share ``start``."""

    cycle: float = 2.0
    high: float = 0.05
    low: float = 5e-4
    start: float = 0.8

    name: ClassVar[str] = "fge"

    def __post_init__(self) -> None:
        _require_rate("high", self.high)
        _require_rate("low", self.low)
        if not self.low < self.high:
            raise UsageError(f"low must be below high, and {self.low:g} is not below {self.high:g}")
        if not self.cycle > 0 or not math.isfinite(self.cycle):
            raise UsageError(f"cycle is a number of epochs above 0, not {self.cycle}")
        if not 0 <= self.start < 1:
            raise UsageError(f"start is the share of the run before the cycles, from 0 to below 1, not {self.start}")

    def rates(self, recipe: Recipe, total: int, per_epoch: int) -> Rates:
        begin, length, _ = self.plan(total, per_epoch)
        t = (np.arange(total - begin) % length + 1) / length
        falling = (1 - 2 * t) * self.high + 2 * t * self.low
        rising = (2 - 2 * t) * self.low + (2 * t - 1) * self.high
        ordinary = learning_rates(recipe, total, per_epoch)[:begin]
        return np.concatenate([ordinary, np.where(t <= 0.5, falling, rising)])

    def collected(self, total: int, per_epoch: int) -> tuple[int, ...]:
        begin, length, members = self.plan(total, per_epoch)
        return tuple(begin + length // 2 + k * length for k in range(members))

    def begin(self, total: int, per_epoch: int) -> int:
        return self.plan(total, per_epoch)[0]

    def plan(self, total: int, per_epoch: int) -> tuple[int, int, int]:
        """The step at which the triangles begin, their even length in steps, and the number of networks."""
        length = max(2 * round(self.cycle * per_epoch / 2), 2)
        members = math.floor((1 - self.start) * total / length + 0.5 + 1e-9)
        if members < 1 or members * length - length // 2 > total:
            raise UsageError(
                f"no cycle of {self.cycle:g} epochs fits into the last {1 - self.start:.0%} of {total / per_epoch:g} "
                "epochs; shorten cycle, lower start or train longer"
            )
        return total - members * length + length // 2, length, members


@dataclass(frozen=True)
class Averaging(Cycles):
    """The rate falls to ``lr`` before the share ``start`` of the run and stays; a network each ``every`` epochs."""

    lr: float = 0.01
    start: float = 0.8
    every: float = 1.0

    name: ClassVar[str] = "swa"

    def __post_init__(self) -> None:
        _require_rate("lr", self.lr)
        if not 0 < self.start < 1:
            raise UsageError(f"start is the share of the run before averaging, above 0 and below 1, not {self.start}")
        if not self.every > 0:
            raise UsageError(f"every is a number of epochs above 0, not {self.every}")

    def rates(self, recipe: Recipe, total: int, per_epoch: int) -> Rates:
        progress = np.arange(total) / max(self.start * total, 1)
        fallen = np.clip((progress - 0.5) / 0.4, 0.0, 1.0)
        return np.asarray(recipe.lr + (self.lr - recipe.lr) * fallen)

    def begin(self, total: int, per_epoch: int) -> int:
        return math.ceil(self.start * total)

    def collected(self, total: int, per_epoch: int) -> tuple[int, ...]:
        gap = max(round(self.every * per_epoch), 1)
        steps = range(total, math.ceil(self.start * total), -gap)  # the last one is the run's end
        return tuple(reversed(steps)) or (total,)


@dataclass(frozen=True)
class Stretch(Cycles):
    """A part of an ordinary run of ``whole`` epochs, from ``begin_at`` epochs on: its rates, batches, random streams.

    ``warmup`` are the epochs of warm-up of the whole run; a recipe shorter than them could not say so.

    Stretch after stretch is the whole run, if the optimiser's moments are handed on (``fit(moments=)``).
    """

    whole: float
    begin_at: float = 0.0
    warmup: float = 0.0

    name: ClassVar[str] = "stretch"

    def __post_init__(self) -> None:
        if not 0 <= self.begin_at <= self.whole or not math.isfinite(self.whole):
            raise UsageError(f"a stretch begins between 0 and {self.whole:g} epochs, not at {self.begin_at:g}")

    def rates(self, recipe: Recipe, total: int, per_epoch: int) -> Rates:
        before, whole = self.offset(per_epoch), round(self.whole * per_epoch)
        if before + total > whole:
            raise UsageError(f"{total} steps after {before} do not fit into the {whole} steps of the whole run")
        ordinary = replace(recipe, epochs=self.whole, warmup=self.warmup)
        return learning_rates(ordinary, whole, per_epoch)[before : before + total]

    def collected(self, total: int, per_epoch: int) -> tuple[int, ...]:
        return (total,)

    def offset(self, per_epoch: int) -> int:
        return round(self.begin_at * per_epoch)

    def watched(self, total: int, per_epoch: int) -> set[int]:
        return set()


def cycle_lengths(total: int, cycles: int) -> list[int]:
    """Lengths of ``cycles`` cycles that make up ``total`` steps, differing by one at most."""
    if total < cycles:
        raise UsageError(f"{cycles} cycles need at least as many steps, and the run has {total}; train longer")
    return [total // cycles + (k < total % cycles) for k in range(cycles)]


def _require_cycles(cycles: int) -> None:
    if cycles != int(cycles) or cycles < 1:
        raise UsageError(f"cycles is a whole number from 1, not {cycles}")


def _require_rate(name: str, rate: float | None) -> None:
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise UsageError(f"{name} is a learning rate above 0, not {rate}")
