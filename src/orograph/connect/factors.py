"""The structure of a tensor's axis, as far as a network's operations reveal it.

An axis is a row-major product of *factors* (heads times entries of a head; channels times rows times columns where a
picture is flattened), and a factor may be a sum of others (channels that were concatenated). Two axes that an operation
pairs entry by entry have one structure: :func:`unify` makes them so, splitting the coarser of two where the finer one
fits into it and *freezing* both where neither does. Frozen factors keep their order. Freezing is always safe: it only
loses symmetry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray


class Factor:
    """``size`` entries that permute together, or the product or sum of ``parts``; equal ones share one root."""

    __slots__ = ("form", "parent", "parts", "reason", "size")

    def __init__(self, size: int, reason: str | None = None) -> None:
        self.size = size
        self.reason = reason  # why it is frozen
        self.parent: Factor | None = None
        self.form: Literal["product", "sum"] | None = None
        self.parts: list[Factor] = []

    def root(self) -> Factor:
        """The representative of all factors equal to this one."""
        found = self
        while found.parent is not None:
            found = found.parent
        if self is not found:
            self.parent = found  # so that the next search is short
        return found

    def split(self, form: Literal["product", "sum"], sizes: Sequence[int]) -> list[Factor]:
        """Make this undivided root the product or sum of new factors."""
        self.form = form
        self.parts = [Factor(size, self.reason) for size in sizes]
        return self.parts


Axis = list[Factor]


def product_of(axis: Axis) -> Factor:
    """One factor for a whole axis."""
    if len(axis) == 1:
        return axis[0]
    whole = Factor(int(np.prod([factor.size for factor in axis], dtype=np.int64)))
    whole.form, whole.parts = "product", list(axis)
    return whole


def sum_of(parts: Sequence[Factor]) -> Factor:
    """One factor for axes that stand one after the other."""
    whole = Factor(sum(part.size for part in parts))
    whole.form, whole.parts = "sum", list(parts)
    return whole


def freeze(axis: Sequence[Factor], reason: str) -> None:
    """Keep the order of every entry, because of the operation ``reason``."""
    for factor in axis:
        root = factor.root()
        if root.form is not None:
            freeze(root.parts, reason)
        elif root.reason is None:
            root.reason = reason


def flat(axis: Sequence[Factor]) -> Axis:
    """The axis as roots that are no products, without factors of one entry, which have no order."""
    found: Axis = []
    for factor in axis:
        root = factor.root()
        if root.form == "product":
            found += flat(root.parts)
        elif root.size > 1:
            found.append(root)
    return found


def unify(one: Sequence[Factor], other: Sequence[Factor], reason: str) -> None:
    """Give two axes that are paired entry by entry one structure; ``reason`` names the operation that pairs them."""
    left, right = flat(one)[::-1], flat(other)[::-1]
    while left and right:
        x, y = left.pop(), right.pop()
        if x.size == y.size:
            _merge(x, y, reason)
            continue
        big, small, pile = (x, y, left) if x.size > y.size else (y, x, right)
        if big.form is not None or big.size % small.size:
            freeze([x, y, *left, *right], reason)
            return
        pile += big.split("product", (small.size, big.size // small.size))[::-1]
        (right if pile is left else left).append(small)
    freeze([*left, *right], reason)


def _merge(one: Factor, other: Factor, reason: str) -> None:
    one, other = one.root(), other.root()
    if one is other:
        return
    if one.form is None:
        one, other = other, one
    if one.form is not None and other.form is not None:
        _pair_parts(one, other, reason)
    frozen = other.reason if other.form is None else None
    other.parent = one
    if frozen is not None:
        freeze([one], frozen)


def _pair_parts(one: Factor, other: Factor, reason: str) -> None:
    """Two sums of one size: cut both where either is cut."""
    left, right = _terms(one)[::-1], _terms(other)[::-1]
    while left and right:
        x, y = left.pop().root(), right.pop().root()
        if x.form == "sum" or y.form == "sum":  # it was cut meanwhile
            left += _terms(x)[::-1]
            right += _terms(y)[::-1]
        elif x.size == y.size:
            unify([x], [y], reason)
        else:
            big, small, pile = (x, y, left) if x.size > y.size else (y, x, right)
            if big.form is not None:
                freeze([x, y, *left, *right], reason)
                return
            pile += big.split("sum", (small.size, big.size - small.size))[::-1]
            (right if pile is left else left).append(small)


def _terms(factor: Factor) -> Axis:
    """The factor as terms that are no sums."""
    root = factor.root()
    return [term for part in root.parts for term in _terms(part)] if root.form == "sum" else [root]


def cut(axis: Sequence[Factor], start: int, stop: int, reason: str) -> Axis:
    """The entries ``start`` to ``stop`` of an axis, which becomes a sum of theirs and the others."""
    factors = flat(axis)
    size = int(np.prod([factor.size for factor in factors], dtype=np.int64))
    if (start, stop) == (0, size):
        return factors
    first, rest = factors[0], factors[1:]
    inner = size // first.size
    if start % inner or stop % inner:
        freeze(factors, reason)
        return [Factor(stop - start, reason)]
    start, stop = start // inner, stop // inner
    chosen: Axis = []
    offset = 0
    for term in _terms(first):
        low, high = max(start - offset, 0), min(stop - offset, term.size)
        offset += term.size
        if low >= high:
            continue
        if (low, high) != (0, term.size):
            if term.form is not None:
                freeze([first], reason)
                chosen.append(Factor(high - low, reason))
                continue
            sizes = [size for size in (low, high - low, term.size - high) if size]
            term = term.split("sum", sizes)[1 if low else 0]
        chosen.append(term)
    return [chosen[0] if len(chosen) == 1 else sum_of(chosen), *rest]


def places(axis: Sequence[Factor]) -> Iterator[tuple[Factor, NDArray[np.int64]]]:
    """Each undivided factor of an axis, as often as it occurs, with the (size, m) positions of its entries."""
    whole = product_of(list(axis))
    yield from _places(whole, np.arange(whole.size)[:, None])


def _places(factor: Factor, positions: NDArray[np.int64]) -> Iterator[tuple[Factor, NDArray[np.int64]]]:
    root = factor.root()
    if root.form is None:
        yield root, positions
    elif root.form == "sum":
        offset = 0
        for part in root.parts:
            yield from _places(part, positions[offset : offset + part.size])
            offset += part.size
    else:
        sizes = [part.size for part in root.parts]
        table = positions.reshape(*sizes, -1)
        for index, part in enumerate(root.parts):
            yield from _places(part, np.moveaxis(table, index, 0).reshape(part.size, -1))
