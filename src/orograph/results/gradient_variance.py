r"""How much a network's gradients differ from batch to batch, tensor by tensor.

With the gradients :math:`g_b` of B batches and their mean :math:`\bar g`,

.. math:: V = \frac{1}{B - 1} \sum_b \|g_b - \bar g\|^2, \qquad \mathrm{SNR} = \frac{\|\bar g\|^2}{V}

Batches of unequal size count by it, in every mean and sum over them, as a gradient over few examples differs more; V is
then that of batches of the mean size.

V by itself says little of layers whose scale does not matter: where batch norm follows, multiplying a weight by a
divides its gradients by a and V by a^2, though the function is the same. :math:`V \|w\|^2` is free of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from orograph.results.comparison import Comparison, Series
from orograph.results.result import Result

_RESAMPLES = 500


@dataclass(frozen=True, eq=False, kw_only=True)
class GradientVariance(Result):
    """Gradients of B batches at one point in weight space.

    Attributes
    ----------
    tensors : names of T parameters
    inner : (T, B, B) inner products of the batches' gradients
    weight_norm : (T,) Euclidean norms of the parameters
    loss : (B,) the batches' losses
    sizes : (B,) examples in the batches; empty where all have the same number
    """

    tensors: tuple[str, ...]
    inner: NDArray[np.float64]
    weight_norm: NDArray[np.float64]
    loss: NDArray[np.float64]
    sizes: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    title: ClassVar[str] = "gradient variance"

    @property
    def weights(self) -> NDArray[np.float64]:
        """(B,) what a batch counts: its size over the mean one."""
        return self.sizes / self.sizes.mean() if len(self.sizes) else np.ones(len(self.loss))

    @property
    def signal(self) -> NDArray[np.float64]:
        """(T,) squared norm of the mean gradient."""
        return np.asarray((self.inner * np.outer(self.weights, self.weights)).mean((1, 2)))

    @property
    def variance(self) -> NDArray[np.float64]:
        """(T,) V, without bias."""
        batches = len(self.loss)
        squares = np.trace(self.inner * self.weights, axis1=1, axis2=2) / batches
        return np.asarray(np.maximum(squares - self.signal, 0.0) * batches / (batches - 1))

    @property
    def signal_to_noise(self) -> NDArray[np.float64]:
        """(T,) signal over variance; NaN where both are 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.signal / self.variance)

    @property
    def scale_free(self) -> NDArray[np.float64]:
        """(T,) variance times the squared norm of the parameter."""
        return self.variance * self.weight_norm**2

    @property
    def noise_scale(self) -> float:
        """Trace of the batches' covariance over the squared norm of the true gradient, without bias: how many such
        batches make a gradient of which half is signal (McCandlish et al. 2018, the simple noise scale, in batches);
        infinite where no signal is seen."""
        whole = float(self.signal.sum()) - float(self.variance.sum()) / len(self.loss)
        return float(self.variance.sum()) / whole if whole > 0 else float("inf")

    @property
    def tests(self) -> tuple[float, float, float]:
        """Norm, inner-product and orthogonality test of a batch's size (Bollapragada, Byrd and Nocedal 2018): spread
        of the batches' gradients, along the mean gradient, and across it, each over the mean gradient's norm (squared
        for the second). Batches are large enough below about 0.9, 0.9 and 5.84; NaN without a gradient."""
        products, weights = self.inner.sum(0), self.weights
        batches, square, along = len(products), float(self.signal.sum()), (products * weights).mean(1)
        if square <= 0:
            return float("nan"), float("nan"), float("nan")
        across = float((weights * np.maximum(np.diag(products) - along**2 / square, 0)).sum()) / (batches - 1)
        total = float(self.variance.sum())
        spread = float((weights * (along - (weights * along).mean()) ** 2).sum() / (batches - 1)) ** 0.5
        return (total / square) ** 0.5, spread / square, (across / square) ** 0.5

    @property
    def spread(self) -> float:
        """Largest over smallest scale-free variance, of parameters that have one; NaN for none."""
        found = self.scale_free[self.scale_free > 0]
        return float(found.max() / found.min()) if len(found) else float("nan")

    def interval(self, seed: int = 0) -> NDArray[np.float64]:
        """(2, T) 95 % interval of the variance, from resamples of the batches.

        A resample holds some batches twice, which makes it look less varied by (B - 1) / B; that is put right.
        """
        batches = len(self.loss)
        drawn = np.random.default_rng(seed).multinomial(batches, np.full(batches, 1 / batches), size=_RESAMPLES)
        counts = drawn * self.weights
        counts *= batches / counts.sum(1, keepdims=True)
        squares = np.einsum("rb,tbb->rt", counts, self.inner) / batches
        signal = np.einsum("rb,tbc,rc->rt", counts, self.inner, counts, optimize=True) / batches**2
        found = np.maximum(squares - signal, 0.0) * (batches / (batches - 1)) ** 2
        return np.asarray(np.percentile(found, (2.5, 97.5), axis=0))

    @staticmethod
    def compared(each: Mapping[str, GradientVariance]) -> Comparison:
        """Variances of several starts of one network, tensor by tensor; bars are 95 % intervals over batches.

        Tensors without a gradient or without a norm (biases of zero, say) are left out.
        """
        first = next(iter(each.values()))
        kept = np.any([one.scale_free > 0 for one in each.values()], axis=0)
        numbers = np.arange(1, len(first.tensors) + 1, dtype=np.float64)[kept]
        names = tuple(name for name, chosen in zip(first.tensors, kept, strict=True) if chosen)
        series = {}
        for name, one in each.items():
            squared = one.weight_norm**2
            low, high = one.interval()
            half = (high - low) / 2
            rows = np.stack([one.scale_free, one.variance])
            spread = np.stack([half * squared, half])
            values = np.where(rows > 0, rows, np.nan)[:, kept]
            series[name] = Series(numbers, values, spread[:, kept], labels=names)
        titles = ("V |w|², free of scale", "variance V of the gradient")
        return Comparison(
            across="tensor, in the order of the network",
            quantities=titles,
            series=series,
            bars="95 % over batches",
            logarithmic=titles,
            provenance=first.provenance,
        )

    def summary(self) -> str:
        noise = self.signal_to_noise[np.isfinite(self.signal_to_noise)]
        middle = f"{np.median(noise):.3g}" if len(noise) else "not known"
        apart = "no tensor has both a gradient and a norm"
        if np.isfinite(self.spread):
            apart = f"scale-free variances differ by up to a factor of {self.spread:.3g} between tensors"
        batches, tensors = len(self.loss), len(self.tensors)
        return f"gradients of {batches} batches, {tensors} tensors: signal to noise {middle} (median); {apart}"
