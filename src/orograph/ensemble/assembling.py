"""The members of an ensemble, from whatever they are given as: copies of one network, each at its own point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from orograph.basics.copying import copied
from orograph.basics.errors import UsageError, WeightsError
from orograph.basics.seeds import generator
from orograph.data import as_examples
from orograph.data.structure import map_tensors
from orograph.ensemble.collected import Collected
from orograph.landscape.points import Point, as_weights, default_names
from orograph.objective.batchnorm import Recalibration, tracking_layers
from orograph.objective.criterion import forward
from orograph.results import Member
from orograph.weights import Layout, Weights

_CALIBRATING = 2048  # examples, in batches of 256: what an objective takes
_BATCH = 256


@dataclass(frozen=True, eq=False)
class Assembled:
    """One member: a network of its own, how it came about, and on which coordinates its point was given."""

    network: nn.Module
    record: Member
    layout: Layout


def assembled(
    model: nn.Module,
    members: Collected | Sequence[Point],
    *,
    names: Sequence[str] | Sequence[Member] | None = None,
    calibration: Any = None,
) -> list[Assembled]:
    """Copies of ``model``, in evaluation mode, at the points of ``members``; the model is not touched.

    Raises
    ------
    UsageError
        There are no members, too few or too many names, a module of another class, or an average of weights with batch
        norm and no ``calibration`` examples.
    WeightsError
        A member does not fit the model, lacks a part of it, or holds NaN. The message names the member.
    """
    points = members.members if isinstance(members, Collected) else members
    if not len(points):
        raise UsageError("an ensemble needs at least one member, and there is none")
    own = members.records if isinstance(members, Collected) else default_names(len(points))
    records = [one if isinstance(one, Member) else Member(one) for one in (own if names is None else names)]
    if len(records) != len(points):
        raise UsageError(f"{len(points)} members but {len(records)} names")
    found = []
    for record, point in zip(records, points, strict=True):
        try:
            weights = _weights(point, model)
            require_sound(weights)
            network = _placed(weights, model)
        except WeightsError as error:
            raise WeightsError(f"member {record.name}: {error}") from error
        # Layers that track statistics are asked for one by one, since averages may stand beside other networks.
        if record.batchnorm == "recalibrate" and tracking_layers(network):
            if calibration is None:
                raise UsageError(
                    f"member {record.name} is an average of weights, whose batch-norm statistics no run has seen: "
                    "pass calibration=data.train"
                )
            _recalibrate(network, calibration)
            record = replace(record, batchnorm="frozen")
        found.append(Assembled(network, record, weights.layout))
    return found


def require_sound(weights: Weights) -> None:
    """Raise WeightsError where a parameter is not finite or a buffer is NaN (masks may be infinite)."""
    name = weights.unsound()
    if name is not None:
        raise WeightsError(f"{name} holds NaN or infinity; leave this network out or train it again")


def _weights(point: Point, model: nn.Module) -> Weights:
    if isinstance(point, nn.Module) and type(point) is not type(model):
        raise UsageError(
            f"a member is a {type(point).__name__} and the network a {type(model).__name__}; an ensemble has one "
            "architecture"
        )
    return Weights.load(point, model) if isinstance(point, (str, Path)) else as_weights(point)


def _placed(weights: Weights, model: nn.Module) -> nn.Module:
    """A copy of ``model`` at the point, of which every tensor must come from the point."""
    aliases = {alias for slot in weights.layout.slots for alias in slot.aliases}
    have = weights.named_tensors().keys() | aliases
    tensors: dict[str, Tensor] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    missing = next((name for name in tensors if name not in have), None)
    if missing is not None:
        raise WeightsError(f"it lacks {missing!r}; these weights are of another network")
    try:
        network = copied(model)
    except Exception as error:
        raise UsageError(f"the network cannot be copied for each member ({type(error).__name__}: {error})") from error
    weights.put_into(network)
    return network.eval()


def _recalibrate(network: nn.Module, calibration: Any) -> None:
    """Estimate batch-norm statistics at the network's point from a fixed subset of the examples."""
    examples = as_examples(calibration, "the calibration examples")
    if examples.kind != "batches" and len(examples) > _CALIBRATING:
        order = torch.randperm(len(examples), generator=generator(0, "calibration"))
        examples = examples.take(order[:_CALIBRATING].sort().values)
    device = next(network.parameters()).device
    size = _BATCH + (len(examples) % _BATCH == 1)  # one example alone has no variance
    with torch.no_grad():
        Recalibration(tracking_layers(network))(
            lambda batch: forward(network, map_tensors(lambda tensor: tensor.to(device), batch)),
            examples.batches(size),
        )
