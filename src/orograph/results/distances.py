"""Distances between networks in weight space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from orograph.results.result import Result


@dataclass(frozen=True, eq=False, kw_only=True)
class Distances(Result):
    """All pairwise Euclidean distances of n networks over D selected parameters, accumulated in float64.

    Attributes
    ----------
    names : tuple of n names
    matrix : (n, n) distances in weight-space length; symmetric, diagonal exactly 0
    cosine : (n, n) cosines of the weight vectors
    norms : (n,) Euclidean norms of the weight vectors
    tensors : tuple of T parameter names
    squared_by_tensor : (T, n, n) the part of the squared distance that each tensor contributes
    norm_layer_share : (n, n) share in [0, 1] of the squared distance that lies in normalisation layers
    parameters : D
    """

    names: tuple[str, ...]
    matrix: NDArray[np.float64]
    cosine: NDArray[np.float64]
    norms: NDArray[np.float64]
    tensors: tuple[str, ...]
    squared_by_tensor: NDArray[np.float64]
    norm_layer_share: NDArray[np.float64]
    parameters: int

    title: ClassVar[str] = "distances"

    @property
    def pairs(self) -> NDArray[np.float64]:
        """(n (n - 1) / 2,) the distances above the diagonal, row by row."""
        return self.matrix[np.triu_indices(len(self.names), 1)]

    @property
    def variation(self) -> float:
        """Coefficient of variation of the pairs: standard deviation over mean; NaN for fewer than two pairs."""
        pairs = self.pairs
        return float(pairs.std(ddof=1) / pairs.mean()) if len(pairs) > 1 and pairs.mean() else float("nan")

    def summary(self) -> str:
        pairs = self.pairs
        if not len(pairs):
            return f"one network, {self.parameters:,} parameters, norm {self.norms[0]:.4g}"
        return (
            f"{len(self.names)} networks, {self.parameters:,} parameters\n"
            f"distance: mean {pairs.mean():.4g}, from {pairs.min():.4g} to {pairs.max():.4g}\n"
            f"norms: mean {self.norms.mean():.4g}; mean cosine "
            f"{self.cosine[np.triu_indices(len(self.names), 1)].mean():.3f}"
        )

    def to_xarray(self) -> Any:
        """An xarray Dataset with dimensions ``a`` and ``b`` (needs the extra ``xarray``)."""
        from orograph.basics.optional import optional_import

        xarray = optional_import("xarray", "xarray")
        names = list(self.names)
        return xarray.Dataset(
            {"distance": (("a", "b"), self.matrix), "cosine": (("a", "b"), self.cosine)},
            coords={"a": names, "b": names},
        )
