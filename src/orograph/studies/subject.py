"""What a study is about: its data and network, loaded once to be checked and described before anything runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from orograph.basics.errors import ModelError, UsageError
from orograph.basics.numerics import resolve_device
from orograph.basics.references import is_reference, source_hash
from orograph.data import Data, load
from orograph.models import build
from orograph.objective import Criterion
from orograph.weights import Weights

_FEWEST = 10
_IMAGE_DIMENSIONS = 3  # channels, height, width


@dataclass(frozen=True)
class Subject:
    """Facts about a study's data and network that its plan needs, as plain values.

    ``data`` and ``model`` are the arguments with which a task loads them again; the data's fingerprint is among them,
    so that tasks are redone when the data change.
    """

    data: dict[str, Any]
    model: dict[str, Any]
    device: str
    train_examples: int
    test_examples: int
    classes: int
    unseen_classes: tuple[str, ...]
    parameters: int
    has_batchnorm: bool
    images: bool
    context: dict[str, Any]

    @classmethod
    def of(cls, options: Any) -> Subject:
        """Load data and network as the options name them, and try the two together on a few examples.

        Raises UsageError, DataError or ModelError, with one line, for what does not fit.
        """
        for name in ("data", "model"):
            if not isinstance(getattr(options, name), str):
                raise UsageError(
                    f"{name} must be a name, a path or 'package.module:factory', so that tasks can load it"
                )
        wanted = {
            "source": options.data,
            "train_size": options.train_size,
            "test_size": options.test_size,
            "seed": options.seed,
            **options.reading_options(),
        }
        context = {"root": options.data_root}
        data = load_data({**wanted, "fingerprint": ""}, context)
        extra = model_options(options.network_options())
        if min(len(data.train), len(data.test)) < _FEWEST:
            found = f"{len(data.train)} and {len(data.test)}"
            raise UsageError(f"a study needs at least {_FEWEST} training and as many test examples, not {found}")
        if data.classes == 1:
            raise UsageError(f"{options.data} has one class, which every network gets right; choose other data")
        name = options.network_name()
        model = build(name, data, seed=0, **extra)
        _try_together(model, data, name)
        weights = Weights.of(model)
        return cls(
            data={**wanted, "fingerprint": data.fingerprint},
            model={
                "name": name,
                "options": extra,
                "source": source_hash(name) if is_reference(name) else "",
            },
            device=resolve_device(options.device).type,
            train_examples=len(data.train),
            test_examples=len(data.test),
            classes=data.classes,
            unseen_classes=data.unseen_classes,
            parameters=len(weights),
            has_batchnorm=any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()),
            images=_shows_images(data),
            context=context,
        )


def model_options(words: Sequence[str]) -> dict[str, Any]:
    """``("width=0.5", "batch_norm=true")`` as keyword arguments; values are read as JSON, else as text."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"model options look like width=0.5, not {word!r}")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def load_data(arguments: dict[str, Any], context: dict[str, Any]) -> Data:
    """The study's data; kept for the next task of this process.

    Raises UsageError where they have changed since the study was planned.
    """
    wanted = {name: value for name, value in arguments.items() if name != "fingerprint"}
    data = _load(json.dumps(wanted), json.dumps(context))
    if arguments["fingerprint"] and data.fingerprint != arguments["fingerprint"]:
        raise UsageError(f"the data {arguments['source']!r} changed while the study ran; run it again")
    return data


@lru_cache(maxsize=2)
def _load(wanted: str, context: str) -> Data:
    arguments, where = json.loads(wanted), json.loads(context)
    return load(arguments.pop("source"), **arguments, root=where["root"])


def _shows_images(data: Data) -> bool:
    """Whether an example is a picture; sentences and dictionaries have no shape to ask for."""
    try:
        return len(data.input_shape or ()) == _IMAGE_DIMENSIONS
    except UsageError:
        return False


def _try_together(model: nn.Module, data: Data, name: str) -> None:
    """One forward pass on a few examples, and on that of the highest class, so that a misfit is told now."""
    model.eval()
    for split in (data.train, data.test):
        batches = [next(iter(split.batches(4)))]
        if split.kind == "pair" and split.targets is not None and split.targets.dim() == 1:
            batches += split.take(split.targets.argmax().reshape(1)).batches(1)
        try:
            with torch.no_grad():
                for batch in batches:
                    Criterion()(model, batch)
        except ModelError:
            raise
        except Exception as error:
            hint = "" if is_reference(name) else "; give its sizes with model options, or choose another network"
            reason = str(error).strip().split("\n")[0]
            raise ModelError(
                f"network {name!r} cannot read data {data.name!r}: {type(error).__name__}: {reason}{hint}"
            ) from error
