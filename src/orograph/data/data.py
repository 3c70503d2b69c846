"""``Data``: a train and a test set, with what is known about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from orograph.basics.errors import DataError
from orograph.basics.keys import content_key
from orograph.data.split import Examples, Split

Array = Tensor | np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Data:
    """Two sets of examples held in memory.

    Attributes
    ----------
    train, test : Examples
        Usually :class:`~orograph.data.Split`: ``data.train.inputs`` are images (n, channels, height, width).
    name : str
        For titles and file names; no part of the fingerprint.
    class_names : tuple of str
        Class ``k`` is called ``class_names[k]``. Empty if this is not a classification.
    mean, std : tuple of float
        What was subtracted and divided by, for each channel, in units of the full pixel range (white is 1). Empty
        if the inputs were taken as they came.
    """

    train: Examples
    test: Examples
    name: str = "data"
    class_names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for part, examples in (("train", self.train), ("test", self.test)):
            if len(examples) == 0:
                raise DataError(f"{self.name}: the {part} set is empty; it needs at least one example")

    @classmethod
    def from_tensors(
        cls,
        train: tuple[Array, Array | None],
        test: tuple[Array, Array | None],
        *,
        name: str = "data",
        class_names: tuple[str, ...] = (),
    ) -> Data:
        """Data from two pairs (inputs, targets) of tensors or NumPy arrays, which are not altered.

        Targets of an integer type and shape (n,) without negative values are classes; they get their numbers as
        names where ``class_names`` is empty.

        Raises
        ------
        DataError
            A set is empty, inputs and targets differ in number, inputs hold NaN or infinity, or a class has no name.
        """
        splits = []
        for part, (inputs, targets) in (("train", train), ("test", test)):
            try:
                split = Split(as_tensor(inputs), None if targets is None else as_tensor(targets))
            except DataError as error:
                raise DataError(f"{name}, {part} set: {error}") from error
            require_finite(split.inputs, f"{name}, {part} set")
            splits.append(split)
        return cls(splits[0], splits[1], name=name, class_names=named_classes(name, splits, class_names))

    @property
    def classes(self) -> int:
        """The number of classes, 0 if this is not a classification."""
        return len(self.class_names)

    @property
    def unseen_classes(self) -> tuple[str, ...]:
        """Names of the classes that the test set has and the training set has not: nothing can learn them."""
        labels, tested = labels_of(self.train), labels_of(self.test)
        if not self.class_names or labels is None or tested is None:
            return ()
        return tuple(self.class_names[k] for k in sorted(set(tested.tolist()) - set(labels.tolist())))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input, (channels, height, width) for images. Raises UsageError unless inputs are stacked."""
        return tuple(self.train.inputs.shape[1:])

    @property
    def fingerprint(self) -> str:
        """24 hexadecimal digits of the content of both sets; the name and the class names do not count."""
        return content_key([self.train.fingerprint, self.test.fingerprint])

    def summary(self) -> str:
        """One line: ``digits: 1,437 train + 360 test examples of shape (1, 8, 8), 10 classes``."""
        shape = f" of shape {self.input_shape}" if self.train.kind == "pair" else f" ({self.train.kind})"
        classes = f", {self.classes} class{'es' * (self.classes != 1)}" if self.classes else ""
        unseen = f", of which only the test set has {', '.join(self.unseen_classes)}" if self.unseen_classes else ""
        return f"{self.name}: {len(self.train):,} train + {len(self.test):,} test examples{shape}{classes}{unseen}"

    def __repr__(self) -> str:
        return f"Data({self.summary()})"


def as_tensor(array: Array) -> Tensor:
    """A tensor over the same values; NumPy arrays that cannot be shared (read-only, reversed) are copied."""
    if isinstance(array, Tensor):
        return array.detach()
    try:
        array = np.asarray(array)
        return torch.from_numpy(array if array.flags.writeable and array.flags.c_contiguous else array.copy())
    except TypeError as error:
        raise DataError(f"an array of {array.dtype} does not fit into a tensor; convert it to numbers") from error


def require_finite(inputs: Tensor, where: str) -> None:
    """Raise DataError naming the first example that holds NaN or infinity."""
    if not inputs.is_floating_point() or bool(torch.isfinite(inputs).all()):
        return
    bad = (~torch.isfinite(inputs).reshape(len(inputs), -1).all(dim=1)).nonzero().reshape(-1)
    raise DataError(
        f"{where}: {len(bad):,} of {len(inputs):,} inputs hold NaN or infinity, the first is example {int(bad[0])}; "
        "remove or repair them"
    )


def labels_of(examples: Examples) -> Tensor | None:
    """The class labels, int tensor of shape (n,), or None where the targets are not classes."""
    if examples.kind != "pair" or examples.targets is None:
        return None
    targets = examples.targets
    integral = not (targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool)
    return targets if targets.ndim == 1 and integral and (len(targets) == 0 or int(targets.min()) >= 0) else None


def named_classes(name: str, sets: list[Examples] | list[Split], given: tuple[str, ...]) -> tuple[str, ...]:
    """The class names, or the classes' numbers where none are given; empty if the targets are not classes.

    Raises DataError where there are names but a label has none.
    """
    labels = [labels_of(examples) for examples in sets]
    if any(part is None for part in labels):
        return given
    highest = max(int(part.max()) if len(part) else 0 for part in labels if part is not None)
    if given and highest >= len(given):
        raise DataError(
            f"{name}: labels go up to {highest} but there are {len(given)} class names (0 to {len(given) - 1})"
        )
    return given or tuple(str(index) for index in range(highest + 1))
