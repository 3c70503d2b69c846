"""Listens to what backward passes make, and whether the optimiser steps at all.

Hooks sit on two parameters from the end of one step to the next, at the first few steps and at the steps that are read,
and are gone in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from orograph.diagnose.freshness import Ear, Row, row_of
from orograph.diagnose.guarding import Guard

_EARLY = 5  # steps at the beginning, all of which are listened to
_OFTEN = 20  # backward passes after which a missing step is looked for


@dataclass
class Idle:
    """Training without a step so far: backward passes, how many of them found gradients that were cleared again,
    whether the last gradient was finite, and whether the weights change all the same."""

    passes: int
    cleared: int
    finite: bool
    moved: bool


class Arrivals:
    """Listens while ``optimizer`` trains ``model``.

    ``due()`` says whether the next step is read anyway. ``judge(rows)`` is called after each row with the last ones,
    and ``idle(found)`` every few backward passes as long as there was no step.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        due: Callable[[], bool],
        judge: Callable[[deque[Row]], None],
        idle: Callable[[Idle], None],
        guard: Guard,
    ) -> None:
        self.rows: deque[Row] = deque(maxlen=8)
        self.step = 0
        self.passes = 0
        self._cleared: int | Tensor = 0
        self._lead: Ear | None = None
        self._guard = guard
        self._model, self._optimizer = model, optimizer
        self._due, self._judge, self._idle = due, judge, idle
        self._ears: list[Ear] = []
        self._hooks: list[Any] = []
        self._handles: list[Any] = []
        self._row: Row | None = None

    def attach(self) -> None:
        """Begin to listen."""
        self.detach()
        self._handles = [
            self._optimizer.register_step_pre_hook(self._stepping),
            self._optimizer.register_step_post_hook(self._stepped),
        ]
        self._listen()

    def detach(self) -> None:
        """Stop listening."""
        self.rest()
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def idle(self) -> Idle | None:
        """What there was instead of a step; None where there was one, or nothing is listened to."""
        if not self._ears:  # parameters may have no values yet
            self._listen()
            return None
        if self.step:
            return None
        with self._guard("listening to gradients"), torch.no_grad():
            moved = any(one.moved() for one in self._ears)
            finite = self._lead is None or self._lead.fresh is None or bool(torch.isfinite(self._lead.fresh).all())
            return Idle(self.passes, int(self._cleared), finite, moved)
        return None

    def _heard(self, ear: Ear, cleared: int | Tensor) -> None:
        # The first parameter to hear a gradient stands for all when passes are counted.
        self._lead = self._lead or ear
        if ear is not self._lead:
            return
        self.passes += 1
        self._cleared = self._cleared + cleared
        if self.step == 0 and self.passes % _OFTEN == 0 and (found := self.idle()) is not None:
            self._idle(found)

    def _listen(self) -> None:
        with self._guard("listening to gradients"):
            if not self._ears or not all(one.parameter.requires_grad for one in self._ears):
                self._ears = [Ear(p, self._heard, self._guard) for p in _some(self._model, self._optimizer)]
                self._lead = None
            self.rest()
            for one in self._ears:
                one.expect()
                self._hooks.append(one.parameter.register_hook(one))  # type: ignore[no-untyped-call]

    def rest(self) -> None:
        """Listen no more before the next step."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _stepping(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if not self._hooks:
            return
        self.rest()
        with self._guard("listening to gradients"), torch.no_grad():
            self._row = row_of(self._ears, self.step + 1)

    def _stepped(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self.step += 1
        row, self._row = self._row, None
        if row is not None:
            with self._guard("listening to gradients"), torch.no_grad():
                if not row.given:
                    row.moved = any(one.moved() for one in self._ears)
                self.rows.append(row)
        if self.step < _EARLY or self._due():
            self._listen()
        if row is not None:
            self._judge(self.rows)


def _some(model: nn.Module, optimizer: Optimizer) -> list[nn.Parameter]:
    """The first and the last parameter of both; weights rather than biases."""
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    both = [p for p in model.parameters() if id(p) in held and p.requires_grad]
    known = [p for p in both if not isinstance(p, nn.UninitializedParameter) and p.numel()]
    known = [p for p in known if p.dim() > 1] or known
    return [*known[:1], *known[1:][-1:]]
