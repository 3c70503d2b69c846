r"""Euclidean distances between networks.

.. math:: d(A, B) = \|w_A - w_B\|

over the selected parameters, tied ones once, summed in float64. For independent initialisations
:math:`E d^2 = 2 \sum_i \mathrm{Var}(w_i)`, from the initialisation scheme alone. Cost: no forward passes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orograph.basics.errors import UsageError
from orograph.landscape.points import Point, family
from orograph.results import Distances, Provenance


def distances(points: Sequence[Point], *, names: Sequence[str] | None = None) -> Distances:
    """All pairwise distances, cosines and norms of ``points`` (weights, checkpoints, modules or files).

    Raises
    ------
    UsageError
        No points. WeightsError: they are of different architectures, or hold NaN.
    """
    if not points:
        raise UsageError("give at least one network")
    weights, labels = family(points, names)
    n = len(weights)
    slots = weights[0].layout.slots
    squared = np.zeros((len(slots), n, n))
    products = np.zeros((n, n))
    for i in range(n):
        products[i, i] = weights[i].dot(weights[i])
        for j in range(i):
            squared[:, i, j] = squared[:, j, i] = weights[i].squared_distances(weights[j])
            products[i, j] = products[j, i] = weights[i].dot(weights[j])
    norms = np.sqrt(np.diag(products))
    total = squared.sum(0)
    norm_layers = squared[[slot.kind == "norm" for slot in slots]].sum(0)
    lengths = np.outer(norms, norms)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = np.where(lengths > 0, products / lengths, np.nan)
        share = np.where(total > 0, norm_layers / total, 0.0)
    np.fill_diagonal(cosine, np.where(norms > 0, 1.0, np.nan))
    return Distances(
        names=labels,
        matrix=np.sqrt(total),
        cosine=cosine,
        norms=norms,
        tensors=tuple(slot.name for slot in slots),
        squared_by_tensor=squared,
        norm_layer_share=share,
        parameters=weights[0].layout.size,
        provenance=Provenance(
            method="distances",
            options={"select": weights[0].layout.select},
            citations=("elasticdl179",),
        ),
    )
