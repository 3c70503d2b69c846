"""Data held in memory: named sets, files, folders and the user's own datasets, all as one ``Data``.

``load`` is the door; ``Data`` has a ``train`` and a ``test`` set, each a ``Split`` (columns of tensors) or a
``BatchList`` (ready-made batches); ``TextData`` are sentences and their translations; ``Augmentation`` makes random
variants of a batch of images.
"""

from orograph.data.augment import Augmentation, crop, cutout, flip, jitter
from orograph.data.colours import colour_axes, shift_colours
from orograph.data.data import Data
from orograph.data.loading import load
from orograph.data.scaling import centre_crops, rescaled
from orograph.data.sources import known
from orograph.data.split import BatchList, Examples, Split
from orograph.data.text_data import TextData
from orograph.data.user import as_examples

__all__ = [
    "Augmentation",
    "BatchList",
    "Data",
    "Examples",
    "Split",
    "TextData",
    "as_examples",
    "centre_crops",
    "colour_axes",
    "crop",
    "cutout",
    "flip",
    "jitter",
    "known",
    "load",
    "rescaled",
    "shift_colours",
]
