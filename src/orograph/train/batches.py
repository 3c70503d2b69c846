"""The batch of any step, addressed by its number alone.

Examples are held on the device and taken by index. The last batch of an epoch is the remainder; a remainder of a
single example, which batch norm cannot train on, joins the batch before it, so that every epoch sees every example
exactly once. Ready-made batches keep their sizes and are only put in another order.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from orograph.basics.errors import DataError, UsageError
from orograph.data import Augmentation, BatchList, Examples, Split, centre_crops, colour_axes
from orograph.data.structure import Batch, map_tensors
from orograph.objective.batches import channels_last
from orograph.objective.workspace import Workspace
from orograph.train.recipe import Recipe
from orograph.train.streams import Streams
from orograph.weights import Weights


class Batches:
    """``batches(step)`` is the batch of step ``step`` (from 0), shuffled, augmented and on ``device``.

    ``per_epoch`` is the number of steps in one epoch. ``by_pixel`` lays images out channel after channel of each pixel
    (see :func:`takes_pixels`).

    Floating-point tensors become float64 where the recipe trains in float64. Raises DataError where there are no
    examples, UsageError where augmentation is asked of something else than images.
    """

    def __init__(
        self, examples: Examples, recipe: Recipe, streams: Streams, device: torch.device, *, by_pixel: bool = False
    ) -> None:
        if not len(examples):
            raise DataError("there are no examples to train on")
        self._streams = streams
        self._augmentation: Augmentation | None = None
        if recipe.augments:
            if examples.kind != "pair" or examples.inputs.dim() != 4:
                raise UsageError("crop, flip and cutout need images of shape (n, channels, height, width)")
            axes = colour_axes(examples.inputs) if recipe.colour else None
            self._augmentation = Augmentation(
                recipe.crop, recipe.flip, recipe.cutout, recipe.scale, recipe.crop_to, recipe.colour, axes
            )
        self._examples = _prepared(examples, device, double=recipe.precision == "float64")
        self._device = device
        self._by_pixel = by_pixel
        ready = isinstance(self._examples, BatchList)
        self.per_epoch = steps_per_epoch(examples, recipe)
        self._slices = [] if ready else batch_slices(len(examples), recipe.batch_size)
        self._shuffled = self.per_epoch if ready else len(examples)
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def __call__(self, step: int) -> Batch:
        epoch, index = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            order = self._streams.permutation(self._shuffled, epoch)
            self._order = order if isinstance(self._examples, BatchList) else order.to(self._device)
            self._epoch = epoch
        if isinstance(self._examples, BatchList):
            return self._examples.items[int(self._order[index])]
        rows = self._order[self._slices[index]]
        # index_select is a good deal faster than indexing, and this is done at every step.
        columns = {name: column.index_select(0, rows) for name, column in self._examples.columns.items()}
        if not self._examples.paired:
            return columns
        if self._augmentation is not None:
            columns["inputs"] = self._augmentation(columns["inputs"], self._streams.augmenter(epoch, index))
        if self._by_pixel:
            columns["inputs"] = channels_last(columns["inputs"])
        return columns["inputs"], columns.get("targets")


def as_measured(tested: Examples, train: Examples, recipe: Recipe) -> Examples:
    """The test examples as a network that is trained on crops sees them: their middles, at the middle of the scales.

    So are images measured that are of the training images' size, or of another than the crop's. Those that have the
    crop's size where the training images have not were prepared by whoever gave them, and stay as they are, and so
    does everything where the recipe has no ``crop_to``.
    """
    if not recipe.crop_to:
        return tested
    if tested.kind != "pair" or tested.inputs.dim() != 4:
        raise UsageError("crop_to needs images of shape (n, channels, height, width), to train and to measure on")
    sides = tuple(tested.inputs.shape[2:])
    if sides == (recipe.crop_to, recipe.crop_to) != tuple(train.inputs.shape[2:]):
        return tested
    return centre_crops(tested, recipe.crop_to, recipe.middle_scale)


def takes_pixels(model: nn.Module, examples: Examples, device: torch.device) -> bool:
    """Whether ``model`` convolves images and runs on them laid out pixel by pixel, which is 20 to 40 % faster.

    It is asked in evaluation mode and gets every bit back; a network that calls ``.view`` on activations does not.
    """
    if examples.kind != "pair" or examples.inputs.dim() != 4 or not examples.inputs.is_floating_point():
        return False
    if not any(isinstance(module, nn.Conv2d) for module in model.modules()):
        return False
    weights = Weights.of(model)
    with Workspace(model, weights.layout, device, weights.layout.dtype) as workspace, torch.inference_mode():
        workspace.put(weights)
        try:
            model(channels_last(examples.inputs[:2].to(device, weights.layout.dtype)))
        except RuntimeError:
            return False
    return True


def steps_per_epoch(examples: Examples, recipe: Recipe) -> int:
    """The number of steps that ``recipe`` takes over ``examples`` once."""
    if isinstance(examples, BatchList):
        return len(examples.items)
    return len(batch_slices(len(examples), recipe.batch_size))


def batch_slices(examples: int, size: int) -> list[slice]:
    """Consecutive slices of ``size`` that cover ``examples``; a last one of a single example is merged."""
    starts = list(range(0, examples, size))
    if len(starts) > 1 and size > 1 and examples - starts[-1] == 1:
        starts.pop()
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], examples], strict=True)]


def _prepared(examples: Examples, device: torch.device, *, double: bool) -> Split | BatchList:
    def move(tensor: Tensor) -> Tensor:
        return tensor.to(device, torch.float64) if double and tensor.is_floating_point() else tensor.to(device)

    if isinstance(examples, BatchList):
        return BatchList(tuple(map_tensors(move, item) for item in examples.items))
    if not isinstance(examples, Split):
        raise UsageError(f"training needs a Split or a BatchList, not a {type(examples).__name__}")
    columns = {name: move(column) for name, column in examples.columns.items()}
    if examples.paired:
        return Split(columns["inputs"], columns.get("targets"))
    return Split(columns=columns)
