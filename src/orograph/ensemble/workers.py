"""Workers that train the same network and are averaged: once at the end, or again and again (local SGD).

All begin at one point. Each takes the steps of an ordinary run, on a data order of its own or on a shard of its own,
and after every so many epochs their weights are averaged and each goes on from there. Learning rates are those of the
whole run, and momentum is averaged with the weights. Sources: ElasticDL issue 179 (2019) for the question, McDonald et
al. 2010 and Stich 2019 for the methods.

Cost: the training of all workers; at each of up to ``measurements`` averages a test pass for each worker and the
average (and a pass for batch-norm statistics, which no run has seen); ``points`` test passes for each pair at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import nn

from orograph.basics.copying import copied
from orograph.basics.errors import UsageError
from orograph.basics.seeds import derive, generator
from orograph.data import Data, Examples
from orograph.ensemble.averaging import mean_weights
from orograph.landscape.barrier import barrier
from orograph.objective import Objective
from orograph.results import Cost, Workers
from orograph.train import Moments, Recipe, Streams, Stretch, fit
from orograph.train.batches import steps_per_epoch
from orograph.train.loop import Progress, steps_at
from orograph.weights import Weights


def average_workers(
    network: nn.Module,
    data: Data,
    recipe: Recipe,
    *,
    workers: int = 4,
    every: float | None = None,
    shards: bool = False,
    began: float = 0.0,
    whole: float | None = None,
    measurements: int = 20,
    points: int = 11,
    seed: int = 0,
    device: str | torch.device = "auto",
    objective: Objective | None = None,
    progress: Progress | None = None,
) -> Workers:
    """Train ``workers`` copies of ``network`` from where it stands, and average them; it ends at the average.

    Running statistics of batch norm are then those of the last worker, to be re-estimated before the network is used;
    what is measured here was measured with re-estimated ones.

    Parameters
    ----------
    recipe : how each is trained; its ``epochs`` are those of a whole run
    every : epochs between averages; None averages once, at the end
    shards : each trains on a share of the examples of its own, in as many steps; else all on all, in other orders
    began : epochs of the recipe that ``network`` has been trained for, which are not taken again
    whole : epochs in place of the recipe's, for a schedule stretched to another length
    measurements : at most so many averages are measured, the last one among them
    points : of the lines between pairs of workers, on which barriers are measured; 0 measures none
    objective : what is measured; default the test loss, with batch-norm statistics re-estimated from training examples

    Raises
    ------
    UsageError
        Fewer than one worker, more shards than examples, or nothing left to train.
    """
    if workers < 1:
        raise UsageError(f"workers is a whole number from 1, not {workers}")
    if shards and workers * 2 > len(data.train):
        raise UsageError(f"{len(data.train)} examples cannot be shared among {workers} workers")
    parts = _shards(data.train, workers, seed) if shards else [data.train] * workers
    plan = _Plan(recipe if whole is None else replace(recipe, epochs=whole), data.train, began, every)
    measured = objective or Objective(copied(network), data.test, calibration=data.train, device=device)
    before, spent = measured.cost, Cost()
    average, moments, found = Weights.of(network).copy(), Moments(), _Rows()
    team: list[Weights] = []
    walls = []
    shown = plan.measured(measurements)
    for number, (begin, end) in enumerate(plan.rounds):
        team, carried = [], []
        for worker, part in enumerate(parts):
            own = derive(seed, "worker", worker)
            carried.append(Moments(moments.tensors, moments.numbers))
            run = fit(
                network,
                part,
                plan.recipe_of(part, begin, end),
                seed=Streams(seed, own, own, own),
                start=average,
                test=False,
                device=device,
                cycles=plan.stretch(part, begin),
                moments=carried[-1],
            )
            spent += run.provenance.cost
            team.append(run.final.weights)
        average, moments = mean_weights(team), Moments.mean(carried)
        if number in shown:
            found.add(end / plan.per_epoch, [measured(one) for one in team], measured(average), team, average)
        if progress is not None:
            progress(number + 1, len(plan.rounds))
    if points and workers > 1:
        walls = [barrier(measured, a, b, resolution=points, budget=0) for a, b in combinations(team, 2)]
    average.put_into(network)
    return Workers(
        count=workers,
        shards=shards,
        began=began,
        every=every,
        **found.columns(),
        barriers=tuple(walls),
        average=average,
        provenance=measured.provenance(
            "workers", before, citations=("elasticdl179", "stich2019"), workers=workers, every=every, shards=shards
        ).with_cost(spent + measured.cost - before),
    )


@dataclass(frozen=True)
class _Plan:
    """The rounds between averages, in steps, as many on a shard as on all examples."""

    recipe: Recipe
    examples: Examples
    began: float
    every: float | None

    def __post_init__(self) -> None:
        if not 0 <= self.began < self.recipe.epochs:
            raise UsageError(f"nothing is left to train: {self.began:g} of {self.recipe.epochs:g} epochs are done")
        if self.every is not None and not self.every > 0:
            raise UsageError(f"every is a number of epochs above 0, not {self.every}")

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch of all examples."""
        return steps_per_epoch(self.examples, self.recipe)

    @property
    def rounds(self) -> list[tuple[int, int]]:
        """Steps done where each begins and ends; a remainder joins the last."""
        first, last = (steps_at(epochs, self.per_epoch) for epochs in (self.began, self.recipe.epochs))
        gap = last - first if self.every is None else min(steps_at(self.every, self.per_epoch), last - first)
        if first >= last:
            raise UsageError(f"nothing is left to train: {self.began:g} epochs leave less than a step")
        ends = [*range(first + gap, last - gap + 1, gap), last]
        return list(zip([first, *ends[:-1]], ends, strict=True))

    def measured(self, most: int) -> set[int]:
        """Which rounds are measured."""
        count = len(self.rounds)
        return {round(place) for place in np.linspace(0, count - 1, min(max(most, 1), count))} | {count - 1}

    def recipe_of(self, part: Examples, begin: int, end: int) -> Recipe:
        """A round's recipe: its length in epochs of ``part``, and nothing measured on the way."""
        epochs = (end - begin) / steps_per_epoch(part, self.recipe)
        nothing: dict[str, Any] = {"checkpoints": (), "checkpoint_accuracies": (), "stop_at_accuracy": None}
        return replace(self.recipe, epochs=epochs, measure_every=epochs, warmup=0.0, **nothing)

    def stretch(self, part: Examples, begin: int) -> Stretch:
        """Where in the whole run a round lies, in epochs of ``part``."""
        own = steps_per_epoch(part, self.recipe)
        share = self.per_epoch / own
        return Stretch(round(self.recipe.epochs * self.per_epoch) / own, begin / own, self.recipe.warmup * share)


class _Rows:
    """What was measured, one row for each average."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, epochs: float, each: Sequence[Any], whole: Any, team: Sequence[Weights], average: Weights) -> None:
        self.rows.append(
            {
                "epochs": epochs,
                "worker_error": [_number(one.error) for one in each],
                "worker_loss": [one.loss for one in each],
                "average_error": _number(whole.error),
                "average_loss": whole.loss,
                "distance": float(np.mean([one.distance(average) for one in team])),
            }
        )

    def columns(self) -> dict[str, Any]:
        """The rows as arrays."""
        return {name: np.array([row[name] for row in self.rows], dtype=np.float64) for name in self.rows[0]}


def _number(error: float | None) -> float:
    return float("nan") if error is None else error


def _shards(examples: Examples, workers: int, seed: int) -> list[Examples]:
    """Disjoint random shares of the examples, as even as can be."""
    order = torch.randperm(len(examples), generator=generator(seed, "shards"))
    return [examples.take(order[worker::workers]) for worker in range(workers)]
