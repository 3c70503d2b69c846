"""What is called on each batch: the network itself, or a faster equal of it.

A folded network (see :mod:`orograph.objective.fold`) is trusted only after it has reproduced the module's own output
on real examples; where it does not, the module is used and nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from orograph.data.structure import map_tensors
from orograph.objective.criterion import forward
from orograph.objective.fold import FoldedNetwork, fold
from orograph.objective.settings import Settings

_CHECKED_EXAMPLES = 32
_TOLERANCE = 1e-4  # relative to the largest logit; float32 rounding in deep networks stays below


class Runner:
    """Chooses, at each point, what to call. One runner belongs to one borrowed module."""

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        self.model = model
        self.compiled = settings.compiled
        self.may_fold = settings.folded and settings.batchnorm != "batch"
        self.folded: FoldedNetwork | None = None
        self._verified = False
        self._compilations: dict[int, Callable[..., Any]] = {}

    def at_present(self, batch: Any) -> Callable[..., Any]:
        """The callable for the module's present weights and statistics; ``batch`` serves to verify a folded one."""
        chosen: Callable[..., Any] = self.model
        if self.may_fold and self.folded is None:
            with torch.inference_mode(False):
                self.folded = fold(self.model)
            self.may_fold = self.folded is not None
        if self.folded is not None:
            self.folded.refold()
            if not self._verified:
                agrees = self._agrees(batch)
                self._verified = agrees is True
                if agrees is False:
                    self.folded, self.may_fold = None, False
            # Where there was nothing to compare (NaN at this point), the module itself speaks.
            if self.folded is not None and self._verified:
                chosen = self.folded
        return self._compile(chosen) if self.compiled else chosen

    def _agrees(self, batch: Any) -> bool | None:
        assert self.folded is not None
        few = map_tensors(lambda tensor: tensor[:_CHECKED_EXAMPLES] if tensor.dim() else tensor, batch)
        device = next(self.model.parameters()).device.type
        with torch.autocast(device, enabled=False):
            own, _ = forward(self.model, few)
            folded, _ = forward(self.folded, few)
        if own.shape != folded.shape:
            return False
        if not (torch.isfinite(own).all() and torch.isfinite(folded).all()):
            return None
        scale = max(float(own.abs().max()), 1e-30) if own.numel() else 1.0
        return bool((own - folded).abs().max() <= _TOLERANCE * scale)

    def _compile(self, chosen: Callable[..., Any]) -> Callable[..., Any]:
        target = chosen.graph if isinstance(chosen, FoldedNetwork) else chosen
        if id(target) not in self._compilations:
            self._compilations[id(target)] = torch.compile(target)
        return self._compilations[id(target)]
