"""Recipes that give different layers different schemes, by position, name, type or size.

A recipe is an ordered list of (which layers, scheme); the first that matches a weight decides, and every weight must be
matched. Positions count a network's weights in the order in which they run where an example is given, else in the order
in which the modules were made.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from orograph.basics.errors import UsageError
from orograph.basics.seeds import isolated_randomness
from orograph.initialize.schemes import Default, Scheme, scheme_of
from orograph.initialize.slots import Slot
from orograph.objective.example import arguments_of, failures_told, plain_attention, run

_CONVOLUTIONS = (nn.modules.conv._ConvNd,)


@dataclass(frozen=True)
class Place:
    """Where a weight stands: the number ``index`` of ``count`` weights, and (None elsewhere) of ``convolutions``."""

    slot: Slot
    index: int
    count: int
    convolution: int | None
    convolutions: int

    @property
    def channels(self) -> int:
        """Outputs of the layer (of one of its kernels)."""
        return int(self.slot.parts[0].values.shape[0])


class Which(ABC):
    """A choice of weights."""

    @abstractmethod
    def holds(self, place: Place) -> bool:
        """Whether a weight is among them."""


@dataclass(frozen=True)
class First(Which):
    """The first ``count`` weights, or convolutions alone."""

    count: int
    convolutions: bool = False

    def holds(self, place: Place) -> bool:
        if self.convolutions:
            return place.convolution is not None and place.convolution < self.count
        return place.index < self.count


@dataclass(frozen=True)
class Last(Which):
    """The last ``count`` weights, or convolutions alone."""

    count: int
    convolutions: bool = False

    def holds(self, place: Place) -> bool:
        if self.convolutions:
            return place.convolution is not None and place.convolution >= place.convolutions - self.count
        return place.index >= place.count - self.count


@dataclass(frozen=True)
class Named(Which):
    """Weights whose name matches a pattern such as ``head.*`` (``*``, ``?`` and ``[…]`` as in a shell)."""

    pattern: str

    def holds(self, place: Place) -> bool:
        return fnmatchcase(place.slot.name, self.pattern)


@dataclass(frozen=True)
class OfType(Which):
    """Weights of layers of a class, by its name, e.g. ``Conv2d`` (that of a base class will do)."""

    layer: str

    def holds(self, place: Place) -> bool:
        return any(kind.__name__ == self.layer for kind in type(place.slot.layer).__mro__)


@dataclass(frozen=True)
class Outputs(Which):
    """Weights of layers with so many outputs."""

    channels: int

    def holds(self, place: Place) -> bool:
        return place.channels == self.channels


@dataclass(frozen=True)
class Rest(Which):
    """All weights."""

    def holds(self, place: Place) -> bool:
        return True


@dataclass(frozen=True, init=False)
class Mix:
    """Schemes for different weights: pairs (which weights, scheme or its name), of which the first that fits decides.

    Raises UsageError for what are no such pairs.
    """

    rules: tuple[tuple[Which, Scheme], ...]
    name: str = "mix"

    def __init__(self, rules: Iterable[tuple[Which, str | Scheme]], name: str = "mix") -> None:
        rules = rules if isinstance(rules, (tuple, list)) else tuple(rules)
        for rule in rules:
            if not (isinstance(rule, (tuple, list)) and len(rule) == 2 and isinstance(rule[0], Which)):
                raise UsageError("a recipe is made of pairs, e.g. (First(1), 'he-normal'), (Rest(), 'normal(0.01)')")
        found = tuple((which, scheme_of(scheme)) for which, scheme in rules)
        if any(isinstance(scheme, Default) for _, scheme in found):
            raise UsageError("default is drawn by whole layers, biases and all, so it cannot be part of a recipe")
        object.__setattr__(self, "rules", found)
        object.__setattr__(self, "name", name)

    @classmethod
    def of(cls, *rules: tuple[Which, str | Scheme], name: str = "mix") -> Mix:
        """A recipe of pairs, one after the other."""
        return cls(rules, name)

    @classmethod
    def ends_glorot(
        cls, middle: float | str | Scheme, *, first: int = 4, last: int = 3, outputs: Sequence[int] = ()
    ) -> Mix:
        """The first convolutions and the last weights uniform Glorot, all others ``middle`` (a number: N(0, middle^2)).

        Document 003's recipe; with ``outputs=(512,)`` layers of 512 channels are Glorot too, so that only a few in the
        middle are left to chance.
        """
        chosen = scheme_of(f"normal({middle})" if isinstance(middle, (int, float)) else middle)
        wide = tuple((Outputs(channels), "glorot-uniform") for channels in outputs)
        rules = ((First(first, convolutions=True), "glorot-uniform"), (Last(last), "glorot-uniform"), *wide)
        return cls.of(*rules, (Rest(), chosen), name=f"glorot ends, {chosen.name} between")

    def choose(self, places: Sequence[Place]) -> dict[str, Scheme]:
        """The scheme of each weight by name. Raises UsageError for weights that no rule matches."""
        found = {p.slot.name: next((s for which, s in self.rules if which.holds(p)), None) for p in places}
        missing = [name for name, scheme in found.items() if scheme is None]
        if missing:
            raise UsageError(f"no rule of this recipe matches {', '.join(missing[:5])}; end it with (Rest(), scheme)")
        return {name: scheme for name, scheme in found.items() if scheme is not None}


def recipe_of(text: str) -> Mix | None:
    """The recipe of a name such as ``ends-glorot(0.01)``: document 003's, N(0, 0.01^2) between the ends."""
    found = re.fullmatch(r"ends-glorot\(([^)]*)\)", text.strip())
    if found is None:
        return None
    try:
        return Mix.ends_glorot(float(found[1]))
    except ValueError:
        raise UsageError(f"{text!r} needs a number, e.g. ends-glorot(0.01)") from None


def places_of(model: nn.Module, slots: Sequence[Slot], example: Any = None) -> list[Place]:
    """Every weight with its position, in the order in which they run on ``example`` (those that do not run last)."""
    weights = [slot for slot in slots if slot.parts]
    if example is not None:
        order = running_order(model, example)
        weights.sort(key=lambda slot: order.get(id(slot.layer), len(order)))
    convolutions = [slot.name for slot in weights if isinstance(slot.layer, _CONVOLUTIONS)]
    return [
        Place(
            slot,
            index,
            len(weights),
            convolutions.index(slot.name) if slot.name in convolutions else None,
            len(convolutions),
        )
        for index, slot in enumerate(weights)
    ]


def running_order(model: nn.Module, example: Any) -> dict[int, int]:
    """When each layer runs first, in evaluation mode; nothing of the network changes.

    Raises ModelError where the network does not run on the example.
    """
    example = arguments_of(model, example)
    order: dict[int, int] = {}

    def note(layer: nn.Module, _: Any) -> None:
        order.setdefault(id(layer), len(order))

    hooks = [layer.register_forward_pre_hook(note) for layer in model.modules()]
    modes = [(layer, layer.training) for layer in model.modules()]
    try:
        model.eval()
        with failures_told(model), torch.no_grad(), isolated_randomness(), plain_attention():
            run(model, example)
    finally:
        for hook in hooks:
            hook.remove()
        for layer, training in modes:
            layer.training = training
    return order
