"""What turned at a reading, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orograph.diagnose.arriving import Idle
from orograph.diagnose.freshness import Row
from orograph.diagnose.reading import Read
from orograph.diagnose.thresholds import threshold

# What accounts for what: the left one is told, and the others with it.
EXPLAINS: dict[str, tuple[str, ...]] = {
    "W05": ("O01", "O02", "O03", "A05", "I04", "I05", "I06"),
    "W06": ("W05", "O02", "I06"),
    "I04": ("I06",),
    "I05": ("I06",),
    "I06": ("O02",),
    "O01": ("I04", "O03"),
}
_ROWS = 3  # steps in a row that have to show a fault of the loop
_STILL = 40  # losses before which nothing is said of their standing still


@dataclass(frozen=True)
class Turn:
    """Something that went wrong at a step: the id of the finding that it points to, where, and in words.

    ``title`` is for an id that has several.
    """

    id: str
    where: str
    step: int
    text: str
    value: float = float("nan")
    title: str = ""


def turns(
    outputs: Mapping[str, Read],
    kinds: Mapping[str, str],
    gradients: Mapping[str, Read],
    updates: Mapping[str, float],
    losses: Sequence[float],
    step: int,
) -> list[Turn]:
    """What is wrong at a reading after ``step`` steps; outputs are in the order in which layers run."""
    found: list[Turn] = []
    broken = any(not math.isfinite(loss) for loss in losses[-5:])
    bad = next((name for name, one in outputs.items() if one.nan or (one.bad and broken)), None)
    if bad is not None:
        found.append(Turn("A05", bad, step, f"the outputs of {bad}, and of no layer before it, are not finite"))
    worse = next((name for name, one in reversed(list(gradients.items())) if one.bad), None)
    if worse is not None and bad is None:
        found.append(Turn("A05", worse, step, f"the gradient of {worse} is not finite"))
    last = next(reversed(list(outputs)), "")
    for name, one in outputs.items():
        if one.dead > threshold("dead_units"):
            found.append(Turn("I04", name, step, f"{one.dead:.0%} of the units of {name} are dead", one.dead))
        if one.saturated > threshold("saturated") and name != last:
            text = f"{one.saturated:.0%} of the outputs of {name} are saturated"
            found.append(Turn("I05", name, step, text, one.saturated))
    changes = {n: v for n, v in updates.items() if math.isfinite(v) and not n.endswith("bias")}
    if changes:
        name, value = max(changes.items(), key=lambda item: item[1])
        if value > (3 if step > 5 else 10) * threshold("update_high"):
            found.append(Turn("O01", name, step, f"a step changes {name} by {value:.0%} of its size", value))
    return found + _of_losses(losses, step, broken)


def _of_losses(losses: Sequence[float], step: int, broken: bool) -> list[Turn]:
    if broken:
        return [Turn("O01", "", step, "the loss is not finite")]
    if len(losses) <= 40:
        return []
    window, last = np.array(losses[-40:-5]), losses[-5:]
    middle = float(np.median(window))
    spread = float(np.median(np.abs(window - middle)))
    if min(last) > middle + max(8 * spread, 0.5 * abs(middle)):
        text = f"the loss jumped from {middle:.3g} to {min(last):.3g} and stays there"
        return [Turn("O03", "", step, text, min(last))]
    return []


def fed(rows: Sequence[Row]) -> Turn | None:
    """What is wrong with the gradients that the optimiser gets, at the last of several steps."""
    last = list(rows)[-_ROWS:]
    if len(last) < _ROWS:
        return None
    step = last[-1].step
    # Gradients that were scaled for half precision are beyond comparison with old ones, and then these do no harm.
    if all(row.fresh > 0 and row.old > 0.1 * row.fresh and row.likeness > 0.98 for row in last):
        ratio = float(np.median([row.given / row.fresh for row in last]))
        if ratio > threshold("stale_growth"):
            text = f"the optimiser gets all gradients so far, {ratio:.1f} times the fresh ones: zero_grad() is missing"
            return Turn("W05", "", step, text, ratio)
    if any(row.given or row.moved for row in last):
        return None
    if all(row.fresh > 0 for row in last):
        text = "backward passes make gradients, and they are zero or gone when optimizer.step() is called"
        return Turn("W06", "", step, text, title="gradients are cleared before the step")
    if not any(row.heard for row in last):
        text = "the optimiser steps without gradients: backward() is missing, or works on another network"
        return Turn("W06", "", step, text, title="no backward pass is made before the step")
    return None


def idle(found: Idle, told: int, *, over: bool = False) -> Turn | None:
    """Whether the optimiser never steps: gradients are made and cleared, or only losses are told.

    While gradients add up (``cleared`` is 0) a step may come yet, unless training is ``over``.
    """
    if found.moved:
        return None
    if found.cleared >= 20 or (over and found.passes >= _ROWS):
        end = "optimizer.step() is missing" if found.cleared else "gradients add up until optimizer.step() is called"
        if not found.finite:
            end = "the gradients are not finite, so that a GradScaler leaves every step out"
        text = f"{found.passes} backward passes and no step of the optimiser: {end}"
        return Turn("W06", "", 0, text, found.passes)
    if not found.passes and (told >= 50 or (over and told >= _ROWS)):
        text = f"{told} losses were told, and this network had no backward pass and its optimiser took no step"
        return Turn("W06", "", 0, text, told)
    return None


def stands_still(losses: Sequence[float]) -> bool:
    """Whether the loss is no lower at the end than at the beginning, after steps enough to tell."""
    known = [loss for loss in losses if math.isfinite(loss)]
    if len(known) < _STILL:
        return False
    part = max(len(known) // 5, 1)
    first = float(np.mean(known[:part]))
    return float(np.mean(known[-part:])) > first - 0.02 * abs(first)


def vanished(
    kernels: Sequence[str], gradients: Mapping[str, Read], norms: Mapping[str, float], step: int
) -> Turn | None:
    """Whether gradients vanish before the first of the ``kernels`` (in the order of layers), at a reading at which the
    loss stands still."""
    known = [name for name in kernels if name in gradients]
    if len(known) < 3:
        return None
    first, last = known[0], known[-1]
    if any(gradients[name].bad for name in known) or not gradients[last].norm > 0:
        return None
    ratio = gradients[first].norm / gradients[last].norm
    relative = [gradients[name].norm / norms[name] if norms[name] > 0 else math.nan for name in (first, last)]
    # At the end of a long training all gradients are small: only beside large ones in the last layer do they vanish.
    small = relative[0] < threshold("relative_gradient") and relative[1] > 100 * relative[0]
    if not (ratio < threshold("gradient_ratio") or small):
        return None
    text = f"the gradient of {first} is {ratio:.1e} of that of {last}, and the loss stands still"
    return Turn("I06", first, step, text, ratio)
