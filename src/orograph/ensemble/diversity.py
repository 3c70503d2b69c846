r"""How differently the members of an ensemble answer.

.. math:: d_{ij} = \tfrac1N \#\{x : \arg\max p_i(x) \ne \arg\max p_j(x)\}, \qquad
          \mathrm{se} = \sqrt{d_{ij} (1 - d_{ij}) / N}

Also over the mean error, since more errors allow more disagreement: two independent networks on CIFAR-100 disagree on
20 % of the test set with errors of 21 % (Garipov et al. 2018). Cost: no passes through a network.
"""

from __future__ import annotations

import numpy as np

from orograph.ensemble.metrics import mean_estimate
from orograph.results.predictions import Predictions
from orograph.results.scores import Disagreement


def disagreement(predictions: Predictions) -> Disagreement:
    """Pairwise disagreement of all members; NaN where a member's logits are not finite."""
    names, accuracy = predictions.logits.argmax(-1), predictions.accuracy
    members, examples = names.shape
    unknown = np.isnan(accuracy)
    matrix = np.stack([(names != own).mean(1) for own in names])
    matrix[unknown] = matrix[:, unknown] = np.nan
    error = 1 - accuracy
    # Pairs share examples, so the mean's standard error is that of each example's share of disagreeing pairs.
    ballots = np.stack([(names == k).sum(0) for k in range(predictions.logits.shape[2])]).astype(np.float64)
    if unknown.any():
        ballots[:] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = mean_estimate(1 - (ballots * (ballots - 1)).sum(0) / np.float64(members * (members - 1)))
        normalised = matrix / ((error[:, None] + error) / 2)
        mean_normalised = float(np.float64(mean.value) / error.mean())
    return Disagreement(
        names=predictions.names,
        matrix=matrix,
        se=np.sqrt(matrix * (1 - matrix) / examples),
        normalised=normalised,
        mean=mean,
        mean_normalised=mean_normalised,
    )
