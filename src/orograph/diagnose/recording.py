"""Hooks on a network in training that wake up every so many steps, and the readings that they keep.

A reading copies a sample of each layer's outputs and of each gradient, and the weights for the length of one step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from orograph.diagnose.histogram import BINS, EDGES
from orograph.diagnose.reading import Read, dead_share, read, sample
from orograph.diagnose.watching import first_tensor, is_leaf
from orograph.results.diagnosis import Histograms, LayerReading, ParameterReading
from orograph.results.provenance import Provenance

_KEPT = 120  # readings; when there are more, every second one is dropped and the interval doubles


@dataclass
class Series:
    """Everything read so far; each list has one entry for a reading."""

    steps: list[int] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)
    outputs: list[dict[str, Read]] = field(default_factory=list)
    gradients: list[dict[str, Read]] = field(default_factory=list)
    updates: list[dict[str, float]] = field(default_factory=list)
    norms: list[dict[str, float]] = field(default_factory=list)

    def thin(self) -> None:
        """Drop every second reading."""
        for rows in (self.steps, self.outputs, self.gradients, self.updates, self.norms):
            del rows[1::2]

    @property
    def layers(self) -> list[LayerReading]:
        """The layers at the last reading."""
        last = self.outputs[-1] if self.outputs else {}
        return [one.as_layer(name, self.kinds[name]) for name, one in last.items()]

    @property
    def parameters(self) -> list[ParameterReading]:
        """The parameters at the last reading, with the median of their updates."""
        found = []
        nan = float("nan")
        for name, norm in (self.norms[-1] if self.norms else {}).items():
            one = self.gradients[-1].get(name)
            changes = [row[name] for row in self.updates if math.isfinite(row.get(name, nan))]
            update = float(np.median(changes)) if changes else nan
            if one is None:
                found.append(ParameterReading(name, 0, norm, nan, nan, nan, nan, 0, update))
            else:
                found.append(ParameterReading(name, one.size, norm, nan, nan, one.norm, one.zeros, one.bad, update))
        return found

    def histograms(self, what: str) -> Histograms | None:
        """Of the layers' ``outputs`` or the parameters' ``gradients`` over time; None for none."""
        rows: list[dict[str, Read]] = getattr(self, what)
        names = list(dict.fromkeys(name for row in rows for name in row))
        if not names:
            return None
        counts = np.zeros((len(rows), len(names), BINS), dtype=np.int64)
        special = np.zeros((len(rows), len(names), 4), dtype=np.int64)
        for s, row in enumerate(rows):
            for k, name in enumerate(names):
                if name in row:
                    counts[s, k], special[s, k] = row[name].counts, row[name].special
        return Histograms(
            names=tuple(names),
            steps=np.array(self.steps, dtype=np.int64),
            edges=EDGES,
            counts=counts,
            special=special,
            provenance=Provenance(method=f"histograms of {what} over training"),
        )

    def numbers(self) -> dict[str, float]:
        """A few figures of the last reading, for a dashboard."""
        if not self.steps:
            return {}
        norms = [one.norm for one in self.gradients[-1].values()]
        changes = [value for value in self.updates[-1].values() if math.isfinite(value)]
        found = {"gradient norm": float(np.sqrt(np.sum(np.square(norms))))} if norms else {}
        if changes:
            found |= {"update ratio, median": float(np.median(changes)), "update ratio, largest": max(changes)}
        if self.outputs[-1]:
            found["dead units, most in a layer"] = max(one.dead for one in self.outputs[-1].values())
        return found


class Watcher:
    """Hooks on a network and its optimiser; ``done(step)`` is called after each reading."""

    def __init__(self, model: nn.Module, optimizer: Optimizer, every: int, done: Callable[[int], None]) -> None:
        self.model, self.optimizer, self.every = model, optimizer, every
        self.series = Series()
        self.step = 0
        self._done = done
        self._interval = every
        self._handles: list[Any] = []
        self._awake = False
        self._outputs: dict[str, tuple[str, Tensor, int, Tensor | None]] = {}
        self._gradients: dict[str, tuple[Tensor, int]] = {}
        self._trained: dict[str, nn.Parameter] = {}
        self._before: list[Tensor] = []

    def attach(self) -> None:
        """Begin to watch."""
        for name, module in self.model.named_modules():
            if is_leaf(module):
                self._handles.append(module.register_forward_hook(self._forward(name or "the network")))
        self._handles.append(self.optimizer.register_step_pre_hook(self._stepping))
        self._handles.append(self.optimizer.register_step_post_hook(self._stepped))
        self._awake = True

    def detach(self) -> None:
        """Stop watching."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._awake = False

    def _forward(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if not self._awake or not torch.is_grad_enabled():
                return
            tensor = first_tensor(output)
            if tensor is not None and tensor.is_floating_point() and tensor.numel():
                kind = type(module).__name__
                self._outputs[name] = (kind, sample(tensor), tensor.numel(), dead_share(tensor, kind))

        return hook

    @torch.no_grad()
    def _stepping(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if not self._awake:
            return
        self._trained = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self._before = [p.detach().clone() for p in self._trained.values()]
        self._gradients = {name: (sample(p.grad), p.numel()) for name, p in self._trained.items() if p.grad is not None}

    @torch.no_grad()
    def _stepped(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self.step += 1
        if self._awake:
            self._keep()
            self._done(self.step)
        self._awake = self.step % self._interval == 0

    def _keep(self) -> None:
        series = self.series
        names = list(self._trained)
        sizes: list[list[float]] = []
        if names:
            now = [p.detach() for p in self._trained.values()]
            moved = torch._foreach_norm(torch._foreach_sub(now, self._before))
            lengths = torch._foreach_norm(self._before)
            sizes = torch.stack([torch.stack(list(lengths)), torch.stack(list(moved))], 1).tolist()
        series.norms.append({name: size[0] for name, size in zip(names, sizes, strict=True)})
        series.updates.append(
            {n: size[1] / size[0] if size[0] > 0 else float("nan") for n, size in zip(names, sizes, strict=True)}
        )
        series.kinds |= {name: kind for name, (kind, _, _, _) in self._outputs.items()}
        outputs = list(self._outputs.values())
        gradients = list(self._gradients.values())
        nothing = [""] * len(gradients), [None] * len(gradients)
        reads = read(
            [*(one[1] for one in outputs), *(one[0] for one in gradients)],
            [*(one[2] for one in outputs), *(one[1] for one in gradients)],
            [*(one[0] for one in outputs), *nothing[0]],
            [*(one[3] for one in outputs), *nothing[1]],
        )
        series.outputs.append(dict(zip(self._outputs, reads[: len(outputs)], strict=True)))
        series.gradients.append(dict(zip(self._gradients, reads[len(outputs) :], strict=True)))
        series.steps.append(self.step)
        self._outputs, self._gradients, self._before = {}, {}, []
        if len(series.steps) > _KEPT:
            series.thin()
            self._interval *= 2
