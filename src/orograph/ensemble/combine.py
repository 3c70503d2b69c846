r"""Many predictions become one.

With :math:`l_i = \log\operatorname{softmax}(z_i)` of n members:

- probability average (what the papers do): :math:`\log p = \operatorname{logsumexp}_i l_i - \log n`;
- logit average: :math:`\log p = \log\operatorname{softmax}(\tfrac1n \sum_i z_i)`, the normalised geometric mean;
- vote: the class most members name, ties by the mean probability; it has an error and no NLL.

All in float64, and in logarithms to the end: a floor such as ``log(p + 1e-12)`` caps the NLL at 27.6 nats.
Sources: Lakshminarayanan et al. 2017, Ashukha et al. 2020. Cost: no passes through a network.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from orograph.basics.errors import UsageError

Average = Literal["probability", "logit"]
Array = NDArray[np.float64]


def log_softmax(logits: NDArray[Any]) -> Array:
    """Log-probabilities over the last axis, of the same shape; NaN where a logit is not finite."""
    # With the classes first, sums over a few of them are additions of whole rows.
    values = np.moveaxis(logits, -1, 0).astype(np.float64, order="C")
    with np.errstate(invalid="ignore"):
        values -= values.max(0)
        values -= np.log(np.exp(values).sum(0))
    return np.moveaxis(values, 0, -1)


def log_mean_exp(values: NDArray[Any]) -> Array:
    """log of the mean over the first axis of exp(values), without overflow or underflow."""
    top = values.max(0)
    with np.errstate(invalid="ignore"):
        mean: Array = top + np.log(np.exp(values - top, dtype=np.float64).mean(0))
    return mean


def combine(logits: NDArray[Any], average: Average = "probability") -> Array:
    """Log-probabilities (N, K) of the average of members with logits (M, N, K); NaN where a logit is not finite."""
    _check(average)
    if average == "logit":
        return log_softmax(logits.mean(0, dtype=np.float64))
    return log_mean_exp(log_softmax(logits))


def running(logits: NDArray[Any], average: Average = "probability") -> Array:
    """(M, N, K): entry n - 1 is :func:`combine` of the first n members, all of them in one pass."""
    _check(average)
    counts = np.arange(1, len(logits) + 1)[:, None, None]
    if average == "logit":
        return log_softmax(logits.cumsum(0, dtype=np.float64) / counts)
    each = log_softmax(logits)
    top: Array = np.maximum.accumulate(each, 0)
    with np.errstate(invalid="ignore"):
        total, carried = np.exp(each - top), np.exp(top[:-1] - top[1:])
        for n in range(1, len(total)):
            total[n] += total[n - 1] * carried[n - 1]
    log_p: Array = top + np.log(total) - np.log(counts)
    return log_p


def vote(logits: NDArray[Any]) -> NDArray[np.int64]:
    """(N,) the class that most of the members with logits (M, N, K) name; ties go to the higher mean probability."""
    return _elected(_ballots(logits).sum(0), combine(logits))


def running_vote(logits: NDArray[Any]) -> NDArray[np.int64]:
    """(M, N): entry n - 1 is :func:`vote` of the first n members."""
    return _elected(_ballots(logits).cumsum(0), running(logits))


def _ballots(logits: NDArray[Any]) -> Array:
    ballots: Array = np.eye(logits.shape[-1])[logits.argmax(-1)]
    return ballots


def _elected(ballots: Array, log_p: Array) -> NDArray[np.int64]:
    # A probability is less than one ballot, so it only decides between equal counts.
    return np.asarray((ballots + 0.5 * np.exp(log_p)).argmax(-1), dtype=np.int64)


def _check(average: str) -> None:
    if average not in ("probability", "logit"):
        raise UsageError(f"unknown average {average!r}; use 'probability' or 'logit', and vote() for votes")
