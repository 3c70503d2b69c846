"""Means of weights: one network out of many that lie in one basin.

The mean of float parameters is summed in float64; whole numbers are those of the last network. Batch-norm statistics of
a mean have been seen by no run and must be re-estimated. Sources: Izmailov et al. 2018 (SWA), Wortsman et al. 2022
(soups). Cost: no passes, but for the choice of a greedy soup.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from orograph.basics.errors import UsageError
from orograph.landscape.points import Point, family
from orograph.objective import Objective
from orograph.results.ledger import Ledger
from orograph.weights import Weights, chunks


def mean_weights(networks: Sequence[Point]) -> Weights:
    """The mean of ``networks``, with the buffers of the last one.

    Raises WeightsError where they do not belong together, UsageError where there are none.
    """
    if not networks:
        raise UsageError("there are no networks to average")
    weights, _ = family(networks)
    mean = torch.empty_like(weights[-1].vector)
    for part in chunks(len(mean)):
        total = weights[0].vector[part].double()
        for other in weights[1:]:
            total += other.vector[part]
        mean[part] = total / len(weights)
    return weights[-1].with_vector(mean)


def soup(
    networks: Sequence[Point], *, validation: Objective | None = None, tolerance: float = 0.0
) -> tuple[Weights, tuple[int, ...], Ledger]:
    """The mean of networks of one basin (a common start, or aligned first): all of them, or a greedy choice.

    With an objective over ``validation`` examples (never the test's) the soup is greedy: it begins with the best
    network, and each further one is taken in, best first, if the mean's accuracy (where there are no labels, minus its
    loss) does not fall by more than ``tolerance``. The objective should re-estimate batch norm.

    Returns the mean, the indices of its ingredients in the order they were taken in, and the passes that choosing took.
    """
    weights, _ = family(networks)
    if validation is None:
        return mean_weights(weights), tuple(range(len(weights))), Ledger()
    before = validation.cost

    def quality(candidate: Weights) -> float:
        found = validation(candidate)
        return -found.loss if found.accuracy is None else found.accuracy

    singly = [quality(one) for one in weights]
    ranked = sorted(range(len(weights)), key=lambda index: -singly[index])
    chosen, best = ranked[:1], singly[ranked[0]]
    for index in ranked[1:]:
        value = quality(mean_weights([weights[i] for i in [*chosen, index]]))
        if value >= best - tolerance:
            chosen.append(index)
            best = value
    spent = validation.cost - before
    ledger = Ledger(batchnorm=spent.recalibration, selection=spent.forward)
    return mean_weights([weights[i] for i in chosen]), tuple(chosen), ledger
