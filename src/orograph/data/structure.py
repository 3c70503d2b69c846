"""Batches of any shape: nested tuples, lists and dictionaries with tensors at the leaves.

A loss function decides what a batch looks like: ``(inputs, targets)``, ``{"tokens": …, "mask": …}``, a pair of
pairs. The functions here let the rest of the package move and fingerprint a batch without knowing which it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from orograph.basics.errors import DataError
from orograph.basics.keys import KEY_LENGTH

Batch = Any
"""Whatever the user's loss takes: a tensor, or tuples, lists and dictionaries of batches."""


def map_tensors(function: Callable[[Tensor], Tensor], batch: Batch) -> Batch:
    """The same structure with ``function`` applied to every tensor; other leaves (text, numbers) stay as they are."""
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, Mapping):
        return {key: map_tensors(function, value) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):  # a namedtuple takes its fields one by one
        return type(batch)(*(map_tensors(function, value) for value in batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(map_tensors(function, value) for value in batch)
    return batch


def leaves(batch: Batch, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with its path, dictionaries in the order of their keys' text: ``("/1/mask", tensor)``."""
    if isinstance(batch, Mapping):
        for key in sorted(batch, key=str):
            yield from leaves(batch[key], f"{path}/{key}")
    elif isinstance(batch, (list, tuple)):
        for index, value in enumerate(batch):
            yield from leaves(value, f"{path}/{index}")
    else:
        yield path, batch


def batch_length(batch: Batch) -> int:
    """The number of examples in a batch: the length of its first tensor that has a first axis (1 if none has)."""
    for _, leaf in leaves(batch):
        if isinstance(leaf, Tensor) and leaf.ndim:
            return len(leaf)
    return 1


def structure_fingerprint(batch: Batch) -> str:
    """24 hexadecimal digits (SHA-256, shortened) of each leaf's path, dtype, shape and bytes.

    The same content gives the same fingerprint on every device.

    Raises
    ------
    DataError
        A leaf is neither a tensor nor text, a number, a truth value or None.
    """
    digest = hashlib.sha256()
    for path, leaf in leaves(batch):
        if isinstance(leaf, Tensor):
            digest.update(f"{path}|{leaf.dtype}|{tuple(leaf.shape)}|".encode())
            # Viewed as bytes, because NumPy has no bfloat16.
            digest.update(leaf.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        elif leaf is None or isinstance(leaf, (str, bool, int, float)):
            digest.update(f"{path}|{type(leaf).__name__}|{leaf!r}|".encode())
        else:
            raise DataError(
                f"a batch holds a {type(leaf).__name__} at {path or 'its top'}; batches are made of tensors in "
                "tuples, lists and dictionaries (convert it in the dataset or the collate function)"
            )
    return digest.hexdigest()[:KEY_LENGTH]
