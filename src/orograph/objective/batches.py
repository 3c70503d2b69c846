"""Batches held on the device, in the working precision and memory format, made once and read at every point."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from orograph.basics.seeds import generator
from orograph.data import Examples
from orograph.data.structure import map_tensors
from orograph.objective.settings import Settings


def hold(examples: Examples, settings: Settings, device: torch.device, *, shuffle_seed: int | None = None) -> list[Any]:
    """All examples as a list of batches; with ``shuffle_seed`` in one fixed random order, the same for all points.

    A last batch of a single example, which has no variance for batch norm, is avoided by slightly larger batches.
    """
    size, count = settings.batch_size, len(examples)
    while size > 1 and count > size and count % size == 1:
        size += 1
    order = None
    if shuffle_seed is not None and examples.kind != "batches":
        order = torch.randperm(count, generator=generator(shuffle_seed, "examples"))

    def prepare(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point():
            if settings.precision == "float64":
                tensor = tensor.double()
            elif tensor.dtype in (torch.float16, torch.bfloat16):
                tensor = tensor.float()  # parameters are held in float32, and both must agree
        tensor = tensor.to(device)
        if settings.channels_last and tensor.dim() == 4 and tensor.is_floating_point():
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor

    return [map_tensors(prepare, batch) for batch in examples.batches(size, order)]


def calibration_subset(examples: Examples, settings: Settings) -> Examples:
    """A fixed random subset of at most ``settings.calibration_examples``, in the order of the data."""
    count, wanted = len(examples), settings.calibration_examples
    if count <= wanted or examples.kind == "batches":
        return examples.head(wanted)
    shuffled = torch.randperm(count, generator=generator(settings.seed, "calibration"))
    return examples.take(shuffled[:wanted].sort().values)
