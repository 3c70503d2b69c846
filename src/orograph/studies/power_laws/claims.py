"""The claims of the power laws, each with the published figure, ours, and a rule that can say no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from orograph.results import Claim, MemorySplit, PowerLaw, Verdict
from orograph.studies.mean_claim import mean_claim
from orograph.studies.statistics import finite_mean, within

_CLOSE = 0.05  # a forecast that is off by less is close
_REGRET = 0.02
_SURE = 0.95


def forecasts_are_close(laws: Mapping[float, PowerLaw]) -> Claim:
    """Laws fitted to small ensembles foretell one of networks that they have not seen."""
    found = {width: law.forecasts[-1] for width, law in laws.items() if law.forecasts and np.isfinite(law.c)}
    errors = [abs(one.predicted - one.measured) / one.measured for one in found.values() if one.measured]
    words = "; ".join(f"width {width:g}, {one}" for width, one in found.items())
    return mean_claim(
        "forecast",
        "A power law fitted to small ensembles foretells the calibrated NLL of a larger one.",
        "laws fitted to small ensembles predict larger ones (VGG and WideResNet on CIFAR; figures)",
        errors,
        unit="size of the error of the forecast over the measured NLL, mean over widths",
        bound=_CLOSE,
        side="at most",
        span=(0.0, np.inf),
        note=words,
        each="width",
    )


def exponents_above_minus_one(laws: Sequence[PowerLaw]) -> Claim:
    """Calibration makes the fall slower than 1/n."""
    # Limit and exponent go together, so where the points do not tell the one they do not tell the other.
    exponents = [law.a for law in laws if np.isfinite(law.a) and not law.c_at_bound]
    return mean_claim(
        "exponent",
        "Calibrated NLL falls more slowly than 1/n: its exponent lies above -1.",
        "at a fixed temperature c + b/n; calibrated NLL is the lower envelope over temperatures (theory)",
        exponents,
        unit="exponent of the law in the number of networks, mean over widths",
        bound=-1.0,
        side="above",
        note=(f"Exponents {', '.join(f'{a:.2f}' for a in exponents)}. " if exponents else "")
        + f"{len(laws) - len(exponents)} of {len(laws)} laws are left out, as their limit is at a bound of its range.",
        each="width",
    )


def width_law_holds(law: PowerLaw) -> Claim:
    """The law in the width foretells the widest network."""
    foretold = law.forecasts[-1] if law.forecasts else None
    measured: float | None = None
    interval: tuple[float, float] | None = None
    if foretold is not None and foretold.measured and foretold.error_interval and np.isfinite(law.c):
        measured = (foretold.predicted - foretold.measured) / foretold.measured
        low, high = (end / foretold.measured for end in foretold.error_interval)
        interval = (low, high)
    return Claim(
        id="width-law",
        statement="The calibrated NLL of one network follows a power law in its width.",
        published="holds for VGG of widths 6 to 181 and WideResNet of widths 20 to 453 on CIFAR (figures)",
        measured=measured,
        interval=interval,
        unit="forecast of the widest from all others, less measured, over the measured NLL",
        rule=f"between -{2 * _CLOSE:g} and {2 * _CLOSE:g} (95 % interval over networks and test examples)",
        verdict=within(interval, 2 * _CLOSE),
        note=f"One setting of training for all widths. {str(foretold) if foretold else 'No forecast.'}",
    )


def a_split_is_better(split: MemorySplit) -> Claim:
    """At the largest budget several networks beat one."""
    chance = float(split.share[-1][split.n[-1] > 1].sum())
    low, high = split.advantage_interval[-1]
    several = split.best_n[-1] > 1
    return _share_claim(
        "memory-split",
        "For the largest number of parameters, several medium networks beat one large network.",
        "a single large network can lose to several medium ones (VGG and WideResNet on CIFAR; figures)",
        chance,
        "share of resamples in which several networks are best",
        f"{split.budgets[-1]:,} parameters: best with {split.best_n[-1]}"
        + (f"; one network loses {split.advantage[-1]:.3g} nats on that [{low:.3g}, {high:.3g}]." if several else "."),
    )


def splits_grow(split: MemorySplit) -> Claim:
    """The larger the budget, the more networks it is best spent on."""
    both = np.outer(split.share[0], split.share[-1])
    more = split.n[-1][None, :] > split.n[0][:, None]
    return _share_claim(
        "split-grows",
        "The larger the budget, the more networks it is best divided among.",
        "the best number of networks grows with the budget (figures)",
        float(both[more].sum()),
        "share of resamples in which the largest budget wants more networks than the smallest",
        f"Best numbers of networks, by budget: {', '.join(map(str, split.best_n))}.",
    )


def _share_claim(claim_id: str, statement: str, published: str, share: float, unit: str, note: str) -> Claim:
    """Decided where nearly all resamples, or nearly none, agree."""
    verdict: Verdict = "inconclusive"
    if share > _SURE or share < 1 - _SURE:
        verdict = "reproduced" if share > _SURE else "not reproduced"
    return Claim(
        id=claim_id,
        statement=statement,
        published=published,
        measured=share,
        interval=None,
        unit=unit,
        rule=f"above {_SURE:g}; not reproduced below {1 - _SURE:.2g} (resamples of networks and test examples)",
        verdict=verdict,
        note=note,
    )


def splits_are_foretold(split: MemorySplit) -> Claim:
    """Laws in n of each size foretell a split that is nearly the best."""
    best = np.where(split.best < 0, np.nan, split.measured[np.arange(len(split.best)), split.best])
    several = (split.n > 0).sum(1) > 1  # where there is one way to divide a budget, nothing is foretold
    relative = [float(value) for value in (split.regret / best)[several] if np.isfinite(value)]
    return mean_claim(
        "split-foretold",
        "Power laws of small ensembles foretell a split that is nearly the best.",
        "the best split is predicted by the laws of the sizes (figures)",
        relative,
        unit="what the foretold split loses on the best, over its NLL, mean over budgets",
        bound=_REGRET,
        side="at most",
        span=(0.0, np.inf),
        note=f"Foretold {', '.join(map(str, split.predicted_n))}; measured {', '.join(map(str, split.best_n))}. Mean "
        f"loss {finite_mean(relative):.3g}; budgets share networks, so the interval flatters.",
        each="budget",
    )
