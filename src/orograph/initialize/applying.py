"""``apply``: draw a network's weights anew, in place, and say what was set and what was left alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from orograph.basics.seeds import derive, isolated_randomness
from orograph.initialize.parts import is_bias, is_norm, parts_of
from orograph.initialize.recipes import Mix, Rest, places_of
from orograph.initialize.schemes import Default, Scheme, scheme_of
from orograph.initialize.slots import Slot, slots_of
from orograph.results.initialization import Initialization, Setting
from orograph.results.provenance import Provenance


def apply(model: nn.Module, scheme: str | Scheme | Mix, *, seed: int = 0, example: Any = None) -> Initialization:
    """Draw every weight of ``model`` by ``scheme`` and set biases to zero, in place: parameters stay the same objects.

    Weights are those of convolutions of any rank, transposed ones, linear and bilinear layers, embeddings, recurrent
    layers (gate by gate) and attention (query, key and value apart). Norm layers and parameters of a module's own are
    left alone, which the result says. ``default`` is what the layers' own ``reset_parameters`` draw, norm layers and
    biases included; it cannot be part of a recipe (:class:`~orograph.initialize.recipes.Mix`). The global random state
    is untouched; equal seeds draw equal numbers, layer by layer.

    Parameters
    ----------
    example : inputs of the network (a tensor, positional arguments or named ones), by which a recipe that counts layers
        learns the order in which they run; without it, they are counted in the order in which the modules were made

    Raises
    ------
    UsageError
        An unknown scheme, one that does not fit a layer (delta-orthogonal), or a recipe that leaves a weight out.
        ModelError: a parameter has no values yet (a lazy layer, the meta device).
    """
    chosen = scheme if isinstance(scheme, Mix) else scheme_of(scheme)
    slots = list(slots_of(model))
    citations: list[str] = []
    if isinstance(chosen, Default):
        settings = _reset(model, slots, seed)
    else:
        recipe = chosen if isinstance(chosen, Mix) else Mix.of((Rest(), chosen))
        citations = [scheme.citation for _, scheme in recipe.rules if scheme.citation]
        settings = _draw(slots, recipe.choose(places_of(model, slots, example)), seed)
    return Initialization(
        scheme=chosen.name,
        settings=tuple(settings),
        provenance=Provenance(
            method="initialisation",
            seeds={"seed": seed},
            options={"scheme": chosen.name},
            citations=tuple(dict.fromkeys(citations)),
        ),
    )


@torch.no_grad()
def _draw(slots: list[Slot], schemes: Mapping[str, Scheme], seed: int) -> list[Setting]:
    """Draw each weight by its scheme; biases beside weights become 0."""
    return [_set(slot, schemes.get(slot.name), seed) for slot in slots]


def _set(slot: Slot, scheme: Scheme | None, seed: int) -> Setting:
    parts = slot.parts
    if scheme is not None:
        source = torch.Generator(slot.parameter.device).manual_seed(derive(seed, "initial values", slot.name))
        for part in parts:
            scheme.draw(part, source)
        return slot.setting(scheme.name, asked=scheme.std(parts[0]))
    if is_bias(slot.layer, slot.own) and _has_weights(slot.layer):
        slot.parameter.zero_()
        return slot.setting("zero", asked=0.0)
    return slot.setting("", why=_reason(slot))


def _reset(model: nn.Module, slots: list[Slot], seed: int) -> list[Setting]:
    """Each layer that can draws for itself, from a seed of its own."""
    able: dict[int, bool] = {}
    for name, layer in reversed(list(model.named_modules())):  # the whole after its parts, as when they are made
        reset = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)
        able[id(layer)] = callable(reset)
        if callable(reset):
            with isolated_randomness(derive(seed, "initial values", name)):
                reset()
    why = "its module has no reset_parameters()"
    return [slot.setting("default") if able[id(slot.layer)] else slot.setting("", why=why) for slot in slots]


def _has_weights(layer: nn.Module) -> bool:
    return any(parts_of(layer, name, parameter.detach()) for name, parameter in layer.named_parameters(recurse=False))


def _reason(slot: Slot) -> str:
    if is_norm(slot.layer):
        return "a norm layer's own"
    if slot.parameter.is_complex():
        return "complex"
    return f"no rule for {slot.own} of a {type(slot.layer).__name__}"
