"""Loss and metrics along a straight line in weight space."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from orograph.results.points import Anchor, Barrier, Economy, policy_remarks
from orograph.results.result import Result


@dataclass(frozen=True, eq=False, kw_only=True)
class Line(Result):
    """The line centre + alpha * direction; between two models alpha = 0 is the first and alpha = 1 the second.

    Attributes
    ----------
    alphas : (n,) coefficients really used
    loss, loss_se : (n,) nats per example, and the standard error over the data set (0 where all of it was used)
    accuracy, accuracy_se : (n,) fractions in [0, 1], or None where the loss knows no labels
    metrics : further metrics by name, each (n,)
    n_examples : (n,) examples used
    computed : (n,) False where the point was not evaluated; its other values then mean nothing
    length : weight-space length of one unit of alpha
    names : names of the models at 0 and 1, or of the one at 0
    anchors : the given models with their loss by themselves and under the batch-norm policy
    barrier : the barrier between 0 and 1 with its refined maximum, where it was asked for
    economy : what was spared, and at what error
    frame : "models" or "direction"; normalization : how a direction was scaled
    """

    alphas: NDArray[np.float64]
    loss: NDArray[np.float64]
    loss_se: NDArray[np.float64]
    accuracy: NDArray[np.float64] | None
    accuracy_se: NDArray[np.float64] | None
    n_examples: NDArray[np.int64]
    computed: NDArray[np.bool_]
    length: float
    names: tuple[str, ...]
    anchors: tuple[Anchor, ...]
    frame: str
    normalization: str
    batchnorm: str
    precision: str
    tolerance: float
    metrics: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    barrier: Barrier | None = None
    economy: Economy | None = None

    title: ClassVar[str] = "line"

    @property
    def nonfinite(self) -> int:
        """How many computed points have a NaN or infinite loss."""
        return int((~np.isfinite(self.loss) & self.computed).sum())

    @property
    def error(self) -> NDArray[np.float64] | None:
        """(n,) error rate, 1 - accuracy."""
        return None if self.accuracy is None else 1 - self.accuracy

    def summary(self) -> str:
        where = " to ".join(self.names)
        lines = [
            f"line {where}: {int(self.computed.sum())} of {len(self.alphas)} points, alpha {self.alphas[0]:g} to "
            f"{self.alphas[-1]:g}, unit length {self.length:.4g}"
        ]
        finite = np.where(np.isfinite(self.loss) & self.computed, self.loss, np.inf)
        low = int(finite.argmin())
        lines.append(f"lowest loss {self.loss[low]:.4g} at alpha {self.alphas[low]:.3g}")
        if self.barrier:
            lines.append(str(self.barrier))
        lines += policy_remarks(self.anchors)
        if self.economy is not None:
            lines += self.economy.remarks(self.n_examples, self.loss_se, self.computed)
        if self.nonfinite:
            lines.append(f"{self.nonfinite} points are not finite")
        return "\n".join(lines)

    def to_xarray(self) -> Any:
        """An xarray Dataset over ``alpha`` (needs the extra ``xarray``)."""
        from orograph.basics.optional import optional_import

        values = {"loss": ("alpha", self.loss), "loss_se": ("alpha", self.loss_se)}
        if self.accuracy is not None:
            values["accuracy"] = ("alpha", self.accuracy)
        values |= {name: ("alpha", value) for name, value in self.metrics.items()}
        return optional_import("xarray", "xarray").Dataset(values, coords={"alpha": self.alphas})
