"""Ask networks for their predictions, once, and evaluate what they say together.

Cost: one forward pass of each member over the examples (and one over up to 2,048 training examples where batch-norm
statistics have to be re-estimated). Everything else is computed from the stored logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from orograph.basics.errors import DataError, UsageError
from orograph.basics.numerics import Precision
from orograph.ensemble.collected import Collected
from orograph.ensemble.evaluating import evaluation_of
from orograph.landscape.distances import distances
from orograph.landscape.points import Point, family
from orograph.objective import Objective
from orograph.results import Cost, Evaluation, Member, Predictions
from orograph.weights import Weights


def ask(
    model: nn.Module,
    networks: Collected | Sequence[Point],
    examples: Any,
    *,
    calibration: Any = None,
    part: str = "test",
    names: Sequence[str] | None = None,
    precision: Precision = "float32",
    device: str | torch.device = "auto",
    name: str = "",
    source: str = "",
) -> Predictions:
    """The logits of every network for ``examples``, which must have class labels.

    Networks of a run keep the batch-norm statistics that they have; those of averages (SWA, soups) are re-estimated
    from ``calibration``, the training examples.

    Raises
    ------
    DataError
        The examples have no labels, or the networks' outputs are not one row of logits for each. UsageError: an average
        with batch norm, and no ``calibration``.
    """
    weights, records, policy = _networks(networks, names, model)
    objective = Objective(
        model,
        examples,
        calibration=calibration if policy == "recalibrate" else None,
        batchnorm=None if calibration is not None else "frozen",
        precision=precision,
        device=device,
        name=name,
        source=source,
        part=part,
    )
    if policy == "recalibrate" and calibration is None and any("running_mean" in key for key in weights[0].buffers):
        raise UsageError("averaged weights need their batch-norm statistics anew: pass calibration=data.train")
    labels = objective.split.targets if objective.split.kind == "pair" else None
    if labels is None or labels.dim() != 1 or labels.is_floating_point():
        raise DataError("an ensemble is evaluated on examples with one class label each")
    logits = []
    with objective.session(weights[0]):
        for one, record in zip(weights, records, strict=True):
            found = objective(one, keep_outputs=True).outputs
            if found is None or found.ndim != 2 or len(found) != len(labels):
                raise DataError(f"{record.name} gave no row of logits for each example")
            logits.append(found)
    return Predictions.of(
        logits,
        labels.cpu().numpy(),
        records,
        part=part,
        provenance=objective.provenance("predictions", Cost(), citations=("ashukha2020",)).with_cost(objective.cost),
    )


def evaluate(
    model: nn.Module,
    networks: Collected | Sequence[Point],
    examples: Any,
    *,
    seed: int = 0,
    **options: Any,
) -> Evaluation:
    """What an ensemble is worth: every average, metric and temperature of its predictions for ``examples``.

    ``options`` are those of :func:`ask`. Temperatures are fitted on one half of the examples and scored on the other.
    """
    predictions = ask(model, networks, examples, **options)
    weights, _, _ = _networks(networks, None, model)
    apart = distances(weights, names=list(predictions.names)).matrix
    made: dict[str, Any] = {}
    if isinstance(networks, Collected):
        made = {"method": networks.method, "ledger": networks.ledger, "budget": networks.budget}
    return evaluation_of(predictions, apart=apart, seed=seed, **made)


def _networks(
    networks: Collected | Sequence[Point], names: Sequence[str] | None, model: nn.Module
) -> tuple[list[Weights], list[Member], str]:
    if isinstance(networks, Collected):
        if not networks.members:
            raise UsageError("there are no networks to ask")
        return list(networks.members), list(networks.records), networks.batchnorm
    if not networks:
        raise UsageError("there are no networks to ask")
    # Files of plain state dicts say their own names only to the network they are of.
    points = [Weights.load(point, model) if isinstance(point, (str, Path)) else point for point in networks]
    weights, labels = family(points, names)
    hashes = (one.fingerprint() for one in weights)
    records = [Member(label, weights_hash=digest) for label, digest in zip(labels, hashes, strict=True)]
    return weights, records, "frozen"
