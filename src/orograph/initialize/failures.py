"""Iterations of a learned initialisation that have no finite loss or gradient: counted, and given up on."""

from __future__ import annotations

from orograph.basics.errors import TaskError

LIMIT = 30
_ADVICE = (
    "begin with smaller weights, e.g. og.initialize.apply(model, 'he-normal'), unless the data or the loss itself are "
    "not finite"
)


class Failures:
    """Counts failures of ``what``: in ``total`` and in a ``row``."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.total = self.row = 0

    def add(self, tried: str = "") -> None:
        """One more. Raises TaskError after 30 in a row; ``tried`` says what was done against them."""
        self.total += 1
        self.row += 1
        if self.row >= LIMIT:
            raise TaskError(f"{self._what} of {LIMIT} batches in a row is not finite{tried}; {_ADVICE}")

    def over(self) -> None:
        """An iteration went well."""
        self.row = 0

    def require_success(self, iterations: int) -> None:
        """Raise TaskError where not one of so many iterations went well, so that nothing was learned."""
        if iterations and self.total == iterations:
            which = "the only batch" if iterations == 1 else f"each of {iterations} batches"
            raise TaskError(f"{self._what} of {which} is not finite; {_ADVICE}")
