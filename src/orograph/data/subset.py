"""Smaller sets with the same mixture of classes: seeded, stratified sampling without replacement.

A class with ``n_k`` of the ``n`` examples gets ``m n_k / n`` of the ``m`` wanted; what rounding down leaves goes to
the largest remainders (Hamilton's method), ties to the lower class. No class is off its share by a whole example.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from orograph.basics.errors import UsageError


def wanted(size: int | float | None, available: int, option: str) -> int:
    """``size`` as a number of examples: None is all, a float in (0, 1] a share (at least one example).

    Raises
    ------
    UsageError
        The size is not in range; the message says how many examples there are.
    """
    if size is None:
        return available
    if isinstance(size, float):
        if not 0 < size <= 1:
            raise UsageError(f"{option}={size} is a share and must be in (0, 1]; give a whole number to count examples")
        return max(1, round(size * available))
    if not 1 <= size <= available:
        raise UsageError(f"{option}={size:,} but there are {available:,} examples; ask for 1 to {available:,}")
    return int(size)


def quotas(counts: np.ndarray, m: int) -> np.ndarray:
    """How many of ``m`` examples each class gets, int of shape (classes,), from its count in the whole.

    >>> quotas(np.array([50, 30, 20]), 7)
    array([4, 2, 1])
    """
    # Whole numbers throughout: a float quotient could round a tie either way.
    shares, remainders = np.divmod(counts.astype(np.int64) * m, int(counts.sum()))
    order = np.argsort(-remainders, kind="stable")
    shares[order[: m - int(shares.sum())]] += 1
    return shares


def stratified(labels: Tensor, m: int, generator: torch.Generator) -> Tensor:
    """Indices of ``m`` of the ``n`` examples, int64 of shape (m,), ascending, each class by its :func:`quotas`."""
    values = labels.cpu().numpy()
    _, members, counts = np.unique(values, return_inverse=True, return_counts=True)
    # One permutation for all classes: each takes the members that come first in it.
    order = torch.randperm(len(values), generator=generator).numpy()
    by_class = order[np.argsort(members[order], kind="stable")]
    starts = np.cumsum(counts) - counts
    chosen = [by_class[start : start + quota] for start, quota in zip(starts, quotas(counts, m), strict=True)]
    return torch.from_numpy(np.sort(np.concatenate(chosen)))


def sample(labels: Tensor | None, available: int, m: int, generator: torch.Generator) -> Tensor:
    """Like :func:`stratified`; a plain random sample where there are no classes (``labels`` is None)."""
    if labels is not None:
        return stratified(labels, m, generator)
    return torch.randperm(available, generator=generator)[:m].sort().values


def train_test(labels: Tensor | None, available: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices of a stratified 80/20 split (both sets get at least one example), each in a random order.

    Raises
    ------
    UsageError
        There are fewer than two examples.
    """
    if available < 2:
        raise UsageError(f"{available} example cannot be split into a train and a test set; give at least 2")
    train = sample(labels, available, max(available * 4 // 5, 1), generator)
    rest = torch.ones(available, dtype=torch.bool)
    rest[train] = False
    test = rest.nonzero().reshape(-1)
    return (
        train[torch.randperm(len(train), generator=generator)],
        test[torch.randperm(len(test), generator=generator)],
    )
