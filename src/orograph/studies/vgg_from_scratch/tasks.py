"""The task of one training: draw the start, look at the layers, train, look again, and ask for every test image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from orograph.basics.errors import TaskError
from orograph.data import Data
from orograph.diagnose.watching import between
from orograph.execute import TaskContext
from orograph.initialize import apply, transplant
from orograph.models import build
from orograph.results import Cost, Provenance
from orograph.studies.options import build as build_options
from orograph.studies.subject import load_data
from orograph.studies.vgg_from_scratch.layers import answers, look, weighty
from orograph.studies.vgg_from_scratch.trial import QUANTITIES, FromScratch
from orograph.train import Recipe, Streams, fit
from orograph.weights import Weights

Files = dict[str, Path]


def train_arm(context: TaskContext) -> Files:
    """Train one net from one start: output ``result``; where ``keep`` asks for it, ``weights`` at the end.

    A run that diverges is a result like any other, not a failed task.
    """
    arguments = context.arguments
    data, streams = load_data(arguments["data"], context.context), Streams(**arguments["streams"])
    model = network(arguments, data, arguments["net"], streams.initial)
    copied = begin(model, arguments["scheme"], streams.initial, _source(context, data))
    place = torch.device(arguments["device"])
    probe = _pair(data, "train", arguments["probe"])
    model.to(place)
    start = look(model, *(one.to(place) for one in probe))
    drawn = np.array([float(layer.get_parameter("weight").detach().std(correction=0)) for _, layer in weighty(model)])
    early, cost, diverged = np.full_like(start, np.nan), Cost(), False
    try:
        run = fit(
            model,
            data,
            build_options(Recipe, arguments["recipe"]),
            seed=streams,
            out=context.folder / "run",
            name=arguments["name"],
            device=arguments["device"],
            progress=context.progress,
            snapshot_every=5.0,
        )
        cost = run.provenance.cost
        then = next((one for one in run.checkpoints if one.step == arguments["early"]), None)
        if then is not None:
            other = network(arguments, data, arguments["net"], streams.initial).to(place)
            Weights.load(str(then.path), other).put_into(other)
            early = look(other, *(one.to(place) for one in probe))
    except TaskError:  # fit says so where the loss or the weights are no longer finite
        diverged = True
    inputs, targets = _pair(data, "test", None)
    found = FromScratch(
        name=arguments["name"],
        scheme=arguments["scheme"],
        layers=tuple(name.rpartition(".")[2] for name, _ in weighty(model)),
        drawn=drawn,
        copied=copied,
        start=start,
        early=early,
        most=float(torch.bincount(targets).max()) / len(targets),
        diverged=diverged,
        **_asked(model, inputs, targets, diverged),
        provenance=Provenance(
            method="training from a start",
            options={"recipe": arguments["recipe"], "scheme": arguments["scheme"], "quantities": list(QUANTITIES)},
            seeds=streams.to_dict(),
            model=f"{arguments['model']['name']}, {arguments['net']}",
            data=str(arguments["data"]["source"]),
            fingerprint=str(arguments["data"]["fingerprint"]),
            device=arguments["device"],
            threads=torch.get_num_threads(),
            citations=("simonyan2015",),
            cost=cost,
        ),
    )
    files = {"result": found.save(context.folder / "result.npz")}
    if arguments["keep"]:
        files["weights"] = Weights.of(model.to("cpu")).save(context.folder / "weights.safetensors")
    return files


def network(arguments: dict[str, Any], data: Data, net: str, seed: int) -> nn.Module:
    """The net ``A``, ``B`` or ``D`` of a task's arguments."""
    options = {**arguments["model"]["options"], "configuration": net}
    return build(arguments["model"]["name"], data, seed=seed, **options)


def begin(model: nn.Module, scheme: str, seed: int, source: nn.Module | None = None) -> tuple[str, ...]:
    """Draw every weight by ``scheme``, biases 0, then copy the ends of ``source``; the names of the layers copied.

    Copied are the first four convolutions and the three last layers of ``source`` that have a counterpart of their name
    and shape (Simonyan and Zisserman 2015, section 3.1); they learn as fast as the others, as in the paper.
    """
    apply(model, scheme, seed=seed)
    if source is None:
        return ()
    settings = transplant(source, model).settings
    layers = (setting.parameter.rpartition(".")[0].rpartition(".")[2] for setting in settings if setting.scheme)
    return tuple(dict.fromkeys(layers))


def _source(context: TaskContext, data: Data) -> nn.Module | None:
    """The trained A whose ends are transplanted, where the arguments name its task."""
    task = context.arguments["source"]
    if not task:
        return None
    shallow = network(context.arguments, data, "A", 0)
    Weights.load(context.inputs[task]["weights"], shallow).put_into(shallow)
    return shallow


def _asked(model: nn.Module, inputs: Tensor, targets: Tensor, diverged: bool) -> dict[str, float]:
    if diverged:  # NaN logits have a largest entry too, which would pass for an answer
        return dict.fromkeys(("accuracy", "top", "ratio"), float("nan"))
    logits = answers(model, inputs)
    predicted = logits.argmax(1)
    return {
        "accuracy": float((predicted == targets).float().mean()),
        "top": float(torch.bincount(predicted).max()) / len(predicted),
        "ratio": between(logits, len(logits)),
    }


def _pair(data: Data, part: str, count: int | None) -> tuple[Tensor, Tensor]:
    """Inputs and class numbers of a split, its first ``count`` (None: all)."""
    split: Any = getattr(data, part)
    return split.inputs[:count], split.targets[:count].long()
