r"""The deep-ensemble-equivalent score: how many independent networks do as well as a given method.

.. math:: \mathrm{DEE}(y) = \min \{l \ge 1 : \mathrm{CNLL}_{\mathrm{independent}}(l) \le y\}

with the reference linear between its sizes, and the band from the reference plus and minus its standard deviation.
Never extrapolated: worse than one network is "< 1", better than the largest reference ensemble "> l_max".
Source: Ashukha et al. 2020. Compare values of the same splits and the same place of the temperature only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orograph.basics.errors import UsageError
from orograph.results.scores import Equivalent


def deep_ensemble_equivalent(
    cnll: float, reference: ArrayLike, *, sizes: Sequence[int] | None = None, spread: ArrayLike = 0.0
) -> Equivalent:
    """The score of a method with calibrated NLL ``cnll`` (nats).

    ``reference`` (L,) are the mean CNLLs of ensembles of 1, 2, ..., L independent networks, or of ``sizes``, ascending
    from 1; ``spread`` (L,) their standard deviations.
    """
    curve = np.asarray(reference, dtype=np.float64)
    lengths = np.arange(1, len(curve) + 1) if sizes is None else np.asarray(sizes)
    if len(lengths) != len(curve) or lengths[0] != 1 or (np.diff(lengths) <= 0).any():
        raise UsageError("the reference needs one CNLL for each size, ascending from one network")
    if not np.isfinite(curve).all() or not np.isfinite(cnll):
        raise UsageError("the reference and the CNLL must be finite; leave out what has collapsed and say so")
    width = np.broadcast_to(np.asarray(spread, dtype=np.float64), curve.shape)
    value, low, high = (_crossing(cnll, bent, lengths) for bent in (curve, curve - width, curve + width))
    return Equivalent(value, low, high, int(lengths[-1]))


def _crossing(y: float, curve: NDArray[np.float64], lengths: NDArray[np.int64]) -> float:
    if y > curve[0]:
        return -np.inf
    reached = np.flatnonzero(curve <= y)
    if not len(reached):
        return np.inf
    at = int(reached[0])
    if at == 0:
        return 1.0
    share = (curve[at - 1] - y) / (curve[at - 1] - curve[at])
    return float(lengths[at - 1] + share * (lengths[at] - lengths[at - 1]))
