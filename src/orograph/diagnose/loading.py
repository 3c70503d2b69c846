"""Batches of whatever a training loop iterates over: as many as are examined, in the loader's own order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, default_collate

from orograph.basics.errors import ModelError, UsageError, in_a_line
from orograph.basics.seeds import isolated_randomness
from orograph.data.structure import batch_length, map_tensors


def gather(
    loader: Any, count: int, device: torch.device, dtype: torch.dtype, *, seed: int, size: int
) -> tuple[list[Any], int]:
    """Up to ``count`` batches of a loader on the network's device, beginning anew where it ends before, and how many of
    them belong to the first time round.

    Raises UsageError for what cannot be iterated twice or yields nothing, ModelError where it raises.
    """
    from orograph.data import Data, Examples, Split, as_examples
    from orograph.data.data import as_tensor

    if isinstance(loader, Data):
        loader = loader.train
    arrays = (Tensor, np.ndarray)
    if isinstance(loader, (tuple, list)) and len(loader) == 2 and all(isinstance(part, arrays) for part in loader):
        loader = Split(*(as_tensor(part) for part in loader))
    if isinstance(loader, torch.utils.data.Dataset):
        loader = as_examples(loader, "the data", seed)
    if hasattr(loader, "__next__"):
        raise UsageError("the data is an iterator, which can be read once; give the loader itself")
    no_loader = (str, bytes, Mapping, nn.Module, Tensor, np.ndarray)
    if isinstance(loader, no_loader) or not (hasattr(loader, "__iter__") or isinstance(loader, Examples)):
        raise UsageError(
            "the data must be a loader of batches, a list of them, a Dataset or a pair (inputs, targets), not a "
            f"{type(loader).__name__}"
        )
    found: list[Any] = []
    with _loader_state(loader), isolated_randomness(seed):
        epoch, first = 0, 0
        while len(found) < count:
            before = len(found)
            for batch in _once(loader, size, seed, epoch):
                found.append(map_tensors(lambda t: _moved(t, device, dtype), batch))
                if len(found) == count:
                    break
            if len(found) == before:
                break
            first = first or len(found)
            epoch += 1
    if found and (found[0] is None or isinstance(found[0], (bool, int, float))):
        raise UsageError(f"the loader yields a {type(found[0]).__name__} where a batch of tensors is expected")
    if not found or not batch_length(found[0]):
        raise UsageError("the loader yields no batches, so there is nothing to train on")
    return found, first


def _once(loader: Any, size: int, seed: int, epoch: int) -> Iterator[Any]:
    from orograph.basics.seeds import generator
    from orograph.data import BatchList, Examples

    if isinstance(loader, BatchList):
        yield from loader.items
    elif isinstance(loader, Examples):
        order = torch.randperm(len(loader), generator=generator(seed, "order", epoch))
        yield from loader.batches(size, order)
    else:
        iterator = None
        while True:
            try:
                iterator = iter(loader) if iterator is None else iterator
                batch = next(iterator)
            except StopIteration:
                return
            except Exception as error:
                reason = in_a_line(error)
                raise ModelError(
                    f"the loader raised an error ({reason}); mend its dataset or collate function"
                ) from error
            yield batch


@contextmanager
def _loader_state(loader: Any) -> Iterator[None]:
    """Generators that a loader or its sampler draws from get their state back."""
    owners = [loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)]
    owners.append(getattr(owners[2], "sampler", None))
    generators = [g for owner in owners if isinstance(g := getattr(owner, "generator", None), torch.Generator)]
    states = [(g, g.get_state()) for g in generators]
    try:
        yield
    finally:
        for g, state in states:
            g.set_state(state)


def _moved(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """On the device; a float64 network gets float64, any other what the user has."""
    if tensor.is_floating_point() and dtype == torch.float64:
        return tensor.to(device, dtype)
    if tensor.device.type == "meta":
        raise UsageError("the data lie on the meta device and hold no numbers; give real tensors")
    return tensor.to(device)


def repeats_by_design(loader: Any) -> bool:
    """Whether a loader draws with replacement, or is a stream that may bring an example again."""
    samplers = [getattr(loader, "sampler", None), getattr(getattr(loader, "batch_sampler", None), "sampler", None)]
    stream = isinstance(getattr(loader, "dataset", None), torch.utils.data.IterableDataset)
    return stream or any(getattr(sampler, "replacement", False) for sampler in samplers)


def stacks_examples(loader: Any) -> bool:
    """Whether a loader stacks examples by torch's own function, along the first axis."""
    return isinstance(loader, DataLoader) and loader.collate_fn is default_collate
