r"""The power law through points: :math:`y = c + b x^a` with :math:`0 \le c < \min y` and :math:`b > 0`.

On the log scale: for fixed c the line :math:`\log(y - c) = \log b + a \log x` has a closed form, which leaves a search
over :math:`\log(\min y - c)` for the least :math:`\operatorname{mean} (\log_2 (y - c) - \log_2 (b x^a))^2`. The gap to
the lowest point is at least that point's noise, or one lucky point would send c to it. Towards c = 0 the logs of y - c
grow alike whatever the law, and the mean square falls with them; so the lowest *interior* minimum counts, as for a
descent from a sensible start, and a bound only where there is none.

With weights, on the linear scale: for fixed a both c and b have a closed form, which leaves a search over a for the
least :math:`\sum ((y - c - b x^a) / \mathrm{se})^2`.

Either search is a grid, made finer around its best point, for all resamples at once.
Source: Lobacheva et al. 2020. Cost: no passes through a network.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orograph.basics.errors import UsageError
from orograph.basics.seeds import derive
from orograph.results.power_law import PowerLaw
from orograph.results.provenance import Provenance

Array = NDArray[np.float64]
_FEWEST = 4
_EXPONENTS = (-6.0, -0.01)


def fit_power_law(
    x: ArrayLike,
    y: ArrayLike,
    *,
    axis: str,
    se: ArrayLike = np.nan,
    groups: ArrayLike = 1,
    fitted: ArrayLike = True,
    draws: Array | None = None,
    weighted: bool = False,
    temperature: str = "none",
    seed: int = 0,
    provenance: Provenance | None = None,
) -> PowerLaw:
    """The law through points ``x``, ``y`` (P,), with the noise ``se`` (P,) where it is known.

    ``draws`` (D, P) are resamples of ``y`` for the intervals; where none are given and ``se`` is known, 500 are drawn
    from independent normal distributions.

    Raises
    ------
    UsageError
        Fewer than four distinct ``x`` to fit, an ``x`` or ``y`` that is not positive, weights without standard errors.
    """
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    noise, use = np.broadcast_to(np.asarray(se, dtype=np.float64), xs.shape), np.broadcast_to(fitted, xs.shape)
    if (distinct := len(np.unique(xs[use]))) < _FEWEST:
        raise UsageError(f"a power law has three numbers and needs at least {_FEWEST} distinct sizes, not {distinct}")
    if weighted and not (noise[use] > 0).all():
        raise UsageError("a weighted fit needs a standard error above 0 at each size; add groups or leave out weighted")
    if draws is None:
        chance = np.random.default_rng(derive(seed, "power law"))
        draws = ys + noise * chance.standard_normal((500 if np.isfinite(noise).all() else 0, len(xs)))
        draws = draws[(draws > 0).all(1)]
    if (xs <= 0).any() or (ys <= 0).any() or (draws <= 0).any():
        raise UsageError("a power law needs positive sizes and losses")
    found, cloud = np.full(3, np.nan), np.full((len(draws), 3), np.nan)
    deviation, c_at_bound = float("nan"), False
    if np.isfinite(ys[use]).all():
        fit = _weighted_fit if weighted else _log_fit
        rows, at_bound = fit(xs[use], np.concatenate([ys[None, use], draws[:, use]]), noise[use])
        (found, cloud), c_at_bound = (rows[0], rows[1:]), bool(at_bound[0])
        c, b, a = found
        with np.errstate(invalid="ignore", divide="ignore"):  # a weighted c may lie above a noisy point
            deviation = float(np.sqrt(np.square(np.log2((ys[use] - c) / (b * xs[use] ** a))).mean()))
    return PowerLaw(
        axis=axis,
        temperature=temperature,
        x=xs,
        y=ys,
        se=noise.copy(),
        groups=np.broadcast_to(np.asarray(groups, dtype=np.int64), xs.shape).copy(),
        fitted=use.copy(),
        c=float(found[0]),
        b=float(found[1]),
        a=float(found[2]),
        deviation=deviation,
        c_at_bound=c_at_bound,
        cloud=cloud,
        weighted=weighted,
        provenance=provenance or Provenance(method="power law", citations=("lobacheva2020",)),
    )


def _log_fit(x: Array, ys: Array, se: Array) -> tuple[Array, NDArray[np.bool_]]:
    """(R, 3) c, b, a of each row of ``ys`` (R, P), and whether c is at a bound."""
    lowest = ys.min(1, keepdims=True)
    noise = se[ys[0].argmin()]
    floor = noise if noise > 0 else 1e-9 * float(np.ptp(ys[0])) or 1e-12
    low, high = np.log(np.minimum(floor, lowest[:, 0])), np.log(lowest[:, 0])
    log_x = np.log(x) - np.log(x).mean()

    def line(log_gap: Array) -> tuple[Array, Array, Array]:
        """Intercepts, slopes and mean squares of the lines, each (R, S), for gaps of these logarithms (R, S)."""
        # y - c as a sum of two positive numbers: nothing cancels near the lowest point.
        z = np.log((ys - lowest)[:, None, :] + np.exp(log_gap)[:, :, None])
        intercept = z.mean(-1)
        slope = (z * log_x).sum(-1) / np.square(log_x).sum()
        rest = z - intercept[..., None] - slope[..., None] * log_x
        return intercept, slope, np.square(rest).mean(-1)

    gap = _lowest_point(lambda s: line(s)[2], low, high)
    intercept, slope = (values[:, 0] for values in line(gap[:, None])[:2])
    c = np.where(high - gap < 1e-9, 0.0, lowest[:, 0] - np.exp(gap))
    fits = np.stack([c, np.exp(intercept - slope * np.log(x).mean()), slope], axis=1)
    return fits, (gap - low < 1e-3) | (high - gap < 1e-3)


def _weighted_fit(x: Array, ys: Array, se: Array) -> tuple[Array, NDArray[np.bool_]]:
    """The same by weighted least squares on the linear scale."""
    weight = 1 / se**2 / (1 / se**2).sum()
    scale = np.exp(np.log(x).mean())
    top = ys.min(1, keepdims=True)

    def line(a: Array) -> tuple[Array, Array, Array]:
        """c, b and weighted mean squares, each (R, S), for exponents (R, S)."""
        f = (x / scale) ** a[..., None]
        y = ys[:, None, :]
        mean_f, mean_y = (f * weight).sum(-1), (y * weight).sum(-1)
        away = f - mean_f[..., None]
        b = (away * y * weight).sum(-1) / (np.square(away) * weight).sum(-1)
        c = np.clip(mean_y - b * mean_f, 0, top)
        b = (f * (y - c[..., None]) * weight).sum(-1) / (f * f * weight).sum(-1)
        return c, b, (np.square(y - c[..., None] - b[..., None] * f) * weight).sum(-1)

    limits = np.full(len(ys), _EXPONENTS[0]), np.full(len(ys), _EXPONENTS[1])
    a = _lowest_point(lambda s: line(s)[2], *limits)
    c, b = (values[:, 0] for values in line(a[:, None])[:2])
    return np.stack([c, b * scale**-a, a], axis=1), (c < 1e-6 * top[:, 0]) | (c > (1 - 1e-6) * top[:, 0])


def _lowest_point(height: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """(R,) the lowest interior minimum of each of R functions between ``low`` and ``high`` (R,), or else the lower end.

    ``height`` maps points (R, S) to values (R, S).
    """
    for steps in (128, *[8] * 12):
        points = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, steps + 1)
        values = height(points)
        inside = (values[:, 1:-1] <= values[:, :-2]) & (values[:, 1:-1] < values[:, 2:])
        best = np.where(inside, values[:, 1:-1], np.inf).argmin(1) + 1
        best = np.where(inside.any(1), best, values.argmin(1))[:, None]
        low = np.take_along_axis(points, np.maximum(best - 1, 0), 1)[:, 0]
        high = np.take_along_axis(points, np.minimum(best + 1, steps), 1)[:, 0]
    return (low + high) / 2
