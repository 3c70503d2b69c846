"""Parameters that a network uses without owning them: layers in a plain list or dictionary, tensors that are no
``nn.Parameter``. ``model.parameters()`` does not return them, so no optimiser made of it trains them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn


def hidden(model: nn.Module) -> dict[str, Tensor]:
    """Tensors with requires_grad that attributes of modules hold and that are not registered, by their paths."""
    own = {id(p) for p in model.parameters()}
    found: dict[str, Tensor] = {}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if name.startswith("_") and name in ("_parameters", "_buffers", "_modules"):
                continue
            where = f"{path}.{name}" if path else name
            for place, tensor in _inside(value, where, 0):
                if id(tensor) not in own and tensor.requires_grad and tensor.is_leaf:
                    found.setdefault(place, tensor)
    return found


def _inside(value: Any, where: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if depth > 3:
        return
    if isinstance(value, Tensor):
        yield where, value
    elif isinstance(value, nn.Module):
        yield from ((f"{where}.{name}", parameter) for name, parameter in value.named_parameters())
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _inside(one, f"{where}[{key!r}]", depth + 1)
    elif isinstance(value, (list, tuple)):
        for index, one in enumerate(value):
            yield from _inside(one, f"{where}[{index}]", depth + 1)
