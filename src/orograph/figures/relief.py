"""What the colour (or the height) of a plane shows: which quantity, between which limits, at which contour levels.

Only drawings use this. A limit or a logarithm never touches the stored arrays; cells that are not finite or not
computed become NaN in the drawn values and are marked by their own masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from orograph.figures.palette import ACCURACY_SCALE, LOSS_SCALE
from orograph.results.provenance import Provenance
from orograph.results.surface import Surface

Quantity = Literal["accuracy", "loss", "log loss"]

WIDE = 30.0  # a loss whose largest value is so many times its smallest is drawn on a log scale


@dataclass(frozen=True)
class Relief:
    """One quantity of a plane, ready to draw.

    ``values`` (n_beta, n_alpha) are the drawn numbers (the decadic logarithm for "log loss"), NaN where nothing may
    be drawn; ``low`` and ``high`` the colour limits; ``levels`` where contours lie; ``ticks`` pairs of a drawn
    number and its label; ``clipped`` whether some values lie above ``high``. ``nonfinite`` and ``missing`` are
    masks of the cells that came out NaN or infinite and of those that were not computed.
    """

    quantity: Quantity
    label: str
    colours: str
    values: NDArray[np.float64]
    low: float
    high: float
    levels: NDArray[np.float64]
    ticks: tuple[tuple[float, str], ...]
    clipped: bool
    nonfinite: NDArray[np.bool_]
    missing: NDArray[np.bool_]

    @property
    def empty(self) -> bool:
        """Whether no cell can be drawn at all."""
        return not bool(np.isfinite(self.values).any())


def quantities(surface: Surface) -> tuple[Quantity, ...]:
    """What this plane can be coloured by; a logarithm needs every finite loss above 0."""
    finite = surface.loss[surface.computed & np.isfinite(surface.loss)]
    found: list[Quantity] = [] if surface.accuracy is None else ["accuracy"]
    found.append("loss")
    if finite.size and finite.min() > 0:
        found.append("log loss")
    return tuple(found)


def default_quantity(surface: Surface, *, prefer_loss: bool = False) -> Quantity:
    """Accuracy where there is one (unless the loss is preferred), else loss, on a log scale where it ranges widely."""
    if surface.accuracy is not None and not prefer_loss:
        return "accuracy"
    finite = surface.loss[surface.computed & np.isfinite(surface.loss)]
    return "log loss" if is_wide(finite) and "log loss" in quantities(surface) else "loss"


def _label(quantity: Quantity, provenance: Provenance) -> str:
    return (
        "accuracy" if quantity == "accuracy" else provenance.loss_label("log scale" if quantity == "log loss" else "")
    )


def is_wide(values: NDArray[np.float64]) -> bool:
    """Whether positive values span so much that a linear scale would hide the low ones."""
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() > WIDE * finite.min())


def relief(surface: Surface, quantity: Quantity | None = None) -> Relief:
    """The drawn form of one quantity of ``surface``."""
    quantity = quantity or default_quantity(surface)
    accuracy = surface.accuracy if quantity == "accuracy" else None
    raw = surface.loss if accuracy is None else accuracy
    nonfinite = surface.computed & ~(np.isfinite(surface.loss) & np.isfinite(raw))
    values = np.where(surface.computed & ~nonfinite, raw, np.nan)
    if quantity == "log loss":
        values = np.log10(values)
    finite = values[np.isfinite(values)]
    low, high, clipped = _limits(finite, quantity)
    return Relief(
        quantity=quantity,
        label=_label(quantity, surface.provenance),
        colours=ACCURACY_SCALE if quantity == "accuracy" else LOSS_SCALE,
        values=values,
        low=low,
        high=high,
        levels=even_levels(low, high),
        ticks=_decade_ticks(low, high) if quantity == "log loss" else _even_ticks(low, high),
        clipped=clipped,
        nonfinite=nonfinite,
        missing=~surface.computed,
    )


def drawn_value(value: float | None, quantity: Quantity) -> float:
    """A model's own value on the scale of the drawing; NaN where it has none."""
    if value is None or not np.isfinite(value):
        return float("nan")
    if quantity == "log loss":
        return float(np.log10(value)) if value > 0 else float("nan")
    return float(value)


def _limits(finite: NDArray[np.float64], quantity: Quantity) -> tuple[float, float, bool]:
    if not finite.size:
        return 0.0, 1.0, False
    low, high = float(finite.min()), float(finite.max())
    clipped = quantity == "loss" and is_wide(finite)
    if clipped:  # on a linear scale a few towering cells would leave one colour for all the others
        high = max(float(np.quantile(finite, 0.9)), low)
    if high - low < 1e-12 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    return low, high, clipped


def even_step(low: float, high: float, count: int) -> float:
    """The smallest step of the form 1, 2 or 5 times a power of ten that cuts the range into at most ``count``."""
    rough = (high - low) / count
    power = 10.0 ** np.floor(np.log10(rough))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9)))


def even_levels(low: float, high: float, count: int = 22) -> NDArray[np.float64]:
    """Contour levels on round numbers that enclose the range from ``low`` to ``high``."""
    step = even_step(low, high, count)
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return np.asarray(np.arange(first, last + 1) * step, dtype=np.float64)


def _even_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    levels = even_levels(low, high, 6)
    inside = levels[(levels >= low - 1e-9) & (levels <= high + 1e-9)]
    return tuple((float(level), f"{level + 0.0:.4g}") for level in inside)


def decades(low: float, high: float, factors: tuple[int, ...] = (1, 2, 5)) -> list[float]:
    """Numbers of the form factor times a power of ten whose decadic logarithm lies between ``low`` and ``high``."""
    powers = range(int(np.floor(low)) - 1, int(np.ceil(high)) + 1)
    candidates = [factor * 10.0**power for power in powers for factor in factors]
    return [value for value in candidates if low - 1e-9 <= np.log10(value) <= high + 1e-9]


def _decade_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Ticks at 1, 2 and 5 times powers of ten; at powers of ten alone where the range is more than three decades."""
    inside = decades(low, high, (1,) if high - low > 3 else (1, 2, 5))
    if len(inside) < 2:  # less than one such step: label the two ends
        inside = [10.0**low, 10.0**high]
    return tuple((float(np.log10(value)), f"{value:.3g}") for value in inside)


def cell_edges(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n + 1,) borders of the cells around the n values of an axis, halfway between neighbours."""
    if len(axis) == 1:
        return np.array([axis[0] - 0.5, axis[0] + 0.5])
    middle = (axis[1:] + axis[:-1]) / 2
    return np.concatenate([[2 * axis[0] - middle[0]], middle, [2 * axis[-1] - middle[-1]]])


def best_words(surface: Surface) -> str:
    """The best cell in words, for a title; says so where there is none."""
    row, column = surface.best
    what = "loss" if surface.accuracy is None else "accuracy"
    if not (surface.computed[row, column] and np.isfinite(surface.best_value)):
        return "no finite cell yet"
    return f"best {what} {surface.best_value:.4g} at ({surface.alpha[column]:.3g}, {surface.beta[row]:.3g})"


def axis_words(surface: Surface) -> tuple[tuple[str, str], tuple[str, str], str]:
    """(name, unit) of both axes, and a warning where the picture's geometry is not that of weight space.

    The warning is empty for orthonormal planes and for directions at right angles with equal units.
    """
    if surface.frame == "orthonormal":
        return ("x", "weight-space length"), ("y", "weight-space length"), ""
    across = f"1 unit = {surface.norm_alpha:.4g} in weight space"
    up = f"1 unit = {surface.norm_beta:.4g} in weight space"
    if surface.frame == "oblique":
        names = [short(anchor.name, 16) for anchor in surface.anchors]
        to_b, to_c = (f" from {names[0]} to {names[k]}" if len(names) > 2 else "" for k in (1, 2))
        warning = "Oblique axes: angles and distances here are not those of weight space"
        return (f"u{to_b}", across), (f"v{to_c}", up), f"{warning} (cosine of the axes {surface.cosine:.2f})."
    how = "" if surface.normalization == "none" else f" ({surface.normalization}-normalised direction)"
    unequal = abs(surface.norm_alpha - surface.norm_beta) > 0.02 * max(surface.norm_alpha, surface.norm_beta)
    warning = f"The axes are not orthogonal with equal units (cosine {surface.cosine:.2f}): distances are distorted."
    return (f"α{how}", across), (f"β{how}", up), warning if unequal or abs(surface.cosine) > 0.02 else ""


def share_words(explained: NDArray[np.float64], random_walk: NDArray[np.float64], axis: int) -> tuple[str, str]:
    """(name, shares) of a principal axis: its share of variance stands beside that of a random walk."""
    name = f"principal axis {axis + 1} (length)"
    if axis >= len(explained):
        return name, "no variance left"
    walk = f" (random walk {random_walk[axis]:.0%})" if axis < len(random_walk) else ""
    return name, f"{explained[axis]:.0%} of variance{walk}"


def short(name: str, longest: int = 28) -> str:
    """A name that fits a picture; the full one stands in hover texts and tables."""
    return name if len(name) <= longest else name[: longest - 1].rstrip() + "…"


def number(value: Any, digits: int = 4) -> str:
    """A number in a hover text or label; an en dash where there is none, words where it is not finite."""
    if value is None:
        return "–"
    if np.isnan(value):
        return "NaN"
    return ("∞" if value > 0 else "−∞") if np.isinf(value) else f"{value:.{digits}g}"
