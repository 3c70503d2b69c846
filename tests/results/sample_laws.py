"""Synthetic ensembles: predictions of imaginary networks, and laws whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sample_provenance import PROVENANCE
from scipy.optimize import curve_fit

from orograph.ensemble.evaluating import evaluation_of
from orograph.results import Forecast, Ledger, Member, MemorySplit, PowerLaw, Predictions

REASON = "accuracy 0.098, a guess has 0.104"


def predictions(members=16, *, names=None, broken=(), collapsed=(), examples=400, classes=5, seed=0, **changes):
    """Networks that see the truth through noise of their own; ``broken`` ones have a NaN, ``collapsed`` ones guess."""
    chance = np.random.default_rng(seed)
    truth = 2 * chance.standard_normal((examples, classes))
    labels = (truth + chance.gumbel(size=truth.shape)).argmax(1)
    logits = 1.7 * truth + 1.8 * chance.standard_normal((members, examples, classes))
    logits[list(collapsed)] = 0.1 * chance.standard_normal((len(collapsed), examples, classes))
    logits[list(broken), 7, 2] = np.nan
    records = [Member(name, "independent", seed=k) for k, name in enumerate(names or map(str, range(members)))]
    return replace(Predictions.of(logits, labels, records, provenance=PROVENANCE), **changes)


def evaluation(names=("run 7", "b", "c", "d"), **changes):
    """Four of those networks, evaluated together."""
    found = evaluation_of(predictions(len(names), names=names, **changes), apart=np.ones((len(names), len(names))))
    return replace(found, budget=1000, ledger=Ledger(train=1000))


def law(x, c, b, a, *, noise=0.02, resamples=300, seed=0, **changes):
    """A law with points around it, whose resamples go through two points that move, and a limit that moves.

    ``noise`` is a share of the last point's distance from the limit.
    """
    x, chance = np.asarray(x, dtype=np.float64), np.random.default_rng(seed)
    noise = noise * b * x[-1] ** a
    first, last = (c + b * end**a + noise * chance.standard_normal(resamples) for end in (x[0], x[-1]))
    limits = np.abs(c + 0.6 * b * x[-1] ** a * np.clip(0.25 * chance.standard_normal(resamples), -0.9, 0.9))
    slopes = np.log((last - limits) / (first - limits)) / np.log(x[-1] / x[0])
    cloud = np.stack([limits, (first - limits) * x[0] ** -slopes, slopes], axis=1)
    fields = {
        "provenance": PROVENANCE,
        "axis": "ensemble size",
        "temperature": "before",
        "x": x,
        "y": c + b * x**a + 0.5 * noise * chance.standard_normal(len(x)),
        "se": noise / np.sqrt(np.arange(1, len(x) + 1)),
        "groups": np.full(len(x), 5),
        "fitted": np.ones(len(x), dtype=bool),
        "c": c,
        "b": b,
        "a": a,
        "deviation": 0.011,
        "c_at_bound": False,
        "cloud": cloud,
    }
    return PowerLaw(**{**fields, **changes})


def power_law(names=("run 7",), axis="ensemble size", **changes):
    """Fitted up to 6 networks, asked for 16 that it has not seen and for 64; one network learned nothing."""
    x = [1, 2, 3, 4, 6, 8, 12]
    found = law(
        x,
        0.412,
        0.231,
        -0.71,
        axis=axis,
        groups=np.array([5, 5, 4, 3, 2, 1, 1]),
        fitted=np.array(x) <= 6,
        collapsed=dict.fromkeys(names, REASON),
    )
    there = [np.percentile(found.drawn(n), [2.5, 97.5]) for n in (16, 64)]
    forecasts = (
        Forecast(16.0, float(found.predict(16)), tuple(there[0]), 0.4458, (-0.006, 0.011)),
        Forecast(64.0, float(found.predict(64)), tuple(there[1])),
    )
    without = replace(found, b=0.2, a=-0.78, collapsed={})
    return replace(found, **{"forecasts": forecasts, "without_collapsed": without, **changes})


def _fit(x, y):
    """c, b and a by least squares of x in units of its first."""
    c, b, a = curve_fit(lambda x, c, b, a: c + b * x**a, x / x[0], y, p0=(0.9 * y[-1], y[0] - y[-1], -0.5))[0]
    return c, b * x[0] ** -a, a


def memory_split(names=("run 7",), doublings=6, networks=16, **changes):
    """Sizes and budgets that double; small networks have a high limit, large ones fall as fast."""
    sizes = 1_000 * 2 ** np.arange(doublings)
    budgets = 1_000 * 2 ** np.arange(doublings + 3)
    n = budgets[:, None] // sizes
    share = sizes / sizes[0]
    limits, falls = 0.3 + 0.55 * share**-0.9, 0.42 * share**-0.12
    with np.errstate(divide="ignore"):
        truth = np.where(n > 0, limits + falls * n**-0.75, np.nan)
    chance = np.random.default_rng(0)
    se = np.where((n > 0) & (n <= networks), 0.003 / np.sqrt(np.maximum(n, 1)), np.nan)
    measured = truth + se * chance.standard_normal(n.shape)
    predicted = truth + 0.001 * chance.standard_normal(n.shape)
    drawn = measured + se * chance.standard_normal((200, *n.shape))
    best, foretold = (np.nanargmin(values, axis=1) for values in (measured, predicted))
    rows = np.arange(len(budgets))
    single = np.where(n == 1, np.arange(len(sizes)), -1).max(1)
    advantage = np.where(single < 0, np.nan, measured[rows, single] - measured[rows, best])
    regret = measured[rows, foretold] - measured[rows, best]
    each = [law([1, 2, 3, 4, 6], c, b, -0.75) for c, b in zip(limits, falls, strict=True)]
    fields = {
        "provenance": PROVENANCE,
        "temperature": "before",
        "budgets": budgets,
        "sizes": sizes,
        "n": n,
        "measured": measured,
        "se": se,
        "groups": np.where(np.isfinite(measured), np.minimum(networks // np.maximum(n, 1), 5), 0),
        "predicted": predicted,
        "best": best,
        "predicted_best": foretold,
        "share": (np.nanargmin(drawn, axis=2)[..., None] == np.arange(len(sizes))).mean(0),
        "predicted_share": np.eye(len(sizes))[foretold],
        "indistinguishable": measured - measured[rows, best][:, None] <= 2 * se,
        "regret": regret,
        "regret_interval": np.stack([regret - 0.002, regret + 0.002], axis=1),
        "advantage": advantage,
        "advantage_interval": np.stack([advantage - 0.004, advantage + 0.004], axis=1),
        "laws": (*each[:-1], None),
        "envelope": law(budgets, *_fit(budgets, measured[rows, best]), axis="total parameters", y=measured[rows, best]),
        "collapsed": dict.fromkeys((f"{sizes[0]}: {name}" for name in names), REASON),
    }
    return MemorySplit(**{**fields, **changes})
