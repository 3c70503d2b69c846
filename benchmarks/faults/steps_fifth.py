"""Steps of training loops of the fifth half, sound ones and broken ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .case import Batch, Loss, loss_of, plain_step
from .steps_third import backward


@dataclass
class WithClosure:
    """The step hands a closure to the optimiser, as the documentation of torch shows it."""

    loss: Loss

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        def closure() -> Tensor:
            return backward(self.loss, model, batch, optimizer)

        value: Tensor = optimizer.step(closure)  # type: ignore[assignment,arg-type]
        return value


@dataclass
class LambdaOfRate:
    """A LambdaLR whose function returns the rate where torch wants a factor of it."""

    loss: Loss
    schedule: torch.optim.lr_scheduler.LambdaLR | None = None

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        if self.schedule is None:
            rate = float(optimizer.param_groups[0]["lr"])
            self.schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, Falling(rate))
        value = plain_step(self.loss, model, batch, optimizer)
        self.schedule.step()
        return value


@dataclass
class Falling:
    """A rate that loses a thousandth in each step."""

    rate: float

    def __call__(self, count: int) -> float:
        return self.rate * 0.999**count


@dataclass
class UpdateLost:
    """A step by hand: new weights are computed and bound to names that nothing reads."""

    loss: Loss
    rate: float

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        model.zero_grad()
        value = loss_of(self.loss, model, batch)
        value.backward()  # type: ignore[no-untyped-call]
        weights = list(model.parameters())
        for place, parameter in enumerate(weights):
            if parameter.grad is not None:
                weights[place] = nn.Parameter(parameter.detach() - self.rate * parameter.grad)
        return value


@dataclass
class Echoed:
    """Two steps on each batch, because loading is what takes the time."""

    loss: Loss

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        value = plain_step(self.loss, model, batch, optimizer)
        plain_step(self.loss, model, batch, optimizer)
        return value


@dataclass
class AnnealedNoise:
    """Normal noise on the gradients that fades as the training goes on."""

    loss: Loss
    deviation: float
    count: int = 0

    def __call__(self, model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> Tensor:
        value = backward(self.loss, model, batch, optimizer)
        self.count += 1
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.add_(torch.randn_like(parameter), alpha=self.deviation / self.count**0.55)
        optimizer.step()
        return value
