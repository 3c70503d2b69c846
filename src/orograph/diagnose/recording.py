"""Hooks on a network in training that wake up every so many steps, and the readings that they keep.

A reading copies a sample of each layer's outputs and of each gradient, and the weights for the length of one step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from orograph.diagnose.guarding import Guard
from orograph.diagnose.reading import dead_share, read, sample, values_of
from orograph.diagnose.series import Series
from orograph.diagnose.watching import first_tensor, is_leaf

__all__ = ["Series", "Watcher"]

_KEPT = 120  # readings; when there are more, every second one is dropped and the interval doubles


class _Eye:
    """A hook on one layer. A copy of the network, or one from a file, has a blind one in its place."""

    def __init__(self, watcher: Watcher | None = None, name: str = "") -> None:
        self._watcher, self._name = watcher, name

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        watcher = self._watcher
        if watcher is not None and watcher.awake and torch.is_grad_enabled():
            watcher.look(self._name, module, output)

    def __reduce__(self) -> tuple[type[_Eye], tuple[()]]:
        return _Eye, ()


class Watcher:
    """Hooks on a network and its optimiser; ``done(step)`` is called after each reading.

    A reading in which something unexpected happens is left out, and ``guard`` is told.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        every: int,
        done: Callable[[int], None],
        guard: Guard | None = None,
    ) -> None:
        self.model, self.optimizer, self.every = model, optimizer, every
        self.series = Series()
        self.step = 0
        self.awake = False
        self._done = done
        self._guard = guard or Guard()
        self._interval = every
        self._handles: list[Any] = []
        self._within = False  # whether a step has begun and not ended
        self._ready = False  # whether the first half of a reading was made
        self._put_off = False
        self._outputs: dict[str, tuple[str, Tensor, int, Tensor | None]] = {}
        self._gradients: dict[str, tuple[Tensor, int]] = {}
        self._trained: dict[str, nn.Parameter] = {}
        self._before: list[Tensor] = []

    def attach(self) -> None:
        """Begin to watch."""
        self.detach()
        self._handles.append(self.optimizer.register_step_pre_hook(self._stepping))
        self._handles.append(self.optimizer.register_step_post_hook(self._stepped))
        for name, module in self.model.named_modules():
            if is_leaf(module):
                # A ScriptModule takes no hooks.
                with self._guard("watching a layer", "its outputs are not read", name):
                    self._handles.append(module.register_forward_hook(_Eye(self, name or "the network")))
        self.awake = True

    def detach(self) -> None:
        """Stop watching."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self.awake = False

    def look(self, name: str, module: nn.Module, output: Any) -> None:
        """Keep a sample of what a layer put out."""
        try:  # not the guard's block, for torch.compile traces through here
            tensor = first_tensor(output)
            if tensor is not None and tensor.is_floating_point() and tensor.numel():
                kind = type(module).__name__
                self._outputs[name] = (kind, sample(tensor), tensor.numel(), dead_share(tensor, kind))
        except Exception as error:
            self._guard.failed(error, "reading a layer's outputs", "they are left out", name)

    def _stepping(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self._within = True
        if not self.awake:
            return
        self._ready = False
        with self._guard("a reading"), torch.no_grad():
            self._put_off = _left_out(optimizer)
            if self._put_off:
                return
            self._trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad and _has_values(p)}
            self._before = [_real(p).clone() for p in self._trained.values()]
            self._gradients = {}
            scale = getattr(optimizer, "grad_scale", None)
            for name, parameter in self._trained.items():
                if parameter.grad is not None and (values := values_of(parameter.grad)).numel():
                    given = sample(values)
                    self._gradients[name] = (given if scale is None else given / scale, values.numel())
            self._ready = True

    def _stepped(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if not self._within:  # an optimiser whose step calls its parent's was counted within
            return
        self._within = False
        self.step += 1
        reading, self.awake = self.awake, self.step % self._interval == 0
        if not reading:
            return
        kept = False
        if self._put_off:
            self.awake = True
        elif self._ready:
            with self._guard("a reading"), torch.no_grad():
                self._keep()
                kept = True
        self._outputs, self._gradients, self._before = {}, {}, []
        if kept:
            self._done(self.step)

    def _keep(self) -> None:
        series = self.series
        names = list(self._trained)
        sizes: list[list[float]] = []
        if names:
            now = [_real(p) for p in self._trained.values()]
            moved = torch._foreach_norm(torch._foreach_sub(now, self._before))
            both = [torch.stack(list(one)) for one in zip(torch._foreach_norm(self._before), moved, strict=True)]
            sizes = torch.stack([one.float().to(both[0].device) for one in both]).tolist()
        outputs = list(self._outputs.values())
        gradients = list(self._gradients.values())
        nothing = [""] * len(gradients), [None] * len(gradients)
        reads = read(
            [*(one[1] for one in outputs), *(one[0] for one in gradients)],
            [*(one[2] for one in outputs), *(one[1] for one in gradients)],
            [*(one[0] for one in outputs), *nothing[0]],
            [*(one[3] for one in outputs), *nothing[1]],
        )
        # Nothing can fail from here on, so that all lists stay equally long.
        series.norms.append({name: size[0] for name, size in zip(names, sizes, strict=True)})
        series.updates.append(
            {n: size[1] / size[0] if size[0] > 0 else float("nan") for n, size in zip(names, sizes, strict=True)}
        )
        series.kinds |= {name: kind for name, (kind, _, _, _) in self._outputs.items()}
        series.sizes |= {name: p.numel() for name, p in self._trained.items()}
        series.outputs.append(dict(zip(self._outputs, reads[: len(outputs)], strict=True)))
        series.gradients.append(dict(zip(self._gradients, reads[len(outputs) :], strict=True)))
        series.steps.append(self.step)
        if len(series.steps) > _KEPT:
            series.thin()
            self._interval *= 2


def _has_values(parameter: Tensor) -> bool:
    return not isinstance(parameter, nn.UninitializedParameter) and parameter.numel() > 0


def _real(parameter: Tensor) -> Tensor:
    values = parameter.detach()
    return torch.view_as_real(values) if values.is_complex() else values


def _left_out(optimizer: Any) -> bool:
    """Whether a GradScaler has found this step's gradients too large: a fused optimiser is called all the same."""
    found = getattr(optimizer, "found_inf", None)
    return isinstance(found, Tensor) and bool(found.any())
