"""The loss that a training step of the user's own minimises, where no other was told that fits: what it calls
``backward()`` on, made by the step itself with an optimiser that does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from orograph.basics.errors import ModelError
from orograph.diagnose.calling_step import Step, call_step
from orograph.diagnose.losses import Loss
from orograph.diagnose.patient import Copy, Patient
from orograph.diagnose.together import Together, parts_of


class StepLoss:
    """A function of (model, batch): the sum of what one step would go down by."""

    __name__ = "the step's own"

    def __init__(self, step: Step, optimizer: Optimizer) -> None:
        self.step = step
        self._several = optimizer.as_given if isinstance(optimizer, Together) else None
        self._lr = [float(one.param_groups[0].get("lr", 1e-3)) for one in parts_of(optimizer)]

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        found: list[Tensor] = []
        made = Copy(model, self._idle(model), Loss("mse"), self.step)
        try:
            with _caught(found):
                call_step(self.step, made, batch, 0)
        except Exception:
            if not found:  # else what follows backward() misses the gradients, which is no matter
                raise
        if not found:
            raise ModelError("the step calls no backward(), so what it minimises is not known; pass loss=")
        return torch.stack([one.reshape(()) for one in found]).sum()

    def _idle(self, model: nn.Module) -> Optimizer:
        made = [_Idle(model, lr) for lr in self._lr]
        if self._several is None:
            return made[0]
        return Together(dict(zip(self._several, made, strict=True)) if isinstance(self._several, dict) else made)


class _Idle(SGD):
    """Has groups and a rate, and steps nowhere."""

    def __init__(self, model: nn.Module, lr: float) -> None:
        super().__init__([p for p in model.parameters() if p.requires_grad], lr=lr)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Leave gradients as they are: they are another's."""

    def step(self, closure: Any = None) -> Any:
        """What the closure gives; no weight changes."""
        if closure is None:
            return None
        with torch.enable_grad():
            return closure()


@contextmanager
def _caught(found: list[Tensor]) -> Iterator[None]:
    """Calls of ``backward()`` note what they are called on, and do nothing."""
    real = torch.autograd.backward

    def noted(tensors: Any, *args: Any, **options: Any) -> None:
        found.extend([tensors] if isinstance(tensors, Tensor) else list(tensors))

    torch.autograd.backward = noted
    try:
        yield
    finally:
        torch.autograd.backward = real


def fit_loss(patient: Patient) -> None:
    """Give a patient whose step runs on a batch that its loss fails on the loss of that step."""
    step, optimizer = patient.step, patient.optimizer
    if step is None or optimizer is None or _works(patient, patient.loss):
        return
    own = Loss(StepLoss(step, optimizer))
    own.of_outputs, own.of_step = False, True
    if _works(patient, own, reached=True):
        patient.loss = own


def _works(patient: Patient, loss: Loss, *, reached: bool = False) -> bool:
    """Whether a loss runs on the first batch, and, if that is asked, whether it is one of the network that it gets."""
    try:
        with patient.copy(own_step=False) as made, torch.enable_grad():
            found = loss(made.model, made.change(patient.batches[0]))
            if not reached:
                return True
            trainable = [p for p in made.model.parameters() if p.requires_grad]
            return any(one is not None for one in torch.autograd.grad(found, trainable, allow_unused=True))
    except Exception:
        return False
