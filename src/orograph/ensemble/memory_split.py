r"""The memory split: given B parameters, one large network or several medium ones?

.. math:: n^*(B) = \arg\min_n \mathrm{CNLL}(n, B / n), \qquad n = \lfloor B / s \rfloor
          \text{ networks of size } s

measured where a pool has n networks, and predicted by the law in n that is fitted to small ensembles of each size.
Gaps near the optimum are tiny, so every split that cannot be told from the best is named.

Source: Lobacheva et al. 2020. Cost: no passes through a network; one temperature search for each group of networks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from orograph.basics.errors import UsageError
from orograph.basics.seeds import derive
from orograph.ensemble.combine import Array
from orograph.ensemble.pool import Pool, Resampling, TemperaturePlace, ladder
from orograph.ensemble.power_law import fit_power_law
from orograph.ensemble.scaling import provenance_of, same_examples, with_and_without
from orograph.results.power_law import MemorySplit, PowerLaw
from orograph.results.predictions import Predictions
from orograph.results.provenance import Provenance


def memory_split(
    pools: Mapping[int, Predictions],
    budgets: Sequence[int] | None = None,
    *,
    fit_up_to: int = 6,
    fit_on: int | None = None,
    temperature: TemperaturePlace = "before",
    groups: int = 5,
    partitions: int = 20,
    resamples: int = 25,
    seed: int = 0,
) -> MemorySplit:
    """The best split of each budget, from pools of independent networks by their number of parameters.

    Parameters
    ----------
    pools : from parameters of one network to the predictions of several
    budgets : total parameters; those of one network of each size by default
    fit_up_to : the largest ensemble that the predictions are fitted to
    fit_on : how many networks of each size the predictions may see, all by default

    Raises
    ------
    UsageError
        A budget below the smallest network, or pools about different examples.
    """
    if any(size != int(size) or size < 1 for size in pools):
        raise UsageError(f"pools are named by the parameters of one network, whole numbers from 1, not {sorted(pools)}")
    asked = np.array(sorted(budgets or pools), dtype=np.int64)
    if pools and asked[0] < min(pools):
        raise UsageError(f"a budget of {asked[0]} holds no network; the smallest has {min(pools)} parameters")
    resampling = Resampling(groups, partitions, resamples, seed)

    def split(pools: dict[int, Predictions]) -> MemorySplit:
        each = (Pool(pools[size], temperature, seed=seed) for size in sorted(pools))  # in memory one at a time
        table = _table(asked, np.array(sorted(pools), dtype=np.int64), each, fit_up_to, fit_on, resampling)
        options = {"temperature": temperature, "fit_up_to": fit_up_to, "fit_on": fit_on, "seed": seed}
        return _judged(asked, table, temperature, provenance_of(pools, "memory split", **options))

    return with_and_without(split, same_examples(pools))


class _Table(NamedTuple):
    """NLLs (B, S) of each budget's splits, and their resamples (D, B, S); NaN where there is none."""

    sizes: NDArray[np.int64]
    n: NDArray[np.int64]
    measured: Array
    se: Array
    groups: NDArray[np.int64]
    drawn: Array
    predicted: Array
    predicted_drawn: Array
    laws: list[PowerLaw | None]


def _table(
    budgets: NDArray[np.int64],
    sizes: NDArray[np.int64],
    pools: Iterable[Pool],
    fit_up_to: int,
    fit_on: int | None,
    resampling: Resampling,
) -> _Table:
    n = budgets[:, None] // sizes
    measured, se, predicted = (np.full(n.shape, np.nan) for _ in range(3))
    drawn, predicted_drawn = (np.full((resampling.partitions * resampling.resamples, *n.shape), np.nan) for _ in "ab")
    table = _Table(sizes, n, measured, se, np.zeros_like(n), drawn, predicted, predicted_drawn, [])
    for column, pool in enumerate(pools):
        fits = np.flatnonzero(n[:, column])
        law = _law(pool, fit_up_to, fit_on, resampling)
        table.laws.append(law)
        if law is not None:
            predicted[fits, column] = law.predict(n[fits, column])
            predicted_drawn[:, fits, column] = law.drawn(n[fits, column])
        rows = fits[n[fits, column] <= len(pool.predictions)]
        if len(rows):
            points = pool.points(np.unique(n[rows, column]).tolist(), resampling)
            at = np.searchsorted(points.sizes, n[rows, column])
            measured[rows, column], se[rows, column] = points.y[at], points.se[at]
            table.groups[rows, column], drawn[:, rows, column] = points.groups[at], points.draws[:, at]
    return table


def _law(pool: Pool, fit_up_to: int, fit_on: int | None, resampling: Resampling) -> PowerLaw | None:
    order = np.random.default_rng(derive(resampling.seed, "fit on")).permutation(len(pool.predictions))
    sizes = ladder(min(fit_up_to, len(order[:fit_on])))
    if len(sizes) < 4:
        return None
    points = pool.points(sizes, resampling, np.sort(order[:fit_on]))
    return fit_power_law(
        points.sizes,
        points.y,
        axis="ensemble size",
        se=points.se,
        groups=points.groups,
        draws=points.draws,
        temperature=pool.temperature,
    )


def _judged(
    budgets: NDArray[np.int64], table: _Table, temperature: TemperaturePlace, provenance: Provenance
) -> MemorySplit:
    """The best splits, and how sure they are."""
    sizes, n, measured, drawn = table.sizes, table.n, table.measured, table.drawn
    rows = np.arange(len(budgets))
    best, predicted_best = _lowest(measured), _lowest(table.predicted)
    # The largest network that a budget holds once is the alternative to any split.
    single = np.where(n == 1, np.arange(len(sizes)), -1).max(1)

    def less_best(column: NDArray[np.int64]) -> tuple[Array, Array]:
        """(B,) measured in these columns less the best, and its interval (B, 2)."""
        gap = np.where(column < 0, np.nan, measured[rows, column] - measured[rows, best])
        draws = np.where(column < 0, np.nan, drawn[:, rows, column] - drawn[:, rows, best])
        return gap, np.percentile(draws, [2.5, 97.5], axis=0).T

    (regret, regret_interval), (advantage, advantage_interval) = less_best(predicted_best), less_best(single)
    gaps = drawn - drawn[:, rows, best][:, :, None]
    return MemorySplit(
        temperature=temperature,
        budgets=budgets,
        sizes=sizes,
        n=n,
        measured=measured,
        se=table.se,
        groups=table.groups,
        predicted=table.predicted,
        best=best,
        predicted_best=predicted_best,
        share=_shares(drawn),
        predicted_share=_shares(table.predicted_drawn),
        indistinguishable=np.percentile(gaps, 2.5, axis=0) <= 0,
        regret=regret,
        regret_interval=regret_interval,
        advantage=advantage,
        advantage_interval=advantage_interval,
        laws=tuple(table.laws),
        envelope=_envelope(table, best, temperature),
        provenance=provenance,
    )


def _lowest(values: Array) -> NDArray[np.int64]:
    """The column of the lowest number along the last axis, -1 where there is none."""
    known = np.isfinite(values)
    return np.where(known.any(-1), np.where(known, values, np.inf).argmin(-1), -1)


def _shares(draws: Array) -> Array:
    """(B, S) how often each split is the best of its budget."""
    shares: Array = (_lowest(draws)[..., None] == np.arange(draws.shape[2])).mean(0)
    return shares


def _envelope(table: _Table, best: NDArray[np.int64], temperature: TemperaturePlace) -> PowerLaw | None:
    rows = np.flatnonzero(best >= 0)
    used, first = np.unique((table.n * table.sizes)[rows, best[rows]], return_index=True)
    if len(used) < 4:
        return None
    rows = rows[first]
    draws = np.where(np.isnan(table.drawn), np.inf, table.drawn)[:, rows].min(2)
    y, se = table.measured[rows, best[rows]], table.se[rows, best[rows]]
    return fit_power_law(used, y, axis="total parameters", se=se, draws=draws, temperature=temperature)
