r"""How the NLL of pools of networks falls: against ensemble size, :math:`\mathrm{CNLL}_n = c + b n^a`, or width.

At a fixed temperature :math:`\mathrm{NLL}_n = c + b/n + O(1/n^2)`; calibrated NLL is the lower envelope over
temperatures, and its exponent lies above -1. A law is worth its forecasts: with ``held_out`` networks the fit sees the
others only, and is asked for the ensemble of those.

Source: Lobacheva et al. 2020, whose code drops networks and ensembles of accuracy 0.15 or less whatever the number of
classes; here collapsed networks are listed, and the law is given with and without them.
Cost: no passes through a network; one temperature search for each group of networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Literal, TypeVar

import numpy as np

from orograph.basics.errors import UsageError
from orograph.ensemble.combine import Array
from orograph.ensemble.pool import Pool, Resampling, TemperaturePlace, ladder
from orograph.ensemble.power_law import fit_power_law
from orograph.results.power_law import Forecast, MemorySplit, PowerLaw
from orograph.results.predictions import Predictions
from orograph.results.provenance import Provenance

_FIT_UP_TO = 6
_Key = TypeVar("_Key")
_Law = TypeVar("_Law", PowerLaw, MemorySplit)


def power_law(
    predictions: Predictions,
    *,
    sizes: Sequence[int] | None = None,
    temperature: TemperaturePlace = "before",
    fit_up_to: int | None = None,
    held_out: int = 0,
    forecasts: Sequence[int] = (),
    weighted: bool = False,
    groups: int = 5,
    partitions: int = 20,
    resamples: int = 25,
    seed: int = 0,
) -> PowerLaw:
    """The law of the (calibrated) NLL in the number of networks, of a pool of independent ones.

    Parameters
    ----------
    sizes : ensemble sizes; 1, 2, 3, 4, 6, 8, 12, ... by default
    fit_up_to : the largest size that is fitted; all by default, 6 with ``held_out``
    held_out : so many networks are kept from the fit, and the law is asked for their ensemble; others for each of the
        ``partitions``, so that the interval of its error holds what other networks would have given
    forecasts : further sizes to ask the law for
    groups : at most so many disjoint groups for each size; as many as there are with a large number

    Raises
    ------
    UsageError
        Fewer than four sizes to fit.
    """

    if any(not n >= 1 for n in forecasts):
        raise UsageError(f"ensembles have at least one network; forecasts {list(forecasts)} name fewer")

    def law(pools: dict[str, Predictions]) -> PowerLaw:
        pool = Pool(pools[""], temperature, seed=seed)
        ours = len(pool.predictions) - held_out
        if not 0 <= held_out < len(pool.predictions):
            raise UsageError(f"{held_out} networks cannot be held out of {len(pool.predictions)}")
        resampling = Resampling(groups, partitions, resamples, seed)
        drawn = pool.points(sizes or ladder(ours), resampling, held_out=held_out)
        points = drawn.without_last() if held_out else drawn
        limit = fit_up_to or (_FIT_UP_TO if held_out else int(points.sizes.max()))
        found = fit_power_law(
            points.sizes,
            points.y,
            axis="ensemble size",
            se=points.se,
            groups=points.groups,
            fitted=points.sizes <= limit,
            draws=points.draws,
            weighted=weighted,
            temperature=temperature,
            provenance=provenance_of(pools, "power law", temperature=temperature, seed=seed),
        )
        foretold = [Forecast(float(n), float(found.predict(n)), _ends(found.drawn(n))) for n in forecasts]
        if held_out:
            foretold.append(_forecast(found, float(held_out), drawn.y[-1], drawn.draws[:, -1]))
        return replace(found, forecasts=tuple(foretold))

    return with_and_without(law, {"": predictions})


def width_law(
    pools: Mapping[float, Predictions],
    *,
    axis: Literal["width", "parameters"],
    n: int = 1,
    hold_out_largest: bool = False,
    temperature: TemperaturePlace = "before",
    weighted: bool = False,
    groups: int = 5,
    partitions: int = 20,
    resamples: int = 25,
    seed: int = 0,
) -> PowerLaw:
    """The law in the size of one network, for ensembles of ``n``: ``pools`` maps each size to its networks.

    ``axis`` says what the sizes are; for convolutional networks the exponents differ by a factor of about two. With
    ``hold_out_largest`` the law is fitted to all sizes but the largest, and asked for that.
    """
    if axis not in ("width", "parameters"):
        raise UsageError(f"unknown axis {axis!r}; say whether the sizes are 'width' or 'parameters'")

    def law(pools: dict[float, Predictions]) -> PowerLaw:
        widths = sorted(pools)
        resampling = Resampling(groups, partitions, resamples, seed)
        each = [Pool(pools[width], temperature, seed=seed).points([n], resampling) for width in widths]
        draws = np.concatenate([points.draws for points in each], axis=1)
        found = fit_power_law(
            widths,
            [points.y[0] for points in each],
            axis=axis,
            se=[points.se[0] for points in each],
            groups=[points.groups[0] for points in each],
            fitted=[not hold_out_largest or width < widths[-1] for width in widths],
            draws=draws,
            weighted=weighted,
            temperature=temperature,
            provenance=provenance_of(pools, "power law", temperature=temperature, n=n, seed=seed),
        )
        if not hold_out_largest:
            return found
        return replace(found, forecasts=(_forecast(found, float(widths[-1]), each[-1].y[0], draws[:, -1]),))

    return with_and_without(law, same_examples(pools))


def _forecast(law: PowerLaw, x: float, measured: float, drawn: Array) -> Forecast:
    """What the law says at ``x`` beside what was ``measured`` there, and its resamples ``drawn`` (D,)."""
    there = law.drawn(x)[:, 0]
    return Forecast(x, float(law.predict(x)), _ends(there), float(measured), _ends(there - drawn))


def same_examples(pools: Mapping[_Key, Predictions]) -> dict[_Key, Predictions]:
    """The pools, which share folds and resamples and so must be about the same examples."""
    each = list(pools.values())
    if not each:
        raise UsageError("give at least one pool of networks")
    first = each[0]
    if not all(
        np.array_equal(pool.example_ids, first.example_ids) and np.array_equal(pool.labels, first.labels)
        for pool in each
    ):
        raise UsageError("the pools are about different examples; ask all networks about the same ones")
    return dict(pools)


def with_and_without(make: Callable[[dict[_Key, Predictions]], _Law], pools: dict[_Key, Predictions]) -> _Law:
    """What ``make`` finds with all networks, beside what it finds without the collapsed ones."""
    collapsed = {key: pool.collapsed for key, pool in pools.items()}
    reasons = {
        f"{key}: {name}" if key != "" else name: reason
        for key, found_here in collapsed.items()
        for name, reason in found_here.items()
    }
    found, without = make(pools), None
    if reasons:
        kept = {key: [name not in collapsed[key] for name in pool.names] for key, pool in pools.items()}
        others = {key: pool.subset(np.array(kept[key])) for key, pool in pools.items() if any(kept[key])}
        with suppress(UsageError):  # too few are left for a law
            without = make(others) if others else None
    return replace(found, collapsed=reasons, without_collapsed=without)


def _ends(draws: Array) -> tuple[float, float]:
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def provenance_of(pools: Mapping[_Key, Predictions], method: str, **options: str | int | None) -> Provenance:
    """Where a law comes from: the data of its pools, and the options of the method."""
    source = next(iter(pools.values())).provenance
    return Provenance(
        method=method,
        options=options,
        model=source.model,
        data=source.data,
        split=source.split,
        fingerprint=source.fingerprint,
        citations=("lobacheva2020", "ashukha2020"),
    )
