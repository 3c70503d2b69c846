"""The two options of sampled heights, checked alike wherever they are given; no torch here."""

from __future__ import annotations

import math

from orograph.basics.errors import UsageError


def check_sampling(tolerance: float, cap: float | None) -> None:
    """Raise UsageError for a ``tolerance`` that is no size of an error, or a ``cap`` that is no loss or useless."""
    if not 0 <= tolerance < math.inf:
        raise UsageError(f"the tolerance must be at least 0 and finite, not {tolerance:g}")
    if cap is not None and not math.isfinite(cap):
        raise UsageError(f"the cap must be a finite loss, not {cap:g}")
    if cap is not None and not tolerance:
        raise UsageError("a cap on the loss saves examples only where they are sampled; give a tolerance too")
