"""A parameter's gradient from one step to the next: what backward passes make beside what the optimiser gets.

What ``.grad`` holds before a backward pass adds to it is, in an ordinary loop, nothing. Where it is what the last step
left, untouched, nobody has cleared it; gradient accumulation takes no step in between, and whoever scales or replaces
old gradients touches them. All is judged on samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from orograph.diagnose.guarding import Guard
from orograph.diagnose.reading import sample


@dataclass
class Row:
    """One step. Norms over the samples: ``old``, what was left of earlier steps when the first backward pass began, and
    nobody had touched; ``fresh``, what backward passes made since; ``given``, what the step got; ``likeness``, the
    cosine between that and the sum of both. ``heard``: whether there was a backward pass, be its gradient zero;
    ``moved``: whether weights have changed since the beginning (known where the step got nothing).
    """

    step: int
    old: float
    fresh: float
    given: float
    likeness: float
    heard: bool = True
    moved: bool = True


class Ear:
    """A hook on a parameter, and what is known of its gradient since the last step.

    ``heard(ear, cleared)`` is called after each backward pass; ``cleared`` (0 or 1, maybe on the device) says whether
    the pass found what an earlier one since the last step had made cleared.
    """

    def __init__(self, parameter: Tensor, heard: Callable[[Ear, int | Tensor], None], guard: Guard) -> None:
        self.parameter = parameter
        self._heard, self._guard = heard, guard
        self._start = sample(parameter)
        self.expect()

    def expect(self) -> None:
        """A step has ended."""
        self._left = _mark(self.parameter.grad)
        self.old: Tensor | None = None
        self.fresh: Tensor | None = None

    def moved(self) -> bool:
        """Whether it has changed from the beginning, other than by weight decay, which needs no gradient."""
        change = sample(self.parameter) - self._start
        lengths = float(change.norm()) * float(self._start.norm())
        return bool(change.any()) and not float(change @ self._start) < -0.99 * lengths

    def __call__(self, gradient: Tensor) -> None:
        cleared: int | Tensor = 0
        with self._guard("listening to gradients"), torch.no_grad():
            cleared = self._noted(gradient)
        self._heard(self, cleared)

    def _noted(self, gradient: Tensor) -> int | Tensor:
        held = self.parameter.grad
        if not (_dense(gradient) and _dense(held)):
            return 0
        made = sample(gradient)
        if self.fresh is None:
            self.old = None if held is None or _mark(held) != self._left else sample(held)
            self.fresh = made
            return 0
        if held is None:
            self.old, self.fresh = None, made
            return 1
        # Cleared by zeros, or gradients of several passes add up: both without waiting for the device.
        kept = sample(held).any()
        self.fresh = torch.where(kept, self.fresh + made, made)
        self.old = None if self.old is None else torch.where(kept, self.old, 0.0)
        return ~kept


def row_of(ears: Sequence[Ear], step: int) -> Row | None:
    """A step's row; None where a number is not finite."""
    heard = [one for one in ears if one.fresh is not None]
    if not heard:
        given = sum(float(sample(p.grad).norm()) for one in ears if (p := one.parameter).grad is not None)
        return Row(step, 0.0, 0.0, given, 0.0, heard=False)
    parts: tuple[list[Tensor], ...] = ([], [], [])
    for one in heard:
        assert one.fresh is not None
        gradient, none = one.parameter.grad, torch.zeros_like(one.fresh)
        parts[0].append(none if one.old is None else one.old)
        parts[1].append(one.fresh)
        parts[2].append(none if gradient is None or not _dense(gradient) else sample(gradient))
    device = parts[0][0].device
    rows = torch.stack([torch.cat([p.to(device) for p in part]) for part in parts]).cpu().double()
    (oo, of, og), (_, ff, fg), (_, _, gg) = (rows @ rows.T).tolist()  # products of old, fresh and given
    both = oo + 2 * of + ff
    if not math.isfinite(both + gg):
        return None
    likeness = (og + fg) / math.sqrt(gg * both) if gg > 0 and both > 0 else 0.0
    return Row(step, math.sqrt(oo), math.sqrt(ff), math.sqrt(gg), likeness)


def _mark(gradient: Tensor | None) -> tuple[int, int] | None:
    """Which tensor it is, and how often it was written to."""
    return None if gradient is None else (id(gradient), gradient._version)


def _dense(gradient: Tensor | None) -> bool:
    """Whether samples of it lie at the same places each time."""
    return gradient is None or gradient.layout == torch.strided
