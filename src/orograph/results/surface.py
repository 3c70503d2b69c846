"""Loss and metrics on a plane in weight space."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from orograph.results.points import Anchor, Economy, policy_remarks
from orograph.results.result import Result, record


@record
@dataclass(frozen=True, eq=False)
class ProjectedPath:
    """A training trajectory projected onto the plane.

    ``coordinates`` (T, 2) in the plane's own coefficients, ``off_plane`` (T,) the weight-space length between each
    checkpoint and its projection, ``epochs`` (T,), ``loss`` (T,) the true loss of each checkpoint (not that of its
    projection). ``unit`` is what the epochs are called: "t" for a curve.
    """

    name: str
    epochs: NDArray[np.float64]
    coordinates: NDArray[np.float64]
    off_plane: NDArray[np.float64]
    loss: NDArray[np.float64]
    unit: str = "epoch"


@dataclass(frozen=True, eq=False, kw_only=True)
class Surface(Result):
    """The plane centre + alpha * d1 + beta * d2.

    Attributes
    ----------
    alpha : (n_alpha,) coefficients of the first direction, ``beta`` : (n_beta,) of the second, as really used;
        ``u`` and ``v`` are other names for them (the oblique frame's usual letters)
    loss, loss_se : (n_beta, n_alpha) nats per example; ``loss[j, i]`` lies at centre + alpha[i] d1 + beta[j] d2
    accuracy, accuracy_se : the same shape, fractions, or None where the loss knows no labels
    metrics : further metrics by name, each of the same shape
    n_examples, computed : the same shape; integers and booleans
    norm_alpha, norm_beta : weight-space length of one unit step along each axis
    cosine : cosine of the angle between the axes (0: the picture's angles are those of weight space)
    frame : "oblique" (M = A + u (B - A) + v (C - A)), "orthonormal" (axes are lengths), or "directions"
    normalization : "none", "filter", "layer" or "tensor" for random directions
    anchors : the given models, evaluated verbatim
    paths : training trajectories projected onto the plane
    economy : what was spared, and at what error
    """

    alpha: NDArray[np.float64]
    beta: NDArray[np.float64]
    loss: NDArray[np.float64]
    loss_se: NDArray[np.float64]
    accuracy: NDArray[np.float64] | None
    accuracy_se: NDArray[np.float64] | None
    n_examples: NDArray[np.int64]
    computed: NDArray[np.bool_]
    norm_alpha: float
    norm_beta: float
    cosine: float
    frame: str
    normalization: str
    anchors: tuple[Anchor, ...]
    batchnorm: str
    precision: str
    tolerance: float
    metrics: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    paths: tuple[ProjectedPath, ...] = ()
    economy: Economy | None = None

    title: ClassVar[str] = "plane"

    @property
    def u(self) -> NDArray[np.float64]:
        """The coefficients ``alpha`` under the oblique frame's letter."""
        return self.alpha

    @property
    def v(self) -> NDArray[np.float64]:
        """The coefficients ``beta`` under the oblique frame's letter."""
        return self.beta

    @property
    def nonfinite(self) -> int:
        """How many computed cells have a NaN or infinite loss."""
        return int((~np.isfinite(self.loss) & self.computed).sum())

    @property
    def best(self) -> tuple[int, int]:
        """(row, column) of the best computed, finite cell: highest accuracy where there is one, else lowest loss."""
        if self.accuracy is not None:
            usable = self.computed & np.isfinite(self.accuracy) & np.isfinite(self.loss)
            values = np.where(usable, self.accuracy, -np.inf)
        else:
            values = np.where(self.computed & np.isfinite(self.loss), -self.loss, -np.inf)
        row, column = np.unravel_index(int(values.argmax()), values.shape)
        return int(row), int(column)

    @property
    def best_value(self) -> float:
        """The best cell's accuracy, or its loss where there is no accuracy."""
        return float(self.loss[self.best] if self.accuracy is None else self.accuracy[self.best])

    @property
    def best_beats_anchors(self) -> bool | None:
        """Whether the best cell lies beyond every given model by more than two standard errors; None without models.

        For accuracies the errors are binomial, of the best cell and of the best model together. They are cautious, as
        both were measured on the same examples; but the best of many cells is a flattering choice.
        """
        if not self.anchors:
            return None
        row, column = self.best
        n = max(int(self.n_examples[row, column]), 1)
        if self.accuracy is not None:
            value = float(self.accuracy[row, column])
            rival = max((anchor.accuracy for anchor in self.anchors if anchor.accuracy is not None), default=value)
            return bool(value - rival > 2 * np.sqrt((value * (1 - value) + rival * (1 - rival)) / n))
        rival = min(anchor.loss for anchor in self.anchors)
        return bool(rival - self.loss[row, column] > 2 * self.loss_se[row, column])

    def summary(self) -> str:
        row, column = self.best
        what = "accuracy" if self.accuracy is not None else "loss"
        lines = [
            f"{self.frame} plane: {int(self.computed.sum())} of {self.loss.size} cells "
            f"({len(self.beta)} x {len(self.alpha)}), unit lengths {self.norm_alpha:.4g} and {self.norm_beta:.4g}, "
            f"cosine of the axes {round(self.cosine, 4) + 0.0:g}",
            f"best {what} {self.best_value:.4g} at ({self.alpha[column]:.3g}, {self.beta[row]:.3g})",
        ]
        lines += [f"{anchor.name}: loss {anchor.loss:.4g} at {_place(anchor.coordinates)}" for anchor in self.anchors]
        lines += policy_remarks(self.anchors)
        if self.economy is not None:
            lines += self.economy.remarks(self.n_examples, self.loss_se, self.computed)
        if self.nonfinite:
            lines.append(f"{self.nonfinite} cells are not finite")
        return "\n".join(lines)

    def to_xarray(self) -> Any:
        """An xarray Dataset over ``beta`` and ``alpha`` (needs the extra ``xarray``)."""
        from orograph.basics.optional import optional_import

        axes = ("beta", "alpha")
        values = {"loss": (axes, self.loss), "loss_se": (axes, self.loss_se)}
        if self.accuracy is not None:
            values["accuracy"] = (axes, self.accuracy)
        values |= {name: (axes, value) for name, value in self.metrics.items()}
        coordinates = {"alpha": self.alpha, "beta": self.beta}
        return optional_import("xarray", "xarray").Dataset(values, coords=coordinates)


def _place(coordinates: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.3g}" for value in coordinates) + ")"
