"""Batches for a learned initialisation: shuffled, endless, and cut into parts by rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from orograph.basics.errors import DataError, UsageError
from orograph.basics.seeds import generator
from orograph.data import Augmentation, BatchList, Data, Examples, Split, as_examples
from orograph.data.structure import batch_length, map_tensors

Source = Data | Examples | Dataset[Any] | DataLoader[Any]


def examples_of(data: Any) -> Examples:
    """The training examples in ``data``; a list of batches is taken as it is. Raises UsageError for none."""
    if isinstance(data, Data):
        return data.train
    if isinstance(data, list) and not data:
        raise UsageError("the list of batches is empty")
    if isinstance(data, list) and not isinstance(data[0], Tensor):
        return BatchList(tuple(data))
    if isinstance(data, (Examples, Dataset, DataLoader, tuple)):
        return as_examples(data, "the data")
    raise UsageError(
        f"data must be Data, a Split, a Dataset, a DataLoader or a list of batches, not a {type(data).__name__}"
    )


class Chunks:
    """An endless stream of batches of ``size`` examples on the network's device, in a new order every epoch.

    Ready-made batches come as they are, one at a time; of fewer examples than ``size`` all come at once. ``drawn``
    counts examples. Raises DataError for none, UsageError for a size below 1.
    """

    def __init__(
        self, examples: Examples, size: int, model: nn.Module, *, seed: int, augmentation: Augmentation | None = None
    ) -> None:
        if size < 1:
            raise UsageError(f"a batch has at least one example, not {size}")
        if not len(examples):
            raise DataError("there are no examples to initialise by")
        if augmentation is not None and (examples.kind != "pair" or examples.inputs.dim() != 4):
            raise UsageError("crop, flip and cutout need images of shape (n, channels, height, width)")
        first = next(model.parameters())
        self._device, self._dtype = first.device, first.dtype
        self.size = min(size, len(examples))
        self._examples, self._seed = examples, seed
        self._augmentation = augmentation
        self._stream = self._forever()
        self.drawn = 0  # examples

    def __call__(self) -> Any:
        batch = next(self._stream)
        self.drawn += batch_length(batch)
        return batch

    def _forever(self) -> Iterator[Any]:
        epoch = 0
        while True:
            yield from self._epoch(epoch)
            epoch += 1

    def _epoch(self, epoch: int) -> Iterator[Any]:
        drawing = generator(self._seed, "initialisation", epoch)
        if isinstance(self._examples, BatchList):
            for index in torch.randperm(len(self._examples.items), generator=drawing).tolist():
                yield self._moved(self._examples.items[index])
            return
        assert isinstance(self._examples, Split)
        order = torch.randperm(len(self._examples), generator=drawing)
        # A shorter batch at the end would have other statistics, so its examples wait for another epoch.
        for start in range(0, len(order) - self.size + 1, self.size):
            batch = self._examples.batch(order[start : start + self.size])
            if self._augmentation is not None:
                batch = (self._augmentation(batch[0], drawing), batch[1])
            yield self._moved(batch)

    def _moved(self, batch: Any) -> Any:
        def move(tensor: Tensor) -> Tensor:
            return tensor.to(self._device, self._dtype) if tensor.is_floating_point() else tensor.to(self._device)

        return map_tensors(move, batch)


def rows(batch: Any, start: int, stop: int) -> Any:
    """Examples ``start`` to ``stop`` of a batch of any structure; what has no row for each example stays whole."""
    examples = batch_length(batch)

    def cut(tensor: Tensor) -> Tensor:
        return tensor[start:stop] if tensor.dim() and len(tensor) == examples else tensor

    return map_tensors(cut, batch)
