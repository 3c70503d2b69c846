"""The tasks of ``transformer-warmup``: learn scales, and train from a start."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from orograph.basics.errors import Diverged
from orograph.data import TextData
from orograph.execute import TaskContext
from orograph.initialize import gradinit
from orograph.models import build
from orograph.results import Cost, LearnedScales, Provenance, Run
from orograph.studies.options import build as build_options
from orograph.studies.scaled_starts import chosen_scales, multiply, steps_worth, train_before
from orograph.studies.subject import load_data
from orograph.studies.tasks import Files, saved
from orograph.studies.transformer_warmup.record import Translation
from orograph.studies.transformer_warmup.tokens import PerToken, first, greedy_bleu, loss_per_token, unigram_entropy
from orograph.train import Recipe, Streams, fit

_JUDGED = 20  # training batches on which the final training loss is measured
# As in the published translation runs: scales clip nothing, moments of the two kinds of steps are apart, and the gains
# of norm layers stay below 100.
_TRANSLATION: dict[str, Any] = {"betas": (0.9, 0.98), "clip": 1e8, "shared_moments": False, "gain_upper": 100.0}


def learn(context: TaskContext) -> Files:
    """GradInit on the loss per token; output ``result``."""
    arguments = context.arguments
    data = text_of(context)
    network = _at_base(context, data).to(arguments["device"])
    sizes = [len(batch["labels"]) for batch in data.train.batches(1)]
    found = gradinit(
        network,
        data,
        loss=PerToken(arguments["smoothing"]),
        batch_size=max(round(float(np.mean(sizes))), 2),  # of ready-made batches: what a plain iteration is made of
        seed=arguments["streams"]["order"],
        dry_run=True,
        progress=context.progress,
        **_TRANSLATION,
        **arguments["how"],
    )
    return saved(found, context)


def train(context: TaskContext) -> Files:
    """Train from a start and translate; output ``result``. A run that diverges has losses of NaN, and no curve."""
    arguments, data = context.arguments, text_of(context)
    recipe, streams = build_options(Recipe, arguments["recipe"]), Streams(**arguments["streams"])
    network, device = _at_base(context, data), arguments["device"]
    loss, steps, run = PerToken(arguments["smoothing"]), 0, None
    if arguments["learned"]:
        learned = LearnedScales.load(context.inputs[arguments["learned"]]["result"])
        steps = steps_worth(learned) if arguments["longer"] else 0
        if arguments["scales"]:
            multiply(network, chosen_scales(arguments["scales"], learned))
    cost = Cost()
    try:
        if steps:
            where = context.folder / "before"
            before = train_before(
                network, data, recipe, streams, steps, rising=False, device=device, out=where, loss=loss
            )
            cost = before.provenance.cost
        run = fit(
            network,
            data,
            recipe,
            seed=streams,
            loss=loss,
            test=False,
            out=context.folder / "run",
            name=arguments["name"],
            device=device,
            progress=context.progress,
        )
        cost = cost + run.provenance.cost
    except Diverged:
        run = None
    return saved(_judged(context, network, data, run, steps, cost), context)


def text_of(context: TaskContext) -> TextData:
    """The study's sentences."""
    data = load_data(context.arguments["data"], context.context)
    assert isinstance(data, TextData)
    return data


def _at_base(context: TaskContext, data: TextData) -> nn.Module:
    arguments = context.arguments
    return build(
        arguments["model"]["name"], data, seed=arguments["streams"]["initial"], **arguments["model"]["options"]
    )


def _judged(
    context: TaskContext, network: nn.Module, data: TextData, run: Run | None, steps: int, cost: Cost
) -> Translation:
    device, train_loss, test_loss, score = context.arguments["device"], float("nan"), float("nan"), 0.0
    if run is not None:
        network.to(device)
        train_loss = loss_per_token(network, first(data.train.batches(1), _JUDGED), device)
        test_loss = loss_per_token(network, data.test.batches(1), device)
        score = greedy_bleu(network, data, context.arguments["sentences"], device)
    provenance = Provenance(method="training", device=device, seeds=context.arguments["streams"], cost=cost)
    if run is not None:
        provenance = replace(run.provenance, cost=cost)
    return Translation(
        entropy=unigram_entropy(data.train.batches(1)),
        train_loss=train_loss,
        test_loss=test_loss,
        bleu=score,
        steps=np.array([]) if run is None else run.steps[1:],
        curve=np.array([]) if run is None else run.train_loss[1:],
        before=steps,
        provenance=provenance,
    )
