"""Which tensors make up a point of weight space, and where each lies in the flat vector.

Coordinates are the floating-point (or complex, as pairs) tensors of ``named_parameters()``, once per object: tied
parameters are one slot and move together. Parametrised modules are seen through their stored originals. Buffers and
parameters that are not selected are never coordinates.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from orograph.basics.errors import UsageError, WeightsError

Select = Literal["trainable", "all"] | tuple[str, ...]
Kind = Literal["convolution", "transposed convolution", "linear", "embedding", "norm", "other"]

_KINDS: tuple[tuple[tuple[type[nn.Module], ...], Kind], ...] = (
    ((nn.Conv1d, nn.Conv2d, nn.Conv3d), "convolution"),
    ((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), "transposed convolution"),
    ((nn.Linear, nn.Bilinear, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase), "linear"),
    ((nn.Embedding, nn.EmbeddingBag), "embedding"),
    ((nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm), "norm"),
)


@dataclass(frozen=True)
class Slot:
    """One parameter tensor: its place in the vector, and what kind of layer it belongs to.

    ``start`` and ``size`` count real numbers (a complex entry is two). ``aliases`` are the further names of a tied
    parameter. ``groups`` matters for transposed convolutions only.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    start: int
    size: int
    kind: Kind = "other"
    groups: int = 1
    aliases: tuple[str, ...] = ()

    @property
    def stop(self) -> int:
        """One past the last place in the vector."""
        return self.start + self.size

    def view(self, vector: Tensor) -> Tensor:
        """This parameter's part of ``vector`` in the parameter's own shape, sharing memory with it."""
        part = vector[self.start : self.stop]
        if self.dtype.startswith("complex"):
            return torch.view_as_complex(part.view(*self.shape, 2))
        return part.view(self.shape)


@dataclass(frozen=True)
class Layout:
    """The slots of a vector, in the order of ``named_parameters()``. Models are matched by name and shape."""

    slots: tuple[Slot, ...]
    select: Select = "trainable"

    @property
    def size(self) -> int:
        """D, the number of coordinates."""
        return self.slots[-1].stop if self.slots else 0

    @property
    def dtype(self) -> torch.dtype:
        """float32, or float64 where a parameter needs it: the narrowest that holds every parameter exactly."""
        wide = any(slot.dtype in ("float64", "complex128") for slot in self.slots)
        return torch.float64 if wide else torch.float32

    def parameters(self, model: nn.Module) -> list[nn.Parameter]:
        """The model's parameters slot by slot, found by name (or alias) and checked for shape.

        Raises
        ------
        WeightsError
            Names the first tensor that the model lacks or has in another shape.
        """
        found = dict(model.named_parameters(remove_duplicate=False))
        result = []
        for slot in self.slots:
            parameter = next((found[name] for name in (slot.name, *slot.aliases) if name in found), None)
            if parameter is None:
                raise WeightsError(f"the network has no parameter {slot.name!r}; these weights are of another one")
            if tuple(parameter.shape) != slot.shape:
                raise WeightsError(
                    f"{slot.name}: these weights have shape {slot.shape}, the network's is {tuple(parameter.shape)}"
                )
            result.append(parameter)
        return result

    def require_same(self, other: Layout) -> None:
        """Raise WeightsError, naming the first difference, unless both have equal names, shapes and places."""
        if self.slots == other.slots:
            return
        mine = {slot.name: slot.shape for slot in self.slots}
        yours = {slot.name: slot.shape for slot in other.slots}
        for name, shape in mine.items():
            if name not in yours:
                raise WeightsError(f"the other network has no parameter {name!r}; points must be of one architecture")
            if yours[name] != shape:
                raise WeightsError(
                    f"{name}: shapes {shape} and {yours[name]} differ; points must be of one architecture"
                )
        extra = next((name for name in yours if name not in mine), None)
        if extra is not None:
            raise WeightsError(f"only the other network has a parameter {extra!r}; points must be of one architecture")
        if list(mine) != list(yours) or self.dtype != other.dtype:
            raise WeightsError("the networks hold the same parameters in another order or number format")


def layout_of(model: nn.Module, select: Select | str | Sequence[str] = "trainable") -> Layout:
    """The layout of ``model``.

    ``select`` is ``trainable`` (parameters with ``requires_grad``), ``all``, or one or more name patterns
    (``"*.conv*"``). Integer parameters never count. Raises UsageError where a pattern matches nothing.
    """
    chosen: Select = "all" if select == "all" else "trainable"
    if select not in ("all", "trainable"):
        chosen = (select,) if isinstance(select, str) else tuple(select)
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    kinds = _kinds(model)
    slots: list[Slot] = []
    start = 0
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise UsageError(f"{name} has no shape yet (a lazy module); run one batch through the network first")
        if not (parameter.is_floating_point() or parameter.is_complex()):
            continue
        if chosen == "trainable" and not parameter.requires_grad:
            continue
        aliases = names[id(parameter)]
        if isinstance(chosen, tuple) and not any(fnmatch.fnmatch(a, pattern) for a in aliases for pattern in chosen):
            continue
        size = parameter.numel() * (2 if parameter.is_complex() else 1)
        kind, groups = kinds.get(id(parameter), ("other", 1))
        dtype = str(parameter.dtype).removeprefix("torch.")
        slots.append(Slot(name, tuple(parameter.shape), dtype, start, size, kind, groups, tuple(aliases[1:])))
        start += size
    if isinstance(chosen, tuple) and not slots:
        raise UsageError(f"no parameter matches {', '.join(chosen)}; see [n for n, _ in model.named_parameters()]")
    return Layout(tuple(slots), chosen)


def _kinds(model: nn.Module) -> dict[int, tuple[Kind, int]]:
    """The kind of layer each parameter belongs to (by identity), and its groups."""
    found: dict[int, tuple[Kind, int]] = {}
    for module in model.modules():
        kind = next((kind for types, kind in _KINDS if isinstance(module, types)), None)
        if kind is None:
            continue
        groups = int(getattr(module, "groups", 1)) if kind == "transposed convolution" else 1
        # A parametrised layer keeps its originals one level down.
        inner = [child for name, child in module.named_children() if name == "parametrizations"]
        for owner in [module, *(m for child in inner for m in child.modules())]:
            for parameter in owner.parameters(recurse=False):
                found.setdefault(id(parameter), (kind, groups))
    return found
