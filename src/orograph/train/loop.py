"""The training loop: forward, backward, clip, step, and nothing else.

Everything a step depends on is the network, the optimiser's moments and the step's number: rate, batch, augmentation
and random state are functions of the number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from orograph.objective.criterion import Criterion
from orograph.train.batches import Batches
from orograph.train.carried import Carried, network_of
from orograph.train.cycles import Cycles
from orograph.train.meter import Meter
from orograph.train.optimizer import build_optimizer
from orograph.train.recipe import Precision, Recipe
from orograph.train.schedule import learning_rates
from orograph.train.streams import Streams

Progress = Callable[[int, int], object]


class Loop:
    """Trains ``model`` step by step; ``step`` is the number of steps done, ``total`` of those in the recipe."""

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        streams: Streams,
        criterion: Criterion,
        batches: Batches,
        device: torch.device,
        cycles: Cycles | None = None,
    ) -> None:
        self.model = model
        self.step = 0
        self.total = steps_at(recipe.epochs, batches.per_epoch)
        self.batches = batches
        self.optimizer = build_optimizer(model, recipe)
        self.meter = Meter(device)
        schedule = learning_rates if cycles is None else cycles.rates
        self.rates = schedule(recipe, self.total, batches.per_epoch)
        self._before = 0 if cycles is None else cycles.offset(batches.per_epoch)
        self._recipe = recipe
        self._streams = streams
        self._criterion = criterion
        self._device = device
        self._network = network_of(model)
        self._carried = model if isinstance(model, Carried) else None
        # Those with gradients of their own, which for a carried network are not the ones that the optimiser moves.
        optimized = [p for group in self.optimizer.param_groups for p in group["params"]]
        trained = [p for p in self._network.parameters() if p.requires_grad]
        self._parameters = optimized if self._carried is None else trained

    @property
    def epoch(self) -> float:
        """Epochs done; an exact fraction of the steps of one."""
        return self.step / self.batches.per_epoch

    @property
    def rate(self) -> float:
        """The learning rate of the last step (of the first, before it); NaN in a run of no steps."""
        return float(self.rates[max(self.step - 1, 0)]) if self.total else float("nan")

    def advance(self, stop: int, progress: Progress | None = None) -> None:
        """Train until ``stop`` steps are done. Raises TaskError where a loss is no longer finite."""
        while self.step < stop:
            self._advance_once()
            if progress is not None:
                progress(self.step, self.total)

    def _advance_once(self) -> None:
        rate = float(self.rates[self.step])
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate_factor"]
        number = self._before + self.step
        batch = self.batches(number)
        self._streams.seed_network(number, self._device)
        for parameter in self._parameters:
            parameter.grad = None
        if self._carried is not None:
            self._carried.place(self.step)
        with self._autocast():
            terms = self._criterion(self._network, batch)
        loss = self._criterion.require_gradient(terms.losses.mean())
        loss.backward()  # type: ignore[no-untyped-call]
        norm = self._clip()
        if self._carried is not None:
            self._carried.pull()
        self.optimizer.step()
        accuracy = terms.metrics.get("accuracy")
        self.meter.add(loss.detach(), None if accuracy is None else accuracy.mean(), norm, terms.examples)
        self.step += 1

    def _autocast(self) -> AbstractContextManager[object]:
        # Entered anew for each step: autocast caches the weights' bf16 copies, which the optimiser outdates.
        if self._recipe.precision == "bf16":
            return torch.autocast(self._device.type, dtype=torch.bfloat16)
        return nullcontext()

    def _clip(self) -> Tensor:
        """The gradient's norm before clipping, which is done in place."""
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        if not gradients:
            return torch.zeros((), device=self._device)
        norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        limit = self._recipe.clip_norm
        if limit is not None:
            # Multiplied without asking whether it is needed, which would wait for the device.
            torch._foreach_mul_(gradients, (limit / norm).clamp(max=1.0))
        if self._recipe.clip_value is not None:
            nn.utils.clip_grad_value_(self._parameters, self._recipe.clip_value)
        return norm


def steps_at(epochs: float, per_epoch: int) -> int:
    """Whole steps in ``epochs``; a run or checkpoint that is not at the start is at least one step away."""
    return max(round(epochs * per_epoch), 1) if epochs > 0 else 0


def steps_every(epochs: float, per_epoch: int, total: int) -> set[int]:
    """The steps up to ``total`` that lie at multiples of ``epochs``, rounded to whole steps."""
    found = {steps_at(k * epochs, per_epoch) for k in range(1, int(total / (epochs * per_epoch)) + 2)}
    return {step for step in found if step <= total}


@contextmanager
def in_training(model: nn.Module, device: torch.device, precision: Precision) -> Iterator[None]:
    """``model`` on ``device`` in training mode; afterwards each submodule's mode and the device are as before.

    In float64 the network itself becomes float64, and stays so: rounding it at the end would undo what was asked.
    """
    modes = [(module, module.training) for module in model.modules()]
    home = next((tensor.device for tensor in [*model.parameters(), *model.buffers()]), device)
    try:
        model.to(device, torch.float64) if precision == "float64" else model.to(device)
        model.train()
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter in model.parameters():
            parameter.grad = None
        model.to(home)
