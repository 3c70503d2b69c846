"""``fit``: train a network, measure it as it goes, keep the moments asked for, and survive being killed.

Cost: one forward and one backward pass over the training examples per epoch, and one forward pass over the test
examples per measurement.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from orograph._version import __version__
from orograph.basics.errors import UsageError
from orograph.basics.numerics import arithmetic, resolve_device
from orograph.basics.seeds import isolated_randomness
from orograph.data import Data, Examples, as_examples
from orograph.objective import Criterion, Objective
from orograph.objective.criterion import LossFunction
from orograph.objective.identity import settings_of
from orograph.results import Provenance, Run
from orograph.train.batches import Batches, as_measured, takes_pixels
from orograph.train.carried import Carried, network_of
from orograph.train.cycles import Cycles
from orograph.train.folder import RunFolder
from orograph.train.loop import Loop, Progress, in_training
from orograph.train.moments import Moments
from orograph.train.precision import settled
from orograph.train.recipe import Recipe
from orograph.train.session import Session, Start, weights_at
from orograph.train.streams import Streams
from orograph.weights import Weights


def fit(
    model: nn.Module,
    data: Data | Examples | Dataset[Any] | DataLoader[Any],
    recipe: Recipe | None = None,
    *,
    seed: int | Streams = 0,
    start: Start | None = None,
    loss: str | LossFunction | None = None,
    test: Examples | Dataset[Any] | DataLoader[Any] | Literal[False] | None = None,
    out: str | Path | None = None,
    name: str = "run",
    device: str | torch.device = "auto",
    progress: Progress | None = None,
    snapshot_every: float = 1.0,
    cycles: Cycles | None = None,
    moments: Moments | None = None,
) -> Run:
    """Train ``model`` in place on ``data.train``; it ends at the run's last weights.

    The modes of its submodules and its device come back as they were; gradients are cleared. The global random state
    of the caller is untouched. Equal arguments give equal bits (on one machine with one number of threads).

    Parameters
    ----------
    data : Data, or the training examples alone (a Split, Dataset or DataLoader; read once, orograph makes the batches)
    recipe : every option of training; the default is ``Recipe()``
    seed : one seed for all streams, or ``Streams`` with one for each. The network's own initial values are not drawn
        here: it is trained from where it stands.
    start : where to begin instead: weights, a checkpoint of another run, or a file. The optimiser begins afresh.
    loss : "cross_entropy" (default), "abyss", "mse", a module or function of (outputs, targets), or a function of
        (model, batch); one's own returns the batch's mean or one value per example
    test : what to measure on in place of ``data.test``; False measures nothing
    out : folder for checkpoints and snapshots (see :mod:`orograph.train.folder`). A call with equal arguments on the
        folder of a run that was interrupted, or killed, continues it and ends with the bits of an undisturbed run; on
        that of a finished run it returns at once. Without ``out`` checkpoints are kept in memory.
    progress : called with (steps done, steps in all) after each step
    cycles : a schedule in place of the recipe's, whose networks are kept as checkpoints too, and whose cycles are
        measured eight times each (see :mod:`orograph.train.cycles`)
    moments : what the optimiser remembers of steps before these, and afterwards of these too (it changes); for a run
        in stretches, which has no ``out``
    snapshot_every : epochs between snapshots, from which a killed run continues; does not influence the result

    Returns
    -------
    Run
        With a checkpoint of the start and one of the end at least.

    Raises
    ------
    UsageError
        Options that do not fit the data, the network or each other. StoreError: ``out`` belongs to another run.
        TaskError: the loss is no longer finite; checkpoints written before that are kept.
        WeightsError: ``start`` is not of this network.

    Notes
    -----
    The last batch of an epoch is the remainder; a remainder of one example joins the batch before it.

    With ``Recipe(crop_to=)`` the network is built for images of that size, and measured on the middles of the test
    images at the middle of the scales (see :func:`orograph.train.batches.as_measured`). Whatever measures the network
    elsewhere takes the images it is given: :func:`orograph.data.centre_crops` makes the same ones, and
    :func:`orograph.objective.evaluate_views` has the protocols of the paper.
    """
    recipe = Recipe() if recipe is None else recipe
    if not snapshot_every > 0:
        raise UsageError(f"snapshot_every must be above 0 epochs, not {snapshot_every}")
    if moments is not None and out is not None:
        raise UsageError("moments are handed on in memory; leave out= out")
    streams, place = Streams.of(seed), resolve_device(device)
    asked = recipe.precision
    recipe, precision = settled(recipe, place)
    train, tested = _examples(data, test)
    if tested is not None:
        tested = as_measured(tested, train, recipe)
    if tested is None and recipe.accuracies:
        raise UsageError("stop_at_accuracy and checkpoint_accuracies need test examples to measure on")
    criterion = _criterion(recipe, loss)
    if recipe.accuracies and "accuracy" not in criterion.metric_names:
        raise UsageError("stop_at_accuracy and checkpoint_accuracies need a loss that knows labels")
    folder = None if out is None else RunFolder(out)
    with in_training(model, place, precision), isolated_randomness(), arithmetic(precision, place):
        if start is not None:
            weights_at(start).put_into(model)
        origin = Weights.of(model)
        request = _request(recipe, streams, train, tested, origin, criterion, model)
        if cycles is not None:
            request["cycles"] = cycles.to_dict()
        objective = None
        if tested is not None:
            # The network's own running statistics, as anybody who deploys it would get.
            options: dict[str, Any] = {"precision": precision, "device": place, "batchnorm": "frozen"}
            objective = Objective(model, tested, loss=criterion.loss, **options)
        by_pixel = takes_pixels(network_of(model), as_measured(train.head(2), train.head(2), recipe), place)
        batches = Batches(train, recipe, streams, place, by_pixel=by_pixel)
        loop = Loop(model, recipe, streams, criterion, batches, place, cycles)
        if moments is not None:
            moments.give(loop.optimizer)
        if folder is not None:  # all that may be refused was looked at before the folder is touched
            folder.claim(request)
            finished = folder.finished()
            if finished is not None:
                Weights.load(str(finished.final.path), model).put_into(model)
                return finished
        training = Session(loop, recipe, objective, origin, folder, snapshot_every)
        if cycles is not None:
            training.follow(cycles)
        training.until_the_end(progress)
        if moments is not None:
            moments.take(loop.optimizer)
        provenance = Provenance(
            method="training",
            options={
                "recipe": request["recipe"],
                "loss": request["loss"],
                "start": request["start"],
                **({} if cycles is None else {"cycles": request["cycles"], "collected": training.collected}),
                **({"precision": f"auto: {precision}"} if asked == "auto" else {}),
            },
            seeds=request["streams"],
            model=request["network"],
            data=data.name if isinstance(data, Data) else "",
            split="train",
            fingerprint=train.fingerprint,
            precision=precision,
            batchnorm={"policy": "frozen"},
            device=str(place),
            threads=torch.get_num_threads(),
            cost=training.cost,
        )
        run = training.history.run(name=name, recipe=request["recipe"], seeds=request["streams"], provenance=provenance)
        return run if folder is None else folder.finish(run)


def _examples(data: Any, test: Any) -> tuple[Examples, Examples | None]:
    """What to train on and what to measure on (None: nothing)."""
    if not isinstance(data, (Data, Examples, Dataset, DataLoader)):
        raise UsageError(
            f"data must be Data, a Split, a Dataset or a DataLoader, not a {type(data).__name__}; "
            "og.data.load((train_set, test_set)) makes Data of your own"
        )
    train = data.train if isinstance(data, Data) else as_examples(data, "the training data")
    if test is False:
        return train, None
    if test is not None:
        return train, as_examples(test, "the test data")
    return train, data.test if isinstance(data, Data) else None


def _request(
    recipe: Recipe,
    streams: Streams,
    train: Examples,
    tested: Examples | None,
    origin: Weights,
    criterion: Criterion,
    model: nn.Module,
) -> dict[str, Any]:
    """Everything that the run's numbers depend on, as JSON types: two runs with equal requests are equal."""
    return {
        "recipe": asdict(recipe),
        "streams": streams.to_dict(),
        "training data": train.fingerprint,
        "test data": "" if tested is None else tested.fingerprint,
        "start": origin.fingerprint(),
        "loss": criterion.name,
        **({"loss settings": settings} if (settings := settings_of(criterion.loss)) else {}),
        "network": type(network_of(model)).__name__,
        **({"carried": model.identity} if isinstance(model, Carried) else {}),
        "orograph version": __version__,
    }


def _criterion(recipe: Recipe, loss: str | LossFunction | None) -> Criterion:
    if recipe.direction == "climb":
        if loss not in (None, "abyss"):
            raise UsageError("direction='climb' has its own loss, -log(1 - p_y); leave loss= out")
        return Criterion("abyss")
    criterion = Criterion("cross_entropy" if loss is None else loss, label_smoothing=recipe.label_smoothing)
    if recipe.label_smoothing and criterion.loss != "cross_entropy":
        raise UsageError(f"label_smoothing is for the loss cross_entropy, not {criterion.name}")
    return criterion
