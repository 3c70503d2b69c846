"""Batches held on the device, in the working precision and memory format, made once and read at every point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from orograph.basics.seeds import generator
from orograph.data import Examples
from orograph.data.structure import map_tensors
from orograph.objective.criterion import batch_size
from orograph.objective.settings import Settings

_CACHED_BYTES = 8 << 20
_SMALLEST_BATCH = 32


def hold(
    examples: Examples,
    settings: Settings,
    device: torch.device,
    *,
    shuffle_seed: int | None = None,
    size: int | None = None,
) -> list[Any]:
    """All examples as a list of batches of ``size`` (default: that of the settings).

    With ``shuffle_seed`` they come in one fixed random order, the same for all points. A last batch of a single
    example, which has no variance for batch norm, is avoided by slightly larger batches.
    """
    size, count = size or settings.batch_size, len(examples)
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
            tensor = channels_last(tensor)
        return tensor

    return [map_tensors(prepare, batch) for batch in examples.batches(size, order)]


def fitting_size(model: nn.Module, run: Callable[[Any], Any], few: Any, largest: int) -> int:
    """At most ``largest`` examples, halved until the largest activation of a batch is small enough for the cache.

    Larger ones cost more than they save: each passes through memory, and the system hands it out and takes it back
    anew. ``few`` is a batch of few examples, on which ``run`` calls the network once. It depends on shapes alone, so
    every run of the same network and data has the same batches.
    """
    widest = 0

    def look(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal widest
        if isinstance(output, Tensor):
            widest = max(widest, output.numel() * output.element_size())

    hooks = [part.register_forward_hook(look) for part in model.modules()]
    try:
        run(few)
    finally:
        for hook in hooks:
            hook.remove()
    each = widest / max(batch_size(few), 1)
    size = largest
    while size > _SMALLEST_BATCH and size * each > _CACHED_BYTES:
        size //= 2
    return size


def channels_last(images: Tensor) -> Tensor:
    """(n, c, h, w) laid out pixel by pixel, in which convolutions and above all poolings are faster.

    Images of one channel are the same bytes in both layouts, and torch then keeps the slower one for all that follows;
    strides that say otherwise decide it.
    """
    n, channels, height, width = images.shape
    if channels > 1:
        return images.contiguous(memory_format=torch.channels_last)
    return images.contiguous().as_strided((n, 1, height, width), (height * width, 1, width, 1))


def calibration_subset(examples: Examples, settings: Settings, *, other: bool = False) -> Examples:
    """A fixed random subset of at most ``settings.calibration_examples``, in the order of the data.

    ``other`` gives a second one, which shares as few examples with the first as the data allow.
    """
    count, wanted = len(examples), settings.calibration_examples
    if count <= wanted or examples.kind == "batches":
        return examples.head(wanted)
    shuffled = torch.randperm(count, generator=generator(settings.seed, "calibration"))
    chosen = shuffled[-wanted:] if other else shuffled[:wanted]
    return examples.take(chosen.sort().values)
