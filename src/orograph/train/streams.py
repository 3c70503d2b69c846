"""One seed for each source of randomness, so that a run can share its start with another but not its data order.

Every stream is stateless: what is drawn at (epoch, step) depends on the seed and these two numbers alone. A run that
continues from step 1,234 therefore draws what it would have drawn anyway, and no generator state is ever saved.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, fields

import numpy as np
import torch
from torch import Tensor

from orograph.basics.errors import UsageError
from orograph.basics.seeds import derive, generator


@dataclass(frozen=True)
class Streams:
    """The seeds of a run.

    ``initial`` is that of the starting values: fit takes the network as it comes and only records it; whoever
    builds the network draws from it. ``order`` is the order of the examples in each epoch, ``augmentation`` the random
    crops and flips, ``dropout`` whatever the network itself draws from the global generators while it trains.
    """

    initial: int = 0
    order: int = 0
    augmentation: int = 0
    dropout: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int):
                raise UsageError(f"the seed {field.name} must be a whole number, not {value!r}")

    @classmethod
    def of(cls, seed: int | Streams) -> Streams:
        """All streams from one seed; ``Streams`` are returned as they are."""
        return seed if isinstance(seed, Streams) else cls(seed, seed, seed, seed)

    def to_dict(self) -> dict[str, int]:
        """The seeds by name."""
        return asdict(self)

    def permutation(self, size: int, epoch: int) -> Tensor:
        """(size,) int64 on the CPU: the order of epoch ``epoch`` (from 0)."""
        return torch.randperm(size, generator=generator(self.order, "order", epoch))

    def augmenter(self, epoch: int, batch: int) -> torch.Generator:
        """The CPU generator that varies batch ``batch`` of epoch ``epoch``."""
        return generator(self.augmentation, "augmentation", epoch, batch)

    def seed_network(self, step: int, device: torch.device) -> None:
        """Set the global generators (torch, NumPy, Python) for one step; call inside ``isolated_randomness``."""
        seed = derive(self.dropout, "dropout", step)
        # torch.manual_seed also visits every back end that might exist, which costs more than a small step.
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
        elif device.type == "mps":
            torch.mps.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - networks that draw from NumPy use its global generator
