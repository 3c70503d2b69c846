"""What turned at a reading, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orograph.diagnose.reading import Read
from orograph.diagnose.thresholds import threshold


@dataclass(frozen=True)
class Turn:
    """Something that went wrong at a step: the id of the finding that it points to, where, and in words."""

    id: str
    where: str
    step: int
    text: str
    value: float = float("nan")


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
