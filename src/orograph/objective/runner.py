"""What is called on each batch: the network itself, or a faster equal of it.

A rewritten network (see :mod:`orograph.objective.fuse` and :mod:`orograph.objective.fold`) is trusted only after it has
reproduced the module's own output on real examples in float32; where none does, the module is used and nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from orograph.data.structure import map_tensors
from orograph.objective.batchnorm import Policy
from orograph.objective.criterion import forward
from orograph.objective.fold import FoldedNetwork, fold, trace
from orograph.objective.fuse import FusedNetwork, fuse
from orograph.objective.settings import Settings

_LOOKED_AT = ("precision", "folded", "channels_last", "compiled")
_CHECKED_EXAMPLES = 32
_TOLERANCE = 1e-4  # relative to the largest logit; float32 rounding in deep networks stays below


class _Unfit(Exception):
    """This build of torch, or this processor, lacks a kernel."""


class Runner:
    """Chooses, at each point, what to call. One runner belongs to one borrowed module."""

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        self.model = model
        self.settings = settings
        self._candidates: list[FoldedNetwork] | None = None if settings.folded else []
        self._verified = False
        self._compilations: dict[int, Callable[..., Any]] = {}

    def serves(self, settings: Settings) -> bool:
        """Whether this runner is right for ``settings`` as well; those that it does not look at may differ."""
        own = self.settings
        return all(getattr(own, name) == getattr(settings, name) for name in _LOOKED_AT)

    def at_present(self, batch: Any, policy: Policy) -> Callable[..., Any]:
        """The callable for the module's present weights and statistics; ``batch`` serves to verify a faster one.

        Under the policy ``batch`` statistics are not known before the batch is, so nothing can be folded.
        """
        chosen = (None if policy == "batch" else self._faster(batch)) or self.model
        return self._compile(chosen) if self.settings.compiled else chosen

    @property
    def faster(self) -> FoldedNetwork | None:
        """The rewritten network that is in use, if one has proved itself."""
        return self._candidates[0] if self._candidates and self._verified else None

    def _faster(self, batch: Any) -> FoldedNetwork | None:
        if self._candidates is None:
            with torch.inference_mode(False):
                self._candidates = list(self._rewritten(batch))
        while self._candidates:
            network = self._candidates[0]
            if self._verified:
                network.refold()
                return network
            try:
                agrees = self._agrees(network, batch)
            except _Unfit:
                agrees = False
            if agrees is None:  # nothing to compare (NaN at this point): the module itself speaks
                return None
            if agrees:
                self._verified = True
                return network
            self._candidates.pop(0)
        return None

    def _rewritten(self, batch: Any) -> Iterator[FoldedNetwork]:
        """The candidates, the fastest first."""
        folded = fold(self.model)
        inputs = batch[0] if isinstance(batch, (tuple, list)) else None
        if self.settings.channels_last and not self.settings.compiled and isinstance(inputs, Tensor):
            graph = folded.graph if folded is not None else trace(self.model)
            simple = all(parameter.dtype == torch.float32 for parameter in self.model.parameters())
            if simple and graph is not None and self.settings.precision in ("float32", "bf16"):
                with suppress(RuntimeError):  # the graph does not run where the module might
                    fused = fuse(graph, inputs)
                    if fused is not None:
                        yield fused
                folded = fold(self.model)  # its graph has become the fused one
        if folded is not None:
            yield folded

    def _agrees(self, network: FoldedNetwork, batch: Any) -> bool | None:
        """Whether both give the same in float32; None where that is not finite. Leaves the network ready for use."""
        few = map_tensors(lambda tensor: tensor[:_CHECKED_EXAMPLES] if tensor.dim() else tensor, batch)
        device = next(self.model.parameters()).device.type
        with torch.autocast(device, enabled=False):
            own, _ = forward(self.model, few)
            found = _tried(network, few)
        if own.shape != found.shape:
            return False
        if not (torch.isfinite(own).all() and torch.isfinite(found).all()):
            return None
        scale = max(float(own.abs().max()), 1e-30) if own.numel() else 1.0
        if (own - found).abs().max() > _TOLERANCE * scale:
            return False
        if isinstance(network, FusedNetwork) and self.settings.precision == "bf16":
            network.dtype = torch.bfloat16
            _tried(network, few)
        return True

    def _compile(self, chosen: Callable[..., Any]) -> Callable[..., Any]:
        target = chosen.graph if isinstance(chosen, FoldedNetwork) else chosen
        if id(target) not in self._compilations:
            self._compilations[id(target)] = torch.compile(target)
        return self._compilations[id(target)]


def _tried(network: FoldedNetwork, batch: Any) -> Tensor:
    try:
        network.refold()
        return forward(network, batch)[0]
    except RuntimeError as error:
        raise _Unfit from error
