"""The networks a picture is drawn through: read, named, and checked to belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from orograph.basics.errors import UsageError, WeightsError
from orograph.results import Checkpoint
from orograph.weights import Weights

Point = Weights | Checkpoint | nn.Module | str | Path
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def as_weights(point: Point) -> Weights:
    """The weights of a point: themselves, a checkpoint's, a module's present ones, or those of a file."""
    if isinstance(point, Weights):
        return point
    if isinstance(point, Checkpoint):
        if point.weights is not None:
            return point.weights  # type: ignore[no-any-return]
        if point.path is None:
            raise UsageError("this checkpoint has neither weights in memory nor a file")
        return Weights.load(point.path)
    if isinstance(point, nn.Module):
        return Weights.of(point)
    if isinstance(point, Mapping):
        raise UsageError("a state dict does not say which network it is of; load it into the module and pass that")
    return Weights.load(point)


def family(points: Sequence[Point], names: Sequence[str] | None = None) -> tuple[list[Weights], tuple[str, ...]]:
    """Several points as weights of one architecture, all finite, on the first one's device, with their names.

    Without ``names`` they are A, B, C …

    Raises WeightsError, naming the network and tensor, where they do not belong together or hold NaN or infinity.
    """
    weights = [as_weights(point) for point in points]
    weights = [point.to(weights[0].vector.device) for point in weights]
    labels = tuple(names) if names is not None else default_names(len(weights))
    if len(labels) != len(weights):
        raise UsageError(f"{len(weights)} networks but {len(labels)} names")
    for name, point in zip(labels, weights, strict=True):
        if not point.is_finite():
            raise WeightsError(f"network {name} holds NaN or infinity; choose another checkpoint or train again")
        if point is not weights[0]:
            weights[0].require_same_family(point)
    return weights, labels


def default_names(count: int) -> tuple[str, ...]:
    """A, B, C … for up to 26 networks, then 1, 2, 3 …"""
    return tuple(_LETTERS[:count]) if count <= len(_LETTERS) else tuple(str(i + 1) for i in range(count))
