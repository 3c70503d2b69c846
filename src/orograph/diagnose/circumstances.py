"""What was examined, with which settings and at what cost: the provenance of a diagnosis."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from time import perf_counter, process_time
from typing import Any, ParamSpec

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from orograph.basics.errors import DataError
from orograph.basics.words import counted
from orograph.data import Data, Examples
from orograph.diagnose.losses import Loss
from orograph.diagnose.together import as_one, name_of
from orograph.results.diagnosis import Diagnosis
from orograph.results.provenance import Cost, Provenance

_P = ParamSpec("_P")
_SETTINGS = ("lr", "momentum", "betas", "weight_decay")  # of an optimiser that readers look for


def recorded(examine: Callable[_P, Diagnosis]) -> Callable[_P, Diagnosis]:
    """``examine``, whose diagnosis says what it was given and what it cost, on whichever way it came back."""
    signature = inspect.signature(examine)

    @functools.wraps(examine)
    def examined(*args: _P.args, **options: _P.kwargs) -> Diagnosis:
        wall, cpu = perf_counter(), process_time()
        found = examine(*args, **options)
        cost = Cost(cpu_seconds=process_time() - cpu, wall_seconds=perf_counter() - wall)
        given = signature.bind(*args, **options)
        given.apply_defaults()
        return replace(found, provenance=_completed(found, given.arguments, cost))

    return examined


def of_network(model: nn.Module) -> dict[str, Any]:
    """What a provenance says of the network: its class, and where and in which numbers it computes."""
    first = next(model.parameters())
    return {
        "model": type(model).__name__,
        "precision": str(first.dtype).removeprefix("torch."),
        "device": str(first.device),
        "threads": torch.get_num_threads(),
    }


def of_optimizer(optimizer: Optimizer | None) -> dict[str, Any]:
    """The optimiser's class and main settings; several values where its groups differ."""
    if optimizer is None:
        return {"optimizer": "none given; Adam with learning rate 1e-3 stood in"}
    found: dict[str, Any] = {"optimizer": name_of(optimizer)}
    for name in _SETTINGS:
        values = dict.fromkeys(_plain(group[name]) for group in optimizer.param_groups if name in group)
        if values:
            found[name] = next(iter(values)) if len(values) == 1 else tuple(values)
    return found


def of_data(loader: Any) -> dict[str, Any]:
    """What can be said of the data without reading a batch of it."""
    if isinstance(loader, Data):
        return {"data": loader.name, "split": "train", "fingerprint": _fingerprint(loader.train)}
    if isinstance(loader, Examples):
        return {"data": counted(len(loader), "example"), "fingerprint": _fingerprint(loader)}
    if _tensors(loader):
        return {"data": f"tensors of shape {' and '.join(str(tuple(part.shape)) for part in loader)}"}
    dataset = getattr(loader, "dataset", None)
    words = type(loader).__name__ if dataset is None else f"{type(loader).__name__} of {type(dataset).__name__}"
    size, batch = _length(loader if dataset is None else dataset), getattr(loader, "batch_size", None)
    what = "batch" if isinstance(loader, (tuple, list)) else "example"
    told = [f"{size:,} {what}{'' if size == 1 else 'es' if what == 'batch' else 's'}"] if size is not None else []
    told += [f"batches of {batch}"] if isinstance(batch, int) else []
    return {"data": f"{words}: {', '.join(told)}" if told else words}


def _completed(found: Diagnosis, given: Mapping[str, Any], cost: Cost) -> Provenance:
    model = given["model"]
    options = {
        "parameters": sum(parameter.numel() for parameter in model.parameters() if not is_lazy(parameter)),
        "loss": Loss(given["loss"]).name,
        **of_optimizer(as_one(given["optimizer"])),
        "step": "zero_grad, loss, backward, step" if given["step"] is None else "the user's own",
        "steps": given["steps"],
        "steps done": len(found.loss),
        **({"batch_size": given["batch_size"]} if _unbatched(given["loader"]) else {}),
        "seconds": given["seconds"],
        "thorough": given["thorough"],
    }
    options |= {name: value for name, value in found.provenance.options.items() if name not in options}
    return replace(found.provenance, options=options, cost=cost, **of_network(model), **of_data(given["loader"]))


def _plain(value: Any) -> Any:
    """A setting as numbers: rates may be tensors, betas lists."""
    if isinstance(value, (tuple, list)):
        return ", ".join(f"{float(one):g}" for one in value)
    return float(value) if isinstance(value, (Tensor, int, float)) else str(value)


def _fingerprint(examples: Examples) -> str:
    try:
        return examples.fingerprint
    except DataError:  # batches that hold objects of the user's own can be trained on all the same
        return ""


def _tensors(loader: Any) -> bool:
    return isinstance(loader, (tuple, list)) and len(loader) > 0 and all(isinstance(part, Tensor) for part in loader)


def _unbatched(loader: Any) -> bool:
    """Whether the doctor made the batches; a loader has made its own, of whatever size."""
    return isinstance(loader, (Data, Examples, torch.utils.data.Dataset)) or _tensors(loader)


def _length(held: Any) -> int | None:
    try:
        return len(held)
    except Exception:  # a stream has none, and a data set of the user's own may raise what it likes
        return None
