"""Draw the weights of a network, each by its scheme, and set the biases beside them to zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from orograph.basics.errors import UsageError
from orograph.basics.seeds import derive
from orograph.initialize.parts import is_bias, is_norm, parts_of
from orograph.initialize.schemes import Scheme
from orograph.initialize.slots import Slot
from orograph.results.initialization import Setting


@torch.no_grad()
def draw(slots: Sequence[Slot], schemes: Mapping[str, Scheme], seed: int) -> list[Setting]:
    """Draw, in place, each parameter that has a scheme from a stream of its own; biases beside weights become 0.

    Raises UsageError, before anything is written, where a scheme does not fit a layer.
    """
    _require_fits(slots, schemes)
    return [_set(slot, schemes.get(slot.name), seed) for slot in slots]


def _require_fits(slots: Sequence[Slot], schemes: Mapping[str, Scheme]) -> None:
    weights = [(slot, schemes[slot.name]) for slot in slots if slot.name in schemes]
    bad = [(slot, scheme, why) for slot, scheme in weights for part in slot.parts if (why := scheme.misfit(part))]
    if not bad:
        return
    slot, scheme, why = bad[0]
    kinds = dict.fromkeys(type(one.layer).__name__ for one, _, _ in bad)
    others = any(type(one.layer).__name__ not in kinds for one, _ in weights)
    rules = ", ".join(f"(OfType({kind!r}), 'orthogonal')" for kind in kinds)
    instead = f"Mix.of({rules}, (Rest(), {scheme.name!r}))" if others else "'orthogonal'"
    more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    raise UsageError(f"{scheme.name} does not fit {slot.name} ({why}){more}; use {instead}")


def _set(slot: Slot, scheme: Scheme | None, seed: int) -> Setting:
    parts = slot.parts
    if scheme is not None:
        source = torch.Generator(slot.parameter.device).manual_seed(derive(seed, "initial values", slot.name))
        for part in parts:
            if part.values.numel():
                scheme.draw(part, source)
        return slot.setting(scheme.name, asked=scheme.std(parts[0]))
    if is_bias(slot.layer, slot.own) and _has_weights(slot.layer):
        slot.parameter.zero_()
        return slot.setting("zero", asked=0.0)
    return slot.setting("", why=_reason(slot))


def _has_weights(layer: nn.Module) -> bool:
    return any(parts_of(layer, name, parameter.detach()) for name, parameter in layer.named_parameters(recurse=False))


def _reason(slot: Slot) -> str:
    if is_norm(slot.layer):
        return "a norm layer's own"
    if slot.parameter.is_complex():
        return "complex"
    return f"no rule for {slot.own} of a {type(slot.layer).__name__}"
