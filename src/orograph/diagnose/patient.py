"""The user's network, data, loss and optimiser, and copies of them to examine: the originals are never touched.

A copy is deep, network and optimiser together, so that the optimiser's moments and groups go with the parameters. The
user's own ``step`` is called with the copy; an object or a method is copied too, with its counters and schedules. A
function that reaches the originals by itself (a closure) cannot be copied; then the originals run, and every bit of
them is put back afterwards.
"""

from __future__ import annotations

import copy
import functools
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from orograph.basics.copying import copied, kept_results
from orograph.basics.errors import ModelError, in_a_line
from orograph.data.structure import map_tensors
from orograph.diagnose.calling_step import Step, call_step
from orograph.diagnose.losses import Loss
from orograph.diagnose.reach import put_back, within
from orograph.diagnose.together import parts_of


@dataclass
class Copy:
    """A network to experiment on. ``change`` turns a batch into what is trained on; ``handles`` are hooks to remove."""

    model: nn.Module
    optimizer: Optimizer
    loss: Loss
    step: Step | None
    change: Callable[[Any], Any] = lambda batch: map_tensors(torch.clone, batch)  # a network may work in place
    handles: list[Any] = field(default_factory=list)
    way: str = "quiet"  # how the network can be looked at; see glances

    def train(self, batch: Any, index: int) -> float:
        """One training step, the user's own or the ordinary one; the loss before it (NaN where the step gives none)."""
        batch = self.change(batch)
        if self.step is not None:
            found = call_step(self.step, self, self.loss.as_given(batch), index)
            return _number(found)
        value: list[Tensor] = []

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            loss = self.loss(self.model, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            value.append(loss.detach())
            return loss

        if isinstance(self.optimizer, torch.optim.LBFGS):
            self.optimizer.step(closure)  # type: ignore[no-untyped-call]
        else:
            closure()
            self.optimizer.step()
        return float(value[0])


class Patient:
    """What is to be examined.

    Attributes
    ----------
    model, loss, optimizer, step : the user's; ``assumed`` says that no optimiser was given and Adam stands in for one
    batches : on the network's device, in the loader's own order; the first ``epoch`` of them before any comes again
    bound : whether the user's step reaches the originals by itself
    """

    def __init__(
        self,
        model: nn.Module,
        batches: list[Any],
        loss: Loss,
        optimizer: Optimizer | None,
        step: Step | None,
        epoch: int = 0,
    ) -> None:
        self.model = model
        self.loss = loss
        self.step = step
        self.assumed = optimizer is None
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if optimizer is None and trainable:
            optimizer = torch.optim.Adam(trainable, lr=1e-3)
        self.optimizer = optimizer
        self.batches = batches
        self.epoch = epoch or len(batches)
        self.repeats = False  # whether examples come again on purpose
        self.stacks = False  # whether the loader is known to put examples along the first axis
        self.bound = step is not None and any(_holds(one, model, optimizer) for one in within(_code_of(step)))

    @contextmanager
    def copy(self, *, own_step: bool = True) -> Iterator[Copy]:
        """A copy for one experiment; without ``own_step`` it takes the ordinary step.

        Raises ModelError where the network cannot be copied.
        """
        versions = [p._version for p in self.model.parameters()]
        with put_back((self.step, self.loss.loss), self.model, self.optimizer) if self._own else nullcontext():
            made = self._made(own_step)
            try:
                yield made
            finally:
                for handle in made.handles:
                    handle.remove()
                if made.model is not self.model and versions != [p._version for p in self.model.parameters()]:
                    self.bound = True  # the step found the originals on a way that could not be seen

    @property
    def _own(self) -> bool:
        """Whether there is code of the user's that may reach further than what it is given."""
        return self.step is not None or not isinstance(self.loss.loss, (str, nn.Module))

    def _made(self, own_step: bool) -> Copy:
        if self.optimizer is None:  # everything is frozen: it can be looked at, and trained once that is changed
            return Copy(copied(self.model), torch.optim.Adam([torch.zeros(1)], lr=1e-3), self.loss, None)
        if own_step and self.bound:
            return Copy(self.model, self.optimizer, self.loss, self.step)
        try:
            # A step that is an object, or a method of one, is copied with whatever it holds; functions are shared.
            memo = kept_results(self.model)
            for one in [self.optimizer, *within((self.step, self.loss.loss))]:
                if isinstance(one, Optimizer):
                    _copied_optimizer(one, memo)
            model, optimizer, loss, step = copy.deepcopy((self.model, self.optimizer, self.loss, self.step), memo)
        except Exception as error:
            reason = in_a_line(error)
            raise ModelError(
                f"the network or its optimiser cannot be copied ({reason}); detach the tensors that it keeps"
            ) from error
        return Copy(model, optimizer, loss, step if own_step else None)


def _copied_optimizer(optimizer: Optimizer, memo: dict[int, Any]) -> None:
    """Put a deep copy into ``memo``: torch's own way of copying drops attributes, which LBFGS and wrappers need."""
    if id(optimizer) in memo:
        return
    made = object.__new__(type(optimizer))
    memo[id(optimizer)] = made
    for name, value in vars(optimizer).items():
        held = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else [value]
        for one in held:
            if isinstance(one, Optimizer):
                _copied_optimizer(one, memo)
        if name != "step":  # a scheduler puts a function there that is bound to the original
            vars(made)[name] = copy.deepcopy(value, memo)


def _code_of(step: Any) -> Any:
    """What a step brings besides the object that it belongs to, which is copied along with the network."""
    if isinstance(step, types.MethodType):
        return step.__func__
    if isinstance(step, (types.FunctionType, functools.partial)):
        return step
    return vars(type(step)).get("__call__")


def _holds(one: Any, model: nn.Module, optimizer: Optimizer | None) -> bool:
    """Whether an object is, or works on, the network or its optimiser."""
    if one is model or any(one is part for part in parts_of(optimizer)):
        return True
    own = {id(p) for p in model.parameters()}
    if isinstance(one, Optimizer):
        return any(id(p) in own for group in one.param_groups for p in group["params"])
    if isinstance(one, nn.Module):
        return any(id(p) in own for p in one.parameters())
    return isinstance(one, Tensor) and id(one) in own


def _number(found: Any) -> float:
    if isinstance(found, Tensor) and found.numel() == 1:
        return float(found.detach())
    if isinstance(found, dict) and "loss" in found:
        return _number(found["loss"])
    if isinstance(found, (tuple, list)) and found:
        return _number(found[0])
    return float(found) if isinstance(found, (int, float)) else float("nan")
