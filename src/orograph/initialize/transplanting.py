"""``transplant``: begin a deep network with the outer layers of a shallow one that has been trained.

Simonyan and Zisserman (2015) trained their network A first and gave its first four convolutions and its three last
layers to the deeper ones. Layers are matched by their names, which in orograph's VGGs say the stage (``conv3_2``), and
never by number: A's second convolution has no counterpart among the 64 channels of B's.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from orograph.basics.errors import UsageError, WeightsError
from orograph.initialize.recipes import places_of
from orograph.initialize.slots import require_network, slots_of
from orograph.results.initialization import Initialization
from orograph.results.provenance import Provenance


@torch.no_grad()
def transplant(
    shallow: nn.Module,
    deep: nn.Module,
    *,
    first: int = 4,
    last: int = 3,
    names: Mapping[str, str] | None = None,
) -> Initialization:
    """Copy trained layers of ``shallow`` into ``deep``, in place: its first convolutions and its last weights' layers.

    A layer is copied whole, with its bias, into the layer of the same name; ``names`` maps names of layers of
    ``shallow`` to those of ``deep`` instead, and then says all. The result lists what was copied and why anything was
    not. Nothing is copied in part.

    Raises
    ------
    UsageError
        A layer of ``names`` is missing, one of the two is no network, or a number of layers is negative. WeightsError:
        not one layer has a counterpart of its shape.
    """
    require_network(shallow)
    require_network(deep)
    if first < 0 or last < 0:
        raise UsageError(f"first and last are numbers of layers, from 0, not {first} and {last}")
    places = places_of(shallow, list(slots_of(shallow)))
    outer = [
        place.slot.name.rpartition(".")[0]
        for place in places
        if (place.convolution is not None and place.convolution < first) or place.index >= place.count - last
    ]
    wanted = dict(names) if names is not None else {name: name for name in dict.fromkeys(outer)}
    layers, targets = dict(shallow.named_modules()), dict(deep.named_modules())
    for where, name in [(layers, name) for name in wanted] + [(targets, name) for name in (names or {}).values()]:
        if name not in where:
            raise UsageError(f"there is no layer {name!r} in the {'shallow' if where is layers else 'deep'} network")
    reasons: dict[str, str] = {}
    copied: dict[str, str] = {}
    for source, target in wanted.items():
        reason = _misfit(layers[source], targets.get(target))
        if reason:
            reasons[target] = reason
            continue
        for own, parameter in layers[source].named_parameters(recurse=False):
            targets[target].get_parameter(own).copy_(parameter)
        copied[target] = source
    if not copied:
        raise WeightsError("not one of these layers has a counterpart of the same name and shape; give names=")
    settings = []
    for slot in slots_of(deep):
        layer = slot.name.rpartition(".")[0]
        if layer in copied:
            settings.append(slot.setting(f"copy of {copied[layer]}"))
        else:
            settings.append(slot.setting("", why=reasons.get(layer, "not among the layers to be copied")))
    return Initialization(
        scheme="transplant",
        settings=tuple(settings),
        provenance=Provenance(
            method="initialisation", options={"scheme": "transplant", "layers": copied}, citations=("simonyan2015",)
        ),
    )


def _misfit(source: nn.Module, target: nn.Module | None) -> str:
    """Why a layer cannot be copied into another; empty where it can."""
    if target is None:
        return "no layer of this name"
    shapes, others = (
        {name: tuple(parameter.shape) for name, parameter in layer.named_parameters(recurse=False)}
        for layer in (source, target)
    )
    return "" if shapes == others else f"the shallow network's has shapes {shapes}"
