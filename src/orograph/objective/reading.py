"""Reading one point: batch after batch, until all examples are read or the height is known well enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from orograph.objective.controls import Controls, Regression
from orograph.objective.criterion import Criterion, logits_of
from orograph.objective.measurement import Measurement, Tally
from orograph.objective.settings import Settings

_FEWEST_EXAMPLES = 512
_FEWEST_BESIDE_KNOWN = 64
_FEWEST_MEANS = 16


@dataclass(frozen=True)
class Reading:
    """How one point is read; see :meth:`orograph.objective.Objective.__call__`."""

    keep_examples: bool = False
    thorough: bool = False
    controls: Controls | None = None
    keep_outputs: bool = False

    def tally(self, quantity: str, population: int) -> Tally:
        """Sums for ``losses``, ``hits``, or another quantity, of which single values are neither kept nor known."""
        singles = quantity in ("losses", "hits")
        controls = self.controls if singles and not self.thorough else None
        known = None if controls is None else getattr(controls, quantity)
        estimator = None
        if controls is not None and known is not None:
            estimator = Regression(known, controls.calibration.get(quantity))
        return Tally(population, keep=self.keep_examples and singles, estimator=estimator)


def read(
    criterion: Criterion,
    network: Callable[..., Any],
    batches: Sequence[Any],
    population: int,
    settings: Settings,
    reading: Reading,
) -> Measurement:
    """Loss and metrics of ``network`` over ``batches``, which hold ``population`` examples."""
    loss = reading.tally("losses", population)
    metrics: dict[str, Tally] = {}
    heard = _Overheard(network) if reading.keep_outputs else None
    network = heard or network
    for batch in batches:
        terms = criterion(network, batch)
        loss.add(_numpy(terms.losses), terms.examples)
        for name, values in terms.metrics.items():
            if name not in metrics:
                metrics[name] = reading.tally("hits" if name == "accuracy" else name, population)
            metrics[name].add(_numpy(values), terms.examples)
        if settings.tolerance and not reading.thorough and _suffices(loss, settings):
            break
    accuracy = metrics.pop("accuracy", None)
    return Measurement(
        loss=loss.mean,
        loss_se=loss.standard_error,
        n_examples=loss.count,
        exact=loss.count >= population,
        accuracy=min(max(accuracy.mean, 0.0), 1.0) if accuracy else None,  # an estimate may overshoot
        accuracy_se=accuracy.standard_error if accuracy else None,
        metrics={name: tally.mean for name, tally in metrics.items()},
        losses=loss.values,
        hits=accuracy.values if accuracy else None,
        outputs=None if heard is None else np.concatenate(heard.outputs),
    )


class _Overheard:
    """A network that keeps its outputs, so that the pass that measures a loss also gives the predictions."""

    def __init__(self, network: Callable[..., Any]) -> None:
        self.network = network
        self.outputs: list[NDArray[Any]] = []

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        found = self.network(*arguments, **named)
        logits = logits_of(found)
        wide = logits if logits.dtype == torch.float64 else logits.float()
        self.outputs.append(wide.detach().cpu().numpy())
        return found


def _suffices(loss: Tally, settings: Settings) -> bool:
    """Whether a sampled loss is known well enough. A single one that is not finite settles it.

    A standard error of few numbers is itself a matter of luck, and stopping where it is small picks the lucky ones.
    """
    if not math.isfinite(loss.total):
        return True
    if loss.per_example:
        fewest = _FEWEST_BESIDE_KNOWN if loss.estimator is not None else _FEWEST_EXAMPLES
        if loss.count < fewest:
            return False
    elif len(loss.means) < _FEWEST_MEANS:
        return False
    error = loss.standard_error
    return error < settings.tolerance or (settings.cap is not None and loss.mean - 2 * error > settings.cap)


def _numpy(values: Tensor) -> NDArray[np.float64]:
    return values.detach().double().cpu().numpy()
