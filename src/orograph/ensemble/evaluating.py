"""Every average, metric and temperature of stored predictions, in one record.

Temperatures are fitted on one half of the examples and scored on the other. Cost: no passes through a network.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orograph.ensemble.combine import combine, running, vote
from orograph.ensemble.diversity import disagreement
from orograph.ensemble.metrics import by_example, mean_estimate, scores
from orograph.ensemble.temperature import after_averaging, before_averaging, calibrated_nll, folds, temperature
from orograph.results.evaluation import Evaluation
from orograph.results.ledger import Ledger
from orograph.results.predictions import Predictions

_SHUFFLES = 5


def evaluation_of(
    predictions: Predictions,
    *,
    apart: NDArray[np.float64] | None = None,
    method: str = "",
    ledger: Ledger | None = None,
    budget: int = 0,
    seed: int = 0,
) -> Evaluation:
    """The evaluation of stored predictions; ``apart`` (M, M) are the members' distances in weight space."""
    logits, labels = predictions.logits, predictions.labels
    average, geometric = combine(logits), combine(logits, "logit")
    before, after = before_averaging(logits, labels), after_averaging(average, labels)
    halves = folds(len(labels), shuffles=_SHUFFLES, seed=seed)
    single = [scores(combine(logits[i : i + 1]), labels, seed=seed) for i in range(len(logits))]
    growing = [by_example(log_p, labels) for log_p in running(logits)]
    wrong = (vote(logits) != labels).astype(np.float64)
    return Evaluation(
        method=method,
        names=predictions.names,
        part=predictions.part,
        probability=scores(average, labels, seed=seed),
        logit=scores(geometric, labels, seed=seed),
        vote_error=mean_estimate(wrong),
        members=tuple(single),
        temperature_before=temperature(before),
        temperature_after=temperature(after),
        calibrated_before=calibrated_nll(before, halves),
        calibrated_after=calibrated_nll(after, halves),
        disagreement=disagreement(predictions),
        distances=apart,
        running_error=np.array([mean_estimate(found["error"]).value for found in growing]),
        running_nll=np.array([mean_estimate(found["nll"]).value for found in growing]),
        collapsed=predictions.collapsed,
        ledger=ledger or Ledger(),
        budget=budget,
        provenance=predictions.provenance,
    )
