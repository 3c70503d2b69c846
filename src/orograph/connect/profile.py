"""Heights along a path: train and test loss and error at every point, from one network on loan.

At each point, ends included, batch-norm statistics are estimated once and serve both data sets; losses, errors and the
probabilities of the pair come from the same logits. Cost of n points: n passes over both data sets and n over the
calibration examples; where batch norm is re-estimated, as much again without that for the stale figures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from torch import Tensor

from orograph._version import __version__
from orograph.basics.keys import content_key
from orograph.connect.curves import Curve
from orograph.connect.training import penalty
from orograph.data import Examples
from orograph.landscape.barrier import barrier_on
from orograph.landscape.grid import Progress
from orograph.landscape.units import Values, read_unit, unit_name, write_unit
from orograph.objective import Measurement, Objective
from orograph.objective.batchnorm import tracking_layers
from orograph.results import Cost, Profile
from orograph.weights import Weights


@dataclass(frozen=True)
class Ground:
    """What paths are measured on: objectives of one network on loan, and what else is wanted at each point.

    ``decay`` is the strength of the L2 term. ``frozen`` are the objectives of the stale figures, without re-estimated
    batch norm, where wanted; ``pair`` asks for those of the first network and each point averaged.
    """

    test: Objective
    train: Objective
    decay: float | Tensor
    frozen: tuple[Objective, Objective] | None
    pair: bool

    @classmethod
    def of(cls, objective: Objective, train: Examples, like: Weights, decay: float | Tensor, *, pair: bool) -> Ground:
        """The ground of ``objective`` (test) and the ``train`` examples, from which batch norm is re-estimated where
        the objective has no calibration examples of its own."""
        settings = {"tolerance": 0.0, "cap": None}
        calibration = None if objective.calibration is not None else train
        policy = objective.settings.batchnorm
        if calibration is not None and tracking_layers(objective.model) and policy == "frozen":
            policy = "recalibrate"
        with objective.session(like):  # all of them share its network
            test = objective.over(
                objective.split, part=objective.part, calibration=calibration, batchnorm=policy, **settings
            )
            on_train = test.over(train, part="train")
            stale = test.settings.batchnorm == "recalibrate"
            frozen = tuple(one.with_settings(batchnorm="frozen") for one in (test, on_train)) if stale else None
        labels = test.split.targets if test.split.kind == "pair" else None
        pair = pair and test.criterion.classifies and labels is not None and labels.dim() == 1
        return cls(test, on_train, decay, frozen, pair)  # type: ignore[arg-type]

    @property
    def cost(self) -> Cost:
        """What all measurements here have cost."""
        return sum((one.cost for one in (self.test, self.train, *(self.frozen or ()))), Cost())

    def key(self, what: dict[str, Any]) -> str:
        """Equal keys mean equal rows."""
        decay = (
            self.decay if isinstance(self.decay, float) else hashlib.sha256(self.decay.numpy().tobytes()).hexdigest()
        )
        described = {"test": self.test.describe(), "train": self.train.describe(), "decay": decay, "pair": self.pair}
        return content_key({"version": __version__, **described, **what})


def measure_profile(
    ground: Ground,
    curve: Curve,
    ts: NDArray[np.float64],
    *,
    barriers: bool = True,
    kept_in: Path | None = None,
    progress: Progress | None = None,
) -> Profile:
    """The profile of ``curve`` at ``ts``, with the barriers of both losses refined between them.

    ``kept_in`` is a folder in which finished points are kept, so that a killed call is continued.
    """
    what = {"kind": curve.kind, "points": [point.fingerprint() for point in curve.points], "ts": ts.tolist()}
    rows = measure_points(ground, [partial(curve.at, float(t)) for t in ts], what, kept_in, progress)
    found = assembled(rows, ts, curve.lengths(ts))
    if not barriers:
        return found
    a, b = curve.points[0], curve.points[-1]
    along = curve.at if curve.bends else None
    kept: dict[str, Any] = {}
    for name, objective in (("train", ground.train), ("test", ground.test)):
        loss, error = getattr(found, f"{name}_loss"), getattr(found, f"{name}_error")
        kept[f"{name}_barrier"] = barrier_on(objective, a, b, ts, loss, error, at=along)
    return replace(found, **kept)


def measure_points(
    ground: Ground,
    points: Sequence[Callable[[], Weights]],
    what: dict[str, Any],
    kept_in: Path | None,
    progress: Progress | None,
) -> list[Values]:
    """The rows of several points, each made when its turn comes; ``what`` tells for the key which points they are."""
    folder = None if kept_in is None else Path(kept_in) / f"path-{ground.key(what)}"
    rows: list[Values] = []
    first: Measurement | None = None
    start = points[0]()
    with ground.test.session(start):
        for index, point in enumerate(points):
            row = None if folder is None else read_unit(folder / unit_name(index))
            if row is None:
                if ground.pair and first is None:
                    first = ground.test(start, keep_outputs=True)
                row = _row(ground, start if index == 0 else point(), first)
                if folder is not None:
                    write_unit(folder / unit_name(index), row)
            rows.append(row)
            if progress is not None:
                progress(index + 1, len(points))
    return rows


def assembled(rows: Sequence[Values], ts: NDArray[np.float64], steps: NDArray[np.float64]) -> Profile:
    """The profile of rows at ``ts`` whose points are ``steps`` apart."""
    columns: dict[str, Any] = {name: np.array([row[name] for row in rows], dtype=np.float64) for name in rows[0]}
    return Profile(t=np.asarray(ts, dtype=np.float64), steps=steps, **columns)


def _row(ground: Ground, weights: Weights, first: Measurement | None) -> Values:
    test = ground.test(weights, keep_outputs=first is not None)
    train = ground.train.here()
    row: dict[str, float] = {
        "norm": weights.norm(),
        "train_loss": train.loss,
        "train_regularized": train.loss + penalty(weights, ground.decay),
        "test_loss": test.loss,
    }
    if test.error is not None and train.error is not None:
        row |= {"train_error": train.error, "test_error": test.error}
    if first is not None:
        row["pair_loss"], row["pair_error"] = _pair(ground.test, first, test)
    if ground.frozen is not None:
        stale, stale_train = ground.frozen[0](weights), ground.frozen[1].here()
        row |= {"train_loss_stale": stale_train.loss, "test_loss_stale": stale.loss}
        if stale.error is not None:
            row["test_error_stale"] = stale.error
    return {name: np.array(value) for name, value in row.items()}


def _pair(objective: Objective, first: Measurement, second: Measurement) -> tuple[float, float]:
    """NLL and error of the averaged probabilities of two networks, in float64."""
    assert first.outputs is not None
    assert second.outputs is not None
    both = np.stack([first.outputs, second.outputs]).astype(np.float64)
    logs = both - logsumexp(both, axis=-1, keepdims=True)
    mixed = logsumexp(logs, axis=0) - np.log(2)
    labels = np.asarray(objective.split.targets)
    nll = -np.take_along_axis(mixed, labels[:, None], axis=1).mean()
    return float(nll), float((mixed.argmax(1) != labels).mean())
