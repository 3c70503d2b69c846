"""Where the climb starts: schemes for a network's initial values, on any module."""

from orograph.initialize.applying import apply
from orograph.initialize.gradinit import gradinit
from orograph.initialize.lsuv import lsuv
from orograph.initialize.metainit import metainit
from orograph.initialize.recipes import First, Last, Mix, Named, OfType, Outputs, Rest
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
from orograph.initialize.transplanting import transplant
from orograph.initialize.variance import gradient_variance

__all__ = [
    "SCHEMES",
    "DeltaOrthogonal",
    "First",
    "Last",
    "Mix",
    "Named",
    "Normal",
    "OfType",
    "Orthogonal",
    "Outputs",
    "Rest",
    "Scaled",
    "Scheme",
    "TruncatedNormal",
    "apply",
    "gradient_variance",
    "gradinit",
    "lsuv",
    "metainit",
    "scheme_of",
    "transplant",
]
