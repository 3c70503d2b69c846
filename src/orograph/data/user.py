"""The user's own data: datasets, loaders, arrays or dictionaries, taken exactly as they come.

Nothing is standardised, cast or reordered. Examples that stack become a :class:`~orograph.data.Split`; batches of
different shapes (padded sentences) or unusual structure stay as they are in a :class:`~orograph.data.BatchList`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from orograph.basics.errors import DataError, OrographError, UsageError, in_a_line
from orograph.basics.references import load_reference
from orograph.basics.seeds import isolated_randomness
from orograph.data.data import Data, as_tensor, named_classes, require_finite
from orograph.data.split import BatchList, Examples, Split
from orograph.data.structure import Batch

EXPECTED = (
    "a (train, test) pair, each a Dataset, a DataLoader or a pair (inputs, targets) of tensors or arrays, "
    "or an orograph Data"
)
STACKING = 256  # examples collated at a time when a dataset is read


def data_from_reference(text: str, seed: int, *, single: bool = False) -> Data:
    """The data that ``package.module:factory`` or ``file.py:factory`` returns, or is. Raises as ``object_of`` does, and
    UsageError for what is no data."""
    return data_from_object(object_of(text), name=text.rpartition(":")[2], seed=seed, single=single)


def object_of(text: str) -> Any:
    """What ``package.module:factory`` or ``file.py:factory`` returns, or is.

    Raises
    ------
    UsageError
        The reference is not found.
    DataError
        The factory raised an exception; it is named and chained.
    """
    target = load_reference(text)
    if callable(target):
        try:
            target = target()
        except OrographError:
            raise
        except Exception as error:
            raise DataError(
                f"{text} raised {type(error).__name__}: {error}; it is called without arguments and returns {EXPECTED}"
            ) from error
    return target


def training_set(source: Any) -> Any:
    """The part to train on of an object that :func:`data_from_object` takes with ``single``, as it came."""
    if isinstance(source, Data):
        return source.train
    if isinstance(source, Mapping):
        return source["train"]
    return source if _is_one_set(source) or _is_loader(source) else source[0]


def data_from_object(source: Any, *, name: str = "user data", seed: int = 0, single: bool = False) -> Data:
    """Data from a Python object: ``(train, test)``, ``{"train": …, "test": …}`` or a ``Data``; with ``single`` also one
    set, a list of batches or any loader of the user's, which is then both.

    Datasets and loaders are read once, in their own order, with the global random state seeded from ``seed`` and
    put back afterwards, so that random transforms and shuffling loaders give the same examples in every run.
    """
    if isinstance(source, Data):
        return source
    if isinstance(source, Mapping) and {"train", "test"} <= set(source):
        source = (source["train"], source["test"])
    if single and (_is_one_set(source) or _is_loader(source)):
        examples = as_examples(source, name, seed) if _is_one_set(source) else joined(_first(source, seed))
        return Data(
            examples, examples, name=name, class_names=named_classes(name, [examples], _declared_classes(source))
        )
    if not isinstance(source, (tuple, list)) or len(source) != 2:
        more = "; the training set alone will do" if single else ""
        raise UsageError(f"cannot make data of a {type(source).__name__}; expected {EXPECTED}{more}")
    if all(isinstance(part, (Tensor, np.ndarray)) for part in source):
        raise UsageError("two arrays are one set; give both: ((train inputs, targets), (test inputs, targets))")
    sets = [
        as_examples(part, f"{name}, {which} set", seed) for part, which in zip(source, ("train", "test"), strict=True)
    ]
    if sets[0].kind != sets[1].kind:
        raise DataError(f"{name}: train batches are of kind {sets[0].kind}, test batches of kind {sets[1].kind}")
    return Data(sets[0], sets[1], name=name, class_names=named_classes(name, sets, _declared_classes(source[0])))


def as_examples(part: Any, where: str = "the data", seed: int = 0) -> Examples:
    """Examples from a Dataset, a DataLoader, or a pair (inputs, targets) of tensors or arrays; Examples as they are.

    Raises
    ------
    UsageError
        It is none of these. DataError: it cannot be read, is empty, or holds values that are not finite.
    """
    if isinstance(part, Examples):
        return part
    try:
        if isinstance(part, (tuple, list)) and len(part) == 2 and isinstance(part[0], (Tensor, np.ndarray)):
            examples: Examples = Split(as_tensor(part[0]), None if part[1] is None else as_tensor(part[1]))
        elif isinstance(part, (Tensor, np.ndarray)):
            examples = Split(as_tensor(part))
        elif isinstance(part, DataLoader) or hasattr(part, "__getitem__") or hasattr(part, "__iter__"):
            examples = joined(_batches(part, seed))
        else:
            raise UsageError(f"cannot read a {type(part).__name__}; expected {EXPECTED}")
    except (DataError, UsageError) as error:
        raise type(error)(f"{where}: {error}") from error
    if examples.kind == "pair":
        require_finite(examples.inputs, where)
    return examples


def _batches(source: Any, seed: int) -> list[Batch]:
    """Every batch of a loader, or a dataset's examples stacked by torch's own rules."""
    loader = source if isinstance(source, DataLoader) else DataLoader(source, batch_size=STACKING)
    try:
        with isolated_randomness(seed):
            return list(loader)
    except OrographError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"reading the {type(source).__name__} raised {type(error).__name__}: {reason}; examples must be tensors, "
            "arrays or numbers of one shape, or come from a DataLoader whose collate_fn makes batches of them"
        ) from error


def joined(batches: list[Batch]) -> Examples:
    """Batches as one Split where they stack (same structure, dtypes and trailing shapes), else as they are."""
    if not batches:
        raise DataError("there are no examples; it needs at least one")
    columns = [_columns(batch) for batch in batches]
    if any(part is None or _signature(part) != _signature(columns[0] or {}) for part in columns):
        return BatchList(tuple(batches))
    whole = {name: torch.cat([part[name] for part in columns if part]) for name in columns[0] or {}}
    if isinstance(batches[0], Mapping):
        return Split(columns=whole)
    return Split(whole["inputs"], whole.get("targets"))


def _columns(batch: Batch) -> dict[str, Tensor] | None:
    """A batch's tensors by name if it is ``inputs``, ``(inputs,)``, ``(inputs, targets)`` or a flat dictionary."""
    if isinstance(batch, Tensor):
        batch = (batch,)
    if isinstance(batch, Mapping):
        named = {str(key): value for key, value in batch.items()}
    elif isinstance(batch, (tuple, list)) and len(batch) in (1, 2):
        named = dict(zip(("inputs", "targets"), batch, strict=False))
    else:
        return None
    stackable = named and all(isinstance(value, Tensor) and value.ndim for value in named.values())
    return named if stackable and len({len(value) for value in named.values()}) == 1 else None


def _signature(columns: Mapping[str, Tensor]) -> dict[str, tuple[torch.dtype, torch.Size]]:
    return {name: (column.dtype, column.shape[1:]) for name, column in columns.items()}


def _is_one_set(source: Any) -> bool:
    pair = isinstance(source, (tuple, list)) and len(source) == 2
    return isinstance(source, (Dataset, DataLoader, Examples)) or (
        pair and all(isinstance(part, (Tensor, np.ndarray)) for part in source)
    )


def _is_loader(source: Any) -> bool:
    """Whether it is a list of batches (of two entries they are a training and a test set), or anything of the user's
    that yields them."""
    if isinstance(source, (list, tuple)):
        return len(source) != 2 and bool(source)
    return hasattr(source, "__iter__") and not isinstance(source, (Mapping, Tensor, np.ndarray, str, nn.Module))


def _first(source: Any, seed: int) -> list[Batch]:
    """The first batches of what may have no end."""
    try:
        with isolated_randomness(seed):
            return list(islice(iter(source), STACKING))
    except OrographError:
        raise
    except Exception as error:
        raise DataError(f"reading the {type(source).__name__} raised {in_a_line(error)}") from error


def _declared_classes(source: Any) -> tuple[str, ...]:
    """The names a dataset gives its classes (``dataset.classes``, as torchvision does), if it does."""
    classes = getattr(getattr(source, "dataset", source), "classes", ())
    named = isinstance(classes, (list, tuple)) and all(isinstance(name, str) for name in classes)
    return tuple(classes) if named else ()
