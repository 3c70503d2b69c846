"""What a learned initialisation costs, in plain training iterations: by the count of passes, and by processor time."""

from __future__ import annotations

import math
from time import perf_counter, process_time
from typing import Any

import torch
from torch import nn

from orograph.basics.copying import copied
from orograph.data.structure import batch_length
from orograph.initialize.chunks import rows
from orograph.objective.criterion import Criterion
from orograph.results.provenance import Cost

_BACKWARD = 2  # a pass backward is worth two forward
_TWICE = 4  # and differentiating a gradient is worth so many, on top of the passes that made it


class Passes:
    """Counts examples passed forward, backward, and through the derivative of a gradient."""

    def __init__(self) -> None:
        self.forward = self.backward = self.twice = self.thrice = 0

    def add(self, examples: int, *, forward: int = 0, backward: int = 0, twice: int = 0, thrice: int = 0) -> None:
        """So many passes of ``examples``."""
        self.forward += forward * examples
        self.backward += backward * examples
        self.twice += twice * examples
        self.thrice += thrice * examples

    @property
    def worth(self) -> float:
        """In examples of plain training, which are one pass forward and one backward."""
        units = self.forward + _BACKWARD * self.backward + _TWICE * (self.twice + 2 * self.thrice)
        return units / (1 + _BACKWARD)

    def cost(self, cpu: float, wall: float) -> Cost:
        """As recorded with results; a derivative of a gradient counts as a pass forward and two backward."""
        again = self.twice + 2 * self.thrice
        return Cost(self.forward + again, self.backward + 2 * again, cpu_seconds=cpu, wall_seconds=wall)


class PlainClock:
    """Times plain training iterations between those of a method, on a copy of the network.

    ``worth(spent)`` is ``spent`` seconds of the method's in plain iterations; NaN where none were timed. The first one
    warms up and does not count. On a GPU the clock waits for it.
    """

    def __init__(self, model: nn.Module, criterion: Criterion, batch_size: int, times: int, iterations: int) -> None:
        self._every = max(iterations // times, 1) if times else 0
        self._batch_size, self._criterion = batch_size, criterion
        self._device = next(model.parameters()).device
        self.spent, self._count = 0.0, -1
        if self._every:
            self._copy = copied(model).train()
            self._optimizer = torch.optim.SGD(self._copy.parameters(), lr=1e-6, momentum=0.9)

    def now(self) -> float:
        """Processor time in seconds (wall time where a GPU works)."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            return perf_counter()
        return process_time()

    def between(self, iteration: int, chunk: Any) -> float:
        """Train on a batch where it is time to; returns the seconds that it took."""
        if not self._every or iteration % self._every:
            return 0.0
        began = self.now()
        self._optimizer.zero_grad(set_to_none=True)
        batch = rows(chunk, 0, min(self._batch_size, batch_length(chunk)))
        self._criterion.mean(self._copy, batch).backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        spent = self.now() - began
        self.spent += spent if self._count >= 0 else 0.0
        self._count += 1
        return spent

    def worth(self, spent: float) -> float:
        """Seconds in plain iterations."""
        return spent * self._count / self.spent if self._every and self._count > 0 and self.spent > 0 else math.nan
