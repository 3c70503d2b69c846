"""What an ensemble cost, in one unit: a training example passed forward and backward."""

from __future__ import annotations

from dataclasses import dataclass, fields

from orograph.results.result import record

FORWARD = 1 / 3  # units of an example passed forward only; a convention: backward costs about twice as much


@record
@dataclass(frozen=True)
class Ledger:
    """Examples passed through networks, by what for.

    ``train`` and ``curve`` were passed forward and backward, and count 1 each; the others forward only, and count 1/3:
    ``batchnorm`` (statistics re-estimated), ``selection`` (greedy soups, temperatures on validation data) and ``paths``
    (lines, planes). The final test and the cost of using M members (M passes) are not counted.
    """

    train: int = 0
    curve: int = 0
    batchnorm: int = 0
    selection: int = 0
    paths: int = 0

    @property
    def units(self) -> float:
        """The total, in examples passed forward and backward."""
        return self.backward + FORWARD * (self.batchnorm + self.selection + self.paths)

    @property
    def backward(self) -> int:
        """Examples passed backward."""
        return self.train + self.curve

    @property
    def forward(self) -> int:
        """Examples passed forward."""
        return self.train + self.curve + self.batchnorm + self.selection + self.paths

    def __add__(self, other: Ledger) -> Ledger:
        return Ledger(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def budgets(self, unit: float) -> float:
        """How many budgets of ``unit`` examples (1B: one ordinary training run) were spent."""
        return self.units / unit
