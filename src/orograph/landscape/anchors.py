"""Given networks in a picture: where they stand, and what the batch-norm policy costs them."""

from __future__ import annotations

from collections.abc import Sequence

from orograph.objective import Objective
from orograph.results import Anchor
from orograph.weights import Weights


def measure_anchors(
    objective: Objective, weights: Sequence[Weights], names: Sequence[str], places: Sequence[tuple[float, ...]]
) -> tuple[Anchor, ...]:
    """Each network's loss under the picture's policy (with the first one's statistics if that is ``frozen``) and with
    its own batch-norm statistics."""
    own = objective.with_settings(batchnorm="frozen")
    anchors = []
    for point, name, place in zip(weights, names, places, strict=True):
        policy = objective(weights[0].with_vector(point.vector), thorough=True)
        itself = own(point, thorough=True) if point.buffers else policy
        anchors.append(Anchor(name, tuple(place), policy.loss, itself.loss, policy.accuracy, itself.accuracy))
    objective.cost += own.cost
    return tuple(anchors)
