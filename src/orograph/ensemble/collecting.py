"""Ensembles within one budget: each method is a schedule and a collection rule on the ordinary training loop.

One budget, 1B, is the recipe's own run: its epochs over the training examples. Every function spends ``runs`` of them
(2B is two runs, all members pooled) and keeps a ledger; what would overrun is refused before it starts. Sources: Huang
et al. 2017 (snapshots and their baselines), Garipov et al. 2018 (FGE), Izmailov et al. 2018 (SWA).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from orograph.basics.errors import UsageError
from orograph.basics.references import is_reference
from orograph.basics.seeds import derive, isolated_randomness
from orograph.data import Examples, as_examples
from orograph.ensemble.averaging import mean_weights
from orograph.ensemble.collected import SLACK, Collected, gather, member_of
from orograph.models import build
from orograph.objective.batchnorm import tracking_layers
from orograph.results import Run
from orograph.results.ledger import FORWARD, Ledger
from orograph.train import Averaging, Cycles, FastGeometric, NoCycle, Recipe, Snapshots, fit

Network = nn.Module | str | Callable[[int], nn.Module]
Progress = Callable[[int, int], None]
_STATISTICS = 2048  # examples that an objective re-estimates batch-norm statistics from


@dataclass(frozen=True)
class _Plan:
    """Everything that the methods share."""

    network: Network
    data: Any
    recipe: Recipe
    seed: int
    out: Path | None
    device: str
    progress: Progress | None
    loss: Any = None

    @property
    def train(self) -> Examples:
        return as_examples(getattr(self.data, "train", self.data), "the training data")

    @property
    def budget(self) -> int:
        """Examples of 1B."""
        return round(self.recipe.epochs * len(self.train))

    def require(self, examples: float, what: str) -> None:
        """Refuse, before it starts, what would cost more than 1B by more than the slack."""
        if examples > self.budget * (1 + SLACK):
            least = (examples - self.budget) / SLACK / len(self.train)
            raise UsageError(
                f"{what} would overrun the budget by more than {100 * SLACK:g} %: {examples:,.0f} examples where 1B "
                f"has {self.budget:,}; train for {math.ceil(least):,} epochs at least"
            )

    def fit(self, method: str, run: int, cycles: Cycles | None = None, recipe: Recipe | None = None) -> Run:
        """One training run from initial values of its own."""
        seed = derive(self.seed, "ensemble", method, run)
        return fit(
            fresh(self.network, self.data, seed),
            self.data,
            recipe or self.recipe,
            seed=seed,
            loss=self.loss,
            out=None if self.out is None else Path(self.out) / f"{method}-{run}",
            name=f"{method} {run}",
            device=self.device,
            progress=self.progress,
            cycles=cycles,
        )

    def collect(self, method: str, cycles: Cycles | None, runs: int) -> Collected:
        """``runs`` runs under ``cycles``, or ordinary ones, all networks pooled."""
        _require_runs(runs)
        return gather(method, [self.fit(method, run, cycles) for run in range(runs)], self.budget)


def independent(network: Network, data: Any, recipe: Recipe, *, count: int = 1, **options: Any) -> Collected:
    """``count`` networks from initial values and data orders of their own, each with the recipe's whole budget.

    Parameters
    ----------
    network : a name, a function ``seed -> module``, a class, or a module whose submodules can ``reset_parameters()``
    seed, out, device, progress, loss : as in :func:`orograph.train.fit`
    """
    plan = _plan(network, data, recipe, options)
    _require_runs(count, "count")
    return plan.collect("independent", None, count)


def dropout(
    network: Network, data: Any, recipe: Recipe, *, rate: float = 0.2, count: int = 1, **options: Any
) -> Collected:
    """:func:`independent` with dropout at ``rate`` while it trains: an option of orograph's own networks, of others
    every dropout layer there is."""
    if not 0 < rate < 1:
        raise UsageError(f"rate is the share of units dropped, above 0 and below 1, not {rate}")
    plan = _plan(lambda seed: _dropping(network, data, seed, rate), data, recipe, options)
    _require_runs(count, "count")
    return plan.collect("dropout", None, count)


def snapshot(
    network: Network,
    data: Any,
    recipe: Recipe,
    *,
    cycles: int = 5,
    lr: float | None = None,
    runs: int = 1,
    **options: Any,
) -> Collected:
    """A network at the end of each of ``cycles`` cosine cycles of one run, from the rate ``lr`` (Huang et al. 2017)."""
    return _plan(network, data, recipe, options).collect("snapshot", Snapshots(cycles, lr), runs)


def no_cycle(
    network: Network, data: Any, recipe: Recipe, *, cycles: int = 5, runs: int = 1, **options: Any
) -> Collected:
    """Networks of one ordinary run at the steps at which :func:`snapshot` collects."""
    return _plan(network, data, recipe, options).collect("no cycle", NoCycle(cycles), runs)


def single_cycle(
    network: Network,
    data: Any,
    recipe: Recipe,
    *,
    cycles: int = 5,
    lr: float | None = None,
    runs: int = 1,
    **options: Any,
) -> Collected:
    """``cycles`` networks that share a budget: each begins anew and has one of :func:`snapshot`'s cycles."""
    plan = _plan(network, data, recipe, options)
    _require_runs(runs)
    _require_runs(cycles, "cycles")
    short = replace(recipe, epochs=recipe.epochs / cycles, measure_every=recipe.epochs / cycles)
    found = [plan.fit("single cycle", run, Snapshots(1, lr), short) for run in range(cycles * runs)]
    return gather("single cycle", found, plan.budget)


def fge(
    network: Network,
    data: Any,
    recipe: Recipe,
    *,
    cycle: float = 2.0,
    high: float = 0.05,
    low: float = 5e-4,
    start: float = 0.8,
    runs: int = 1,
    **options: Any,
) -> Collected:
    """Fast geometric ensembling: networks at the lowest rates of short triangles at the end of a run (Garipov et al.
    2018). The cycles lie within the budget: they begin at the share ``start`` of it, not after it."""
    cycles = FastGeometric(cycle=cycle, high=high, low=low, start=start)
    return _plan(network, data, recipe, options).collect("fge", cycles, runs)


def swa(
    network: Network,
    data: Any,
    recipe: Recipe,
    *,
    lr: float = 0.01,
    start: float = 0.8,
    every: float = 1.0,
    runs: int = 1,
    **options: Any,
) -> Collected:
    """Stochastic weight averaging: the mean of the weights that a run at a constant rate passes through (Izmailov et
    al. 2018); one network for each run, its batch-norm statistics to be re-estimated."""
    plan = _plan(network, data, recipe, options)
    normalises = bool(tracking_layers(fresh(network, data, 0)))
    passes = min(len(plan.train), _STATISTICS) if normalises else 0
    plan.require(plan.budget + FORWARD * passes, "a run and its pass for batch-norm statistics")
    walked = plan.collect("swa", Averaging(lr=lr, start=start, every=every), runs)
    averages, records = [], []
    for run in walked.runs:
        own = [w for w, record in zip(walked.members, walked.records, strict=True) if record.run == run.name]
        averages.append(mean_weights(own))
        records.append(member_of(f"swa of {run.name}", "swa", run, int(run.steps[-1]), averages[-1]))
    ledger = walked.ledger + Ledger(batchnorm=len(averages) * passes)
    return replace(walked, members=tuple(averages), records=tuple(records), ledger=ledger, batchnorm="recalibrate")


def _dropping(network: Network, data: Any, seed: int, rate: float) -> nn.Module:
    if isinstance(network, str) and not is_reference(network):
        return build(network, data, seed=seed, dropout=rate)
    found = fresh(network, data, seed)
    layers = [module for module in found.modules() if isinstance(module, nn.modules.dropout._DropoutNd)]
    if not layers:
        raise UsageError("the network has no dropout layer to switch on; give one that has")
    for layer in layers:
        layer.p = rate
    return found


def fresh(network: Network, data: Any, seed: int) -> nn.Module:
    """A network with initial values drawn from ``seed``. A module is used itself, its submodules reset.

    Raises UsageError where a part of a module cannot be reset.
    """
    if isinstance(network, str):
        return build(network, data, seed=seed)
    if not isinstance(network, nn.Module):
        with isolated_randomness(derive(seed, "initial values")):
            return network() if isinstance(network, type) else network(seed)
    with isolated_randomness(derive(seed, "initial values")):
        for name, module in network.named_modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
            elif next(module.parameters(recurse=False), None) is not None:
                raise UsageError(
                    f"{name or type(module).__name__} has parameters but no reset_parameters(); give a function "
                    "seed -> network instead of a finished one"
                )
    return network


def _plan(network: Network, data: Any, recipe: Recipe, options: dict[str, Any]) -> _Plan:
    known = {"seed": 0, "out": None, "device": "auto", "progress": None, "loss": None}
    for name in options:
        if name not in known:
            raise UsageError(f"unknown option {name!r}; besides its own a method takes {', '.join(known)}")
    return _Plan(network, data, recipe, **{**known, **options})


def _require_runs(runs: int, name: str = "runs") -> None:
    if runs != int(runs) or runs < 1:
        raise UsageError(f"{name} is a whole number from 1, not {runs}")
