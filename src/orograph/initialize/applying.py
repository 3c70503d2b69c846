"""``apply``: draw a network's weights anew, in place, and say what was set and what was left alone."""

from __future__ import annotations

from typing import Any

from torch import nn

from orograph.basics.seeds import derive, isolated_randomness
from orograph.initialize.drawing import draw
from orograph.initialize.recipes import Mix, Rest, places_of, recipe_of
from orograph.initialize.residual import RESIDUAL, initialize_residual
from orograph.initialize.schemes import Default, Scheme, scheme_of
from orograph.initialize.slots import Slot, slots_of
from orograph.results.initialization import Initialization, Setting
from orograph.results.provenance import Provenance


def apply(model: nn.Module, scheme: str | Scheme | Mix, *, seed: int = 0, example: Any = None) -> Initialization:
    """Draw every weight of ``model`` by ``scheme`` and set biases to zero, in place: parameters stay the same objects.

    Weights are those of convolutions of any rank, transposed ones, linear and bilinear layers, embeddings, recurrent
    layers (gate by gate) and attention (query, key and value apart). Norm layers and parameters of a module's own are
    left alone, which the result says. ``default`` is what the layers' own ``reset_parameters`` draw, norm layers and
    biases included; it cannot be part of a recipe (:class:`~orograph.initialize.recipes.Mix`). Two schemes look for
    residual branches and need an example: ``zero-branches`` and ``fixup`` (:mod:`orograph.initialize.residual`). The
    recipe of document 003 has a name too, ``ends-glorot(0.01)``. The global random state is untouched; equal seeds draw
    equal numbers, layer by layer.

    Parameters
    ----------
    example : inputs of the network (a tensor, positional arguments or named ones) or a batch of training data, by which
        a recipe that counts layers learns the order in which they run (without it, they are counted in the order in
        which the modules were made), and residual branches are found

    Raises
    ------
    UsageError
        An unknown scheme, one that does not fit a layer (delta-orthogonal) or needs an example, a recipe that leaves
        a weight out, or a parameter without values (a lazy layer, the meta device). ModelError: the network does not
        run on the example. Nothing is written before all is known to fit.
    """
    if isinstance(scheme, str) and scheme in RESIDUAL:
        return initialize_residual(model, scheme, seed=seed, example=example)
    recipe = recipe_of(scheme) if isinstance(scheme, str) else None
    chosen = recipe or (scheme if isinstance(scheme, Mix) else scheme_of(scheme))
    slots = list(slots_of(model))
    citations: list[str] = []
    if isinstance(chosen, Default):
        settings = _reset(model, slots, seed)
    else:
        mix = chosen if isinstance(chosen, Mix) else Mix.of((Rest(), chosen))
        citations = [scheme.citation for _, scheme in mix.rules if scheme.citation]
        settings = draw(slots, mix.choose(places_of(model, slots, example)), seed)
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
