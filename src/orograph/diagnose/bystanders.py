"""Parameters of a network that an optimiser does not train, and whether something else changes them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from orograph.diagnose.reading import sample


class Bystanders:
    """The parameters that are frozen, or not in ``optimizer``, as they are now: samples, and usually none."""

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        rest = {n: p for n, p in model.named_parameters() if not (p.requires_grad and id(p) in held)}
        self._then: dict[str, tuple[Tensor, Tensor]] = {
            name: (p, sample(p)) for name, p in rest.items() if not isinstance(p, nn.UninitializedParameter)
        }

    def moved(self) -> set[str]:
        """Those that have changed since."""
        return {name for name, (p, then) in self._then.items() if not torch.equal(sample(p), then)}
