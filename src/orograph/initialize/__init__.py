"""Where the climb starts: schemes for a network's initial values, on any module."""

from orograph.initialize.applying import apply
from orograph.initialize.schemes import (
    SCHEMES,
    DeltaOrthogonal,
    Normal,
    Orthogonal,
    Scaled,
    Scheme,
    TruncatedNormal,
    scheme_of,
)

__all__ = [
    "SCHEMES",
    "DeltaOrthogonal",
    "Normal",
    "Orthogonal",
    "Scaled",
    "Scheme",
    "TruncatedNormal",
    "apply",
    "scheme_of",
]
