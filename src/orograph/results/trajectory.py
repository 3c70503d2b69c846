"""A training trajectory on its principal axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from orograph.results.result import Result
from orograph.results.surface import Surface


def random_walk_shares(components: int) -> NDArray[np.float64]:
    """Share of variance on each principal axis of a long random walk in high dimension: 6 / (pi^2 k^2).

    Source: Antognini & Sohl-Dickstein 2018.
    """
    return 6 / (np.pi**2 * np.arange(1, components + 1) ** 2)


@dataclass(frozen=True, eq=False, kw_only=True)
class Trajectory(Result):
    """T checkpoints seen along the principal axes of their displacements from a reference.

    Attributes
    ----------
    epochs, steps : (T,) when each checkpoint was taken
    coordinates : (T, 2) along the two first axes, in weight-space length (the axes are orthonormal)
    off_plane : (T,) weight-space length between each checkpoint and its projection
    loss : (T,) true loss of each checkpoint, nats per example
    loss_projected : (T,) loss of its projection onto the plane; only this one belongs to the contours
    accuracy : (T,) or None
    explained : (k,) share of the variance on each axis, k = min(T - 1, 10)
    explained_random_walk : (k,) what a high-dimensional random walk would show: 6 / (pi^2 k^2)
    reference : "final" or "mean"
    even : whether the checkpoints are evenly spaced in steps
    surface : loss on the plane of the first two axes, where it was asked for
    """

    name: str
    epochs: NDArray[np.float64]
    steps: NDArray[np.int64]
    coordinates: NDArray[np.float64]
    off_plane: NDArray[np.float64]
    loss: NDArray[np.float64]
    loss_projected: NDArray[np.float64]
    accuracy: NDArray[np.float64] | None
    explained: NDArray[np.float64]
    explained_random_walk: NDArray[np.float64]
    reference: str
    even: bool
    batchnorm: str
    precision: str
    surface: Surface | None = None

    title: ClassVar[str] = "trajectory"

    def summary(self) -> str:
        shares = ", ".join(
            f"axis {k + 1}: {share:.1%} (random walk {walk:.1%})"
            for k, (share, walk) in enumerate(zip(self.explained[:2], self.explained_random_walk[:2], strict=True))
        )
        spacing = "" if self.even else ", unevenly spaced in steps"
        return (
            f"{len(self.steps)} checkpoints{spacing}; explained variance {shares}\n"
            f"true loss {self.loss[0]:.4g} to {self.loss[-1]:.4g}; farthest from the plane: {self.off_plane.max():.4g}"
        )
