"""A point of weight space: one flat vector that adds, scales and measures like mathematics.

Source of the conventions: Li et al. 2018 and the landscape literature; sums of squares run in float64.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from orograph.basics.errors import WeightsError
from orograph.weights.files import Parts, read_parts, write_parts
from orograph.weights.layout import Layout, Select, layout_of
from orograph.weights.vectors import chunks, dot, squared_difference

if TYPE_CHECKING:
    from typing import Self


@dataclass(frozen=True, eq=False)
class Weights:
    """One point.

    Attributes
    ----------
    vector : Tensor of shape (D,)
        The selected parameters, tied ones once; float32, or float64 where the network has float64 parameters.
    layout : Layout
        Names, shapes and places of the parameters.
    buffers : dict
        Batch-norm statistics, masks and other buffers by name. They ride along and never move along a direction.
    fixed : dict
        Parameters that are not coordinates (frozen or integer ones). They must agree between points.

    Arithmetic (``a + b``, ``a - b``, ``t * a``, ``a / t``, ``-a``) acts on the vector; buffers and fixed parameters
    are those of the left operand. So ``(1 - t) * a + t * b`` carries the statistics of ``a``.
    """

    vector: Tensor
    layout: Layout
    buffers: dict[str, Tensor] = field(default_factory=dict)
    fixed: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, model: nn.Module, select: Select | str | Sequence[str] = "trainable") -> Self:
        """A copy of the model's present point. ``select``: ``trainable``, ``all``, or name patterns."""
        layout = layout_of(model, select)
        parameters = layout.parameters(model)
        device = parameters[0].device if parameters else torch.device("cpu")
        vector = torch.empty(layout.size, dtype=layout.dtype, device=device)
        with torch.no_grad():
            for slot, parameter in zip(layout.slots, parameters, strict=True):
                slot.view(vector).copy_(parameter)
        selected = {id(parameter) for parameter in parameters}
        buffers = {name: buffer.detach().clone() for name, buffer in model.named_buffers()}
        fixed = {n: p.detach().clone() for n, p in model.named_parameters() if id(p) not in selected}
        return cls(vector, layout, buffers, fixed)

    @classmethod
    def load(cls, path: str | Path, model: nn.Module | None = None) -> Self:
        """Read weights from a file of orograph's own, or a foreign state dict of ``model``.

        Raises WeightsError with one line for whatever cannot be used; see :mod:`orograph.weights.files`.
        """
        found = read_parts(Path(path), model)
        return cls(found.vector, found.layout, found.buffers, found.fixed)

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file that is also an ordinary state dict; see :mod:`orograph.weights.files`."""
        return write_parts(Parts(self.vector, self.layout, self.buffers, self.fixed), Path(path))

    def put_into(self, model: nn.Module) -> None:
        """Copy this point into ``model`` in place: parameters keep their identity, storage and strides.

        Raises WeightsError, before anything is written, where a name or shape does not fit.
        """
        parameters = self.layout.parameters(model)
        own: dict[str, Tensor] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        rest = self.buffers | self.fixed
        for name, tensor in rest.items():
            if name not in own:
                raise WeightsError(f"the network has no tensor {name!r}; these weights are of another one")
            if own[name].shape != tensor.shape:
                raise WeightsError(
                    f"{name}: these weights have shape {tuple(tensor.shape)}, the network's is {tuple(own[name].shape)}"
                )
        with torch.no_grad():
            for slot, parameter in zip(self.layout.slots, parameters, strict=True):
                parameter.copy_(slot.view(self.vector))
            for name, tensor in rest.items():
                own[name].copy_(tensor)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Names and views of the parameters in the vector, in order."""
        for slot in self.layout.slots:
            yield slot.name, slot.view(self.vector)

    def named_tensors(self) -> dict[str, Tensor]:
        """Every tensor by name, buffers and fixed parameters too; parameters are views of the vector."""
        return {**dict(self.tensors()), **self.buffers, **self.fixed}

    def copy(self) -> Weights:
        """The same point in memory of its own."""
        buffers, fixed = ({name: t.clone() for name, t in part.items()} for part in (self.buffers, self.fixed))
        return Weights(self.vector.clone(), self.layout, buffers, fixed)

    def with_vector(self, vector: Tensor) -> Weights:
        """The same layout, buffers and fixed parameters at another place."""
        return Weights(vector, self.layout, self.buffers, self.fixed)

    def to(self, device: str | torch.device) -> Weights:
        """This point on another device."""
        return Weights(
            self.vector.to(device),
            self.layout,
            {name: tensor.to(device) for name, tensor in self.buffers.items()},
            {name: tensor.to(device) for name, tensor in self.fixed.items()},
        )

    def __len__(self) -> int:
        return self.layout.size

    def __add__(self, other: Weights) -> Weights:
        return self.with_vector(self.vector + self._matching(other))

    def __sub__(self, other: Weights) -> Weights:
        return self.with_vector(self.vector - self._matching(other))

    def __mul__(self, factor: float) -> Weights:
        return self.with_vector(self.vector * factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Weights:
        return self.with_vector(self.vector / divisor)

    def __neg__(self) -> Weights:
        return self.with_vector(-self.vector)

    def dot(self, other: Weights) -> float:
        """Inner product with ``other``, accumulated in float64."""
        return dot(self.vector, self._matching(other))

    def norm(self) -> float:
        """Euclidean norm, accumulated in float64."""
        return math.sqrt(dot(self.vector, self.vector))

    def distance(self, other: Weights) -> float:
        """Euclidean distance to ``other``: differences and sums in float64, exactly 0 for equal vectors."""
        return math.sqrt(sum(self.squared_distances(other)))

    def squared_distances(self, other: Weights) -> list[float]:
        """The squared distance that each slot contributes, in the order of the layout."""
        yours = self._matching(other)
        return [squared_difference(self.vector[s.start : s.stop], yours[s.start : s.stop]) for s in self.layout.slots]

    def cosine(self, other: Weights) -> float:
        """Cosine of the angle between the two vectors; NaN where one of them is zero."""
        norms = self.norm() * other.norm()
        return self.dot(other) / norms if norms else float("nan")

    def is_finite(self) -> bool:
        """Whether every coordinate is finite and no buffer holds what training that diverged would leave there."""
        return self.unsound() is None

    def unsound(self) -> str | None:
        """The first tensor with NaN or infinity, None where there is none. Masks among buffers may hold -infinity."""
        for name, tensor in {**dict(self.tensors()), **self.fixed, **self.buffers}.items():
            if tensor.is_floating_point():
                flat = tensor.reshape(-1)
                for piece in chunks(len(flat)):
                    part = flat[piece]
                    right = part < math.inf if name in self.buffers else torch.isfinite(part)
                    if not bool(right.all()):
                        return name
        return None

    def require_same_family(self, other: Weights) -> None:
        """Raise WeightsError unless ``other`` has the same layout and equal fixed parameters."""
        self.layout.require_same(other.layout)
        for name, tensor in self.fixed.items():
            theirs = other.fixed.get(name)
            if theirs is None or theirs.shape != tensor.shape or not torch.equal(theirs.to(tensor.device), tensor):
                raise WeightsError(
                    f"{name} is not a coordinate (frozen or not selected) but differs between the networks, so a line "
                    "between them would not end at the second one; make it equal, or select all parameters"
                )

    def fingerprint(self) -> str:
        """A content hash (24 hexadecimal digits) of vector, buffers and fixed parameters with their names."""
        digest = hashlib.sha256()
        named = [("", self.vector), *sorted(self.buffers.items()), *sorted(self.fixed.items())]
        digest.update(repr([(slot.name, slot.shape) for slot in self.layout.slots]).encode())
        for name, tensor in named:
            digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
        return digest.hexdigest()[:24]

    def _matching(self, other: Weights) -> Tensor:
        if self.layout is not other.layout:
            self.layout.require_same(other.layout)
        return other.vector.to(self.vector.device)
