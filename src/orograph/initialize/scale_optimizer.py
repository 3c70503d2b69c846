"""Adam on the scales of a network's tensors, as GradInit uses it.

Steps of two kinds (towards the objective, and back into the constraint) have first moments of their own; second moments
are shared, or not. With one kind of step this is Adam (Kingma and Ba 2015).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

Kind = Literal["objective", "constraint"]


class ScaleAdam:
    """Holds ``scales`` (a list of floats, from 1) between ``lower`` and ``upper``, each a sequence."""

    def __init__(
        self,
        lower: Sequence[float],
        upper: Sequence[float],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        clip: float = 1.0,
        shared: bool = True,
    ) -> None:
        count = len(lower)
        self.values = np.ones(count)
        self._lower, self._upper = np.asarray(lower, float), np.asarray(upper, float)
        self._lr, self._betas, self._eps, self._clip = lr, betas, eps, clip
        second = np.zeros(count)
        self._first = {"objective": np.zeros(count), "constraint": np.zeros(count)}
        self._second = {"objective": second, "constraint": second if shared else np.zeros(count)}
        self._steps = {"objective": 0, "constraint": 0}
        self._shared = shared

    @property
    def scales(self) -> list[float]:
        """The present scales."""
        return [float(value) for value in self.values]

    def step(self, gradient: Sequence[float], kind: Kind = "objective") -> None:
        """Move down a gradient, each entry clipped; the scales stay within their bounds."""
        clipped = np.clip(np.asarray(gradient, float), -self._clip, self._clip)
        first, second = self._first[kind], self._second[kind]
        self._steps[kind] += 1
        first += (1 - self._betas[0]) * (clipped - first)
        second += (1 - self._betas[1]) * (clipped**2 - second)
        seen = sum(self._steps.values()) if self._shared else self._steps[kind]
        mean = first / (1 - self._betas[0] ** self._steps[kind])
        spread = np.sqrt(second) / math.sqrt(1 - self._betas[1] ** seen)
        self.values = np.clip(self.values - self._lr * mean / (spread + self._eps), self._lower, self._upper)

    def shrink(self, factor: float) -> None:
        """Multiply all scales, within their bounds."""
        self.values = np.clip(self.values * factor, self._lower, self._upper)
