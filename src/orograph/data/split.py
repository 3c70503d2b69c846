"""Examples held in memory: what a network is trained on, and what a height is measured on.

Two kinds of holder share one interface, :class:`Examples`. :class:`Split` has one tensor for each column, so that
any subset in any order is an index away; :class:`BatchList` keeps batches as a loader made them, for data that do
not stack (sentences padded batch by batch). Nothing is ever dropped: the last, shorter batch is always yielded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from orograph.basics.errors import DataError, UsageError
from orograph.data.structure import Batch, batch_length, map_tensors, structure_fingerprint

Kind = Literal["pair", "dictionary", "batches"]
Indices = Tensor | np.ndarray | Sequence[int]


class Examples(ABC):
    """What :class:`Split` and :class:`BatchList` have in common. ``len(examples)`` is the number of examples."""

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """``pair``: a batch is ``(inputs, targets)``; ``dictionary``: a dict; ``batches``: as the loader made it."""

    @property
    @abstractmethod
    def inputs(self) -> Tensor:
        """Tensor of shape (n, …). Raises UsageError unless ``kind`` is ``pair``."""

    @property
    @abstractmethod
    def targets(self) -> Tensor | None:
        """Tensor of shape (n, …), None if there are no targets. Raises UsageError unless ``kind`` is ``pair``."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """24 hexadecimal digits of the content (names, dtypes, shapes, bytes), equal on every device."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batches(self, size: int, order: Indices | None = None) -> Iterator[Batch]:
        """Consecutive batches of ``size`` examples, the last, shorter one included; ``order`` holds example indices."""

    @abstractmethod
    def take(self, indices: Indices) -> Examples:
        """The examples at ``indices`` (int, shape (m,)), in that order, repeats allowed."""

    @abstractmethod
    def head(self, n: int) -> Examples:
        """The first ``n`` examples, or all where there are fewer."""

    @abstractmethod
    def to(self, device: str | torch.device) -> Examples:
        """The same examples on ``device``."""


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Split(Examples):
    """One tensor for each column, all with the same number of rows.

    ``Split(inputs, targets)`` is the ordinary case: a batch is the tuple ``(inputs, targets)``, with None for
    targets that are not there. ``Split(columns={"tokens": …, "mask": …})`` is the general one: a batch is a
    dictionary with these keys. The tensors are kept as they are given, without a copy, and must
    not be changed in place afterwards (the fingerprint is computed once).

    Raises
    ------
    DataError
        A column is not a tensor, or the columns differ in length.
    """

    columns: Mapping[str, Tensor]
    paired: bool

    def __init__(
        self,
        inputs: Tensor | None = None,
        targets: Tensor | None = None,
        *,
        columns: Mapping[str, Tensor] | None = None,
    ) -> None:
        if (inputs is None) == (columns is None) or (columns is not None and targets is not None):
            raise UsageError("a Split takes either inputs (and targets) or columns=")
        object.__setattr__(self, "paired", columns is None)
        if columns is None:
            assert inputs is not None
            columns = {"inputs": inputs} if targets is None else {"inputs": inputs, "targets": targets}
        object.__setattr__(self, "columns", dict(columns))
        for name, column in self.columns.items():
            if not isinstance(column, Tensor) or column.ndim == 0:
                raise DataError(f"{name!r} is a {type(column).__name__}; a column is a tensor with one row per example")
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) != 1:
            counts = ", ".join(f"{count:,} {name}" for name, count in lengths.items()) or "no columns"
            raise DataError(f"every column needs the same number of examples, found {counts}")

    @property
    def kind(self) -> Kind:
        return "pair" if self.paired else "dictionary"

    @property
    def inputs(self) -> Tensor:
        return self._pair()["inputs"]

    @property
    def targets(self) -> Tensor | None:
        return self._pair().get("targets")

    def _pair(self) -> Mapping[str, Tensor]:
        if not self.paired:
            raise UsageError(f"these examples are dictionaries with the keys {', '.join(self.columns)}; use .columns")
        return self.columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {tuple(value.shape)} {value.dtype}" for name, value in self.columns.items())
        return f"Split({shapes})"

    @cached_property
    def fingerprint(self) -> str:
        return structure_fingerprint({"kind": self.kind, "columns": self.columns})

    def batch(self, index: slice | Indices) -> Batch:
        """The examples at a slice (without a copy) or at indices, as one batch."""
        chosen = self._rows(index)
        return (chosen["inputs"], chosen.get("targets")) if self.paired else chosen

    def batches(self, size: int, order: Indices | None = None) -> Iterator[Batch]:
        if size < 1:
            raise UsageError(f"a batch needs at least one example, not {size}")
        indices = None if order is None else torch.as_tensor(order, dtype=torch.int64)
        for start in range(0, len(self) if indices is None else len(indices), size):
            rows = slice(start, start + size)
            yield self.batch(rows if indices is None else indices[rows])

    def take(self, indices: Indices) -> Split:
        return self._like(self._rows(indices))

    def head(self, n: int) -> Split:
        return self._like(self._rows(slice(0, max(n, 0))))

    def to(self, device: str | torch.device) -> Split:
        moved = self._like({name: column.to(device) for name, column in self.columns.items()})
        if "fingerprint" in self.__dict__:  # the content is the same; hashing it again would bring it back here
            moved.__dict__["fingerprint"] = self.fingerprint
        return moved

    def _rows(self, index: slice | Indices) -> dict[str, Tensor]:
        if not isinstance(index, slice):
            positions = torch.as_tensor(index, dtype=torch.int64)
            return {name: column[positions.to(column.device)] for name, column in self.columns.items()}
        return {name: column[index] for name, column in self.columns.items()}

    def _like(self, columns: Mapping[str, Tensor]) -> Split:
        if self.paired:
            return Split(columns["inputs"], columns.get("targets"))
        return Split(columns=columns)


@dataclass(frozen=True, eq=False, repr=False)
class BatchList(Examples):
    """Ready-made batches in a fixed order, each any structure of tensors (see :mod:`orograph.data.structure`).

    The number of examples in a batch is the length of its first tensor. Examples cannot be told apart inside a
    batch, so ``take`` and the columns raise UsageError, ``head`` counts in whole batches and ``batches`` ignores
    ``size``. An ``order`` of examples (a permutation of all of them) becomes an order of batches: each one
    comes where its first example stands, which is what shuffling an epoch needs.
    """

    items: tuple[Batch, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(self.items))

    @property
    def kind(self) -> Kind:
        return "batches"

    @property
    def inputs(self) -> Tensor:
        raise UsageError("these examples come as ready-made batches without common columns; iterate .batches(size)")

    @property
    def targets(self) -> Tensor | None:
        raise UsageError("these examples come as ready-made batches without common columns; iterate .batches(size)")

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The number of examples in each batch."""
        return tuple(batch_length(item) for item in self.items)

    def __len__(self) -> int:
        return sum(self.sizes)

    def __repr__(self) -> str:
        return f"BatchList({len(self.items)} batches, {len(self)} examples)"

    @cached_property
    def fingerprint(self) -> str:
        return structure_fingerprint({"kind": self.kind, "items": self.items})

    def batches(self, size: int, order: Indices | None = None) -> Iterator[Batch]:
        if order is None:
            return iter(self.items)
        positions = torch.as_tensor(order, dtype=torch.int64, device="cpu")
        if not torch.equal(positions.sort().values, torch.arange(len(self))):
            raise UsageError(f"ready-made batches can be shuffled, not sampled: order must permute all {len(self):,}")
        first_examples = np.cumsum((0, *self.sizes[:-1]))
        rank = torch.argsort(positions)[first_examples]
        return iter([self.items[index] for index in torch.argsort(rank).tolist()])

    def take(self, indices: Indices) -> BatchList:
        raise UsageError("ready-made batches cannot be split into examples; give a Dataset, or a smaller loader")

    def head(self, n: int) -> BatchList:
        """The first whole batches that hold at least ``n`` examples together, or all of them."""
        before = np.cumsum((0, *self.sizes[:-1]))
        return BatchList(tuple(item for item, start in zip(self.items, before, strict=True) if start < n))

    def to(self, device: str | torch.device) -> BatchList:
        return BatchList(tuple(map_tensors(lambda tensor: tensor.to(device), item) for item in self.items))
