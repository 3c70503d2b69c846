"""What an ensemble is worth on one set of examples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from orograph.results.ledger import Ledger
from orograph.results.result import Result
from orograph.results.scores import CalibratedNLL, Disagreement, Estimate, Scores, Temperature


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation(Result):
    """Averages, metrics, temperatures and diversity of M networks over N examples.

    Attributes
    ----------
    method : how they were made; names : (M,) of the members; part : which examples
    probability, logit : scores of the averaged probabilities, and of the averaged logits; vote_error : of the majority
    members : (M,) scores of each network by itself
    temperature_before, temperature_after : the best temperature on these very examples, shared by the members before
        their probabilities are averaged, or applied to the average
    calibrated_before, calibrated_after : NLL at a temperature fitted on the other half of the examples
    disagreement : how often members name different classes; distances : (M, M) in weight space, None where not known
    running_error, running_nll : (M,) of the averaged probabilities of the first 1 … M members
    collapsed : members that learned nothing, with the reason; they are in all figures
    ledger : what making them cost; budget : examples of one ordinary training run (0: unknown)
    """

    method: str
    names: tuple[str, ...]
    part: str
    probability: Scores
    logit: Scores
    vote_error: Estimate
    members: tuple[Scores, ...]
    temperature_before: Temperature
    temperature_after: Temperature
    calibrated_before: CalibratedNLL
    calibrated_after: CalibratedNLL
    disagreement: Disagreement
    distances: NDArray[np.float64] | None
    running_error: NDArray[np.float64]
    running_nll: NDArray[np.float64]
    collapsed: dict[str, str] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    budget: int = 0

    title: ClassVar[str] = "ensemble"

    @property
    def member_error(self) -> float:
        """The mean error of one network."""
        return float(np.mean([member.error.value for member in self.members]))

    @property
    def mean_distance(self) -> float:
        """The mean distance between two members; NaN where it is not known."""
        if self.distances is None or len(self.names) < 2:
            return float("nan")
        return float(self.distances[np.triu_indices(len(self.names), 1)].mean())

    def summary(self) -> str:
        count = len(self.names)
        before, after = self.temperature_before, self.temperature_after
        lines = [
            f"{count} network{'s' * (count > 1)}{f' ({self.method})' if self.method else ''} on {self.part}: error "
            f"{self.probability.error}, NLL {self.probability.nll}, Brier {self.probability.brier}, ECE "
            f"{self.probability.ece}",
            f"one network: error {self.member_error:.4g}; logits averaged: error {self.logit.error}, NLL "
            f"{self.logit.nll}; vote: error {self.vote_error}",
            f"calibrated NLL {self.calibrated_before.value:.4g} (temperature {_tau(before)} before averaging), "
            f"{self.calibrated_after.value:.4g} ({_tau(after)} after)",
        ]
        if count > 1:
            share = self.disagreement.mean_normalised
            errors = f" ({share:.2f} of their error)" if np.isfinite(share) else ""
            apart = "" if self.distances is None else f"; mean distance {self.mean_distance:.4g}"
            lines.append(f"two members disagree on {self.disagreement.mean} of the examples{errors}{apart}")
        if self.budget:
            lines.append(f"cost: {self.ledger.budgets(self.budget):.3f} budgets of {self.budget:,} examples")
        return "\n".join([*lines, *(f"collapsed: {name} ({reason})" for name, reason in self.collapsed.items())])


def _tau(found: Temperature) -> str:
    return f"{found.tau:.3g}{', at its bound' if found.at_bound else ''}"
