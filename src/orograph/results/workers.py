"""What came of workers that train the same network and are averaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from orograph.results.comparison import Comparison, Series
from orograph.results.points import Barrier
from orograph.results.result import Result


@dataclass(frozen=True, eq=False, kw_only=True)
class Workers(Result):
    """K workers from a common start, measured R times, each time just before and just after they were averaged.

    Attributes
    ----------
    count : K; shards : whether each trained on a share of the examples of its own
    began : epochs of training that the common start had; every : epochs between averages, None for one at the end
    epochs : (R,) of all examples, counted from the very beginning, that one worker's steps amount to
    worker_error, worker_loss : (R, K); average_error, average_loss : (R,) on the test examples; errors NaN without
        labels
    distance : (R,) mean distance of a worker from the average
    barriers : between pairs of workers before the last average
    average : the weights at the end; in memory only
    """

    count: int
    shards: bool
    began: float
    every: float | None
    epochs: NDArray[np.float64]
    worker_error: NDArray[np.float64]
    worker_loss: NDArray[np.float64]
    average_error: NDArray[np.float64]
    average_loss: NDArray[np.float64]
    distance: NDArray[np.float64]
    barriers: tuple[Barrier, ...]
    average: Any = field(default=None, metadata={"saved": False, "compared": False})

    title: ClassVar[str] = "workers"

    @property
    def error_barrier(self) -> float:
        """The mean error barrier between two workers before the last average; NaN where none was measured."""
        heights = [wall.error_height for wall in self.barriers if wall.error_height is not None]
        return float(np.mean(heights)) if heights else float("nan")

    def summary(self) -> str:
        often = "once, at the end" if self.every is None else f"every {self.every:g} epochs"
        share = "a shard of the examples each" if self.shards else "the same examples in other orders"
        return (
            f"{self.count} workers from {self.began:g} epochs on, {share}, averaged {often}: test error of the average "
            f"{self.average_error[-1]:.4g} (loss {self.average_loss[-1]:.4g}), of one worker "
            f"{self.worker_error[-1].mean():.4g} (loss {self.worker_loss[-1].mean():.4g}); error barrier between two "
            f"workers {self.error_barrier:.3g}, distance from the average {self.distance[-1]:.4g}"
        )

    @staticmethod
    def compared(each: Mapping[str, Workers]) -> Comparison:
        """Errors and losses of averages, and of the workers that are averaged, along training."""
        series = {}
        for name, one in each.items():
            average = np.stack([one.average_error, one.average_loss])
            workers = np.stack([one.worker_error.mean(1), one.worker_loss.mean(1)])
            series[f"average, {name}"] = Series(one.epochs, average)
            series[f"one worker, {name}"] = Series(one.epochs, workers)
        provenance = next(iter(each.values())).provenance
        return Comparison(
            across="epochs of one worker",
            quantities=("test error", f"test {provenance.loss_label()}"),
            series=series,
            logarithmic=(f"test {provenance.loss_label()}",),
            provenance=provenance,
        )
