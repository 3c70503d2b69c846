r"""Several networks as one module: what it returns is the ensemble's prediction, in the place of a network's logits.

With :math:`z_i` the logits of M members and :math:`l_i = \log\operatorname{softmax}(z_i)`:

- probability average (default): :math:`\log p = \operatorname{logsumexp}_i l_i - \log M`;
- logit average: :math:`\log p = \log\operatorname{softmax}(\tfrac1M \sum_i z_i)`;
- a temperature divides each :math:`z_i` (``before`` averaging) or :math:`\log p`, then normalised again (``after``).

The output is :math:`\log p`, for which softmax, cross-entropy and argmax do what they do with logits. Sources: as in
:mod:`orograph.ensemble.combine`. Cost: one forward pass of each member, see :mod:`orograph.ensemble.program`.
"""

from __future__ import annotations

import glob
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from orograph.basics.errors import ModelError, UsageError
from orograph.ensemble.architecture import Architecture
from orograph.ensemble.assembling import assembled
from orograph.ensemble.collected import Collected
from orograph.ensemble.combine import Average
from orograph.ensemble.pool import TemperaturePlace
from orograph.ensemble.program import Program
from orograph.landscape.points import Point
from orograph.objective.criterion import logits_of
from orograph.results import Member
from orograph.weights import Weights


class Ensemble(nn.Module):
    """M networks of one architecture that answer as one.

    Parameters
    ----------
    network : the architecture, a module (copied for each member, itself untouched) or an :class:`Architecture`
    members : weights, modules, checkpoints or files of weights, at least one; or what a method of
        :mod:`orograph.ensemble` collected
    average : "probability" or "logit"
    temperature, temperature_place : divide by this "before" or "after" averaging; "none" leaves it out
    class_axis : where the classes are in the network's output: -1, or 1 for pictures of labels (n, K, height, width)
    names : of the members, or their records; default A, B, C …
    data : where the class names and the normalisation of the inputs come from, which are noted, not applied
    calibration : training examples, needed where a member is an average of weights (SWA) with batch norm, whose
        statistics are then re-estimated

    Attributes
    ----------
    members : ModuleList of M networks, frozen and in evaluation mode
    records : M :class:`~orograph.results.Member`
    class_names, mean, std : as in :class:`~orograph.data.Data`, empty where unknown

    An ensemble predicts and is not trained: :meth:`train` leaves it in evaluation mode, batch norm uses each member's
    own running statistics, and no parameter requires a gradient. Gradients with respect to inputs flow. The first
    prediction also makes the members' programs (0.1 s of CPU time for each ResNet-20).

    Raises
    ------
    UsageError
        No members, a member of another class than the network, or an option out of range.
    WeightsError
        A member does not fit the network, or holds NaN; the member is named.
    """

    def __init__(
        self,
        network: nn.Module | Architecture,
        members: Collected | Sequence[Point],
        *,
        average: Average = "probability",
        temperature: float = 1.0,
        temperature_place: TemperaturePlace = "before",
        class_axis: int = -1,
        names: Sequence[str] | Sequence[Member] | None = None,
        data: Any = None,
        calibration: Any = None,
    ) -> None:
        super().__init__()
        _check(average, temperature, temperature_place)
        self.average: Average = average
        self.temperature = float(temperature)
        self.temperature_place: TemperaturePlace = temperature_place
        self.class_axis = class_axis
        self.architecture = network if isinstance(network, Architecture) else None
        self.class_names: tuple[str, ...] = tuple(getattr(data, "class_names", ()))
        self.mean: tuple[float, ...] = tuple(getattr(data, "mean", ()))
        self.std: tuple[float, ...] = tuple(getattr(data, "std", ()))
        model = network.build() if isinstance(network, Architecture) else network
        with torch.inference_mode(False):  # so that changes of the members can be noticed
            found = assembled(model, members, names=names, calibration=calibration)
        self.members = nn.ModuleList(one.network for one in found)
        self.records = tuple(one.record for one in found)
        self._layouts = tuple(one.layout for one in found)
        self._programs: list[Program] | None = None  # not made yet
        self._proven = False
        self.register_load_state_dict_post_hook(_after_loading)  # type: ignore[no-untyped-call]
        self.requires_grad_(False)
        self.eval()

    def forward(self, inputs: Any = None, /, *more: Any, **named: Any) -> Tensor:
        """Log-probabilities of the ensemble, of the shape of one network's logits; float32, or float64 as theirs.

        It takes what the network takes, by place or by name. The first input has a place of its own so that
        ``torch.export`` can be told of its dynamic sizes as for the network: ``dynamic_shapes=({0: batch},)``.

        Raises ModelError where a network's output is not logits of at least two classes, as many as have names.
        """
        logits = self.logits(*((inputs, *more) if more or inputs is not None else ()), **named)
        axis = self.class_axis if self.class_axis < 0 else self.class_axis + 1
        tau = self.temperature if self.temperature_place != "none" else 1.0
        if self.temperature_place == "before" and tau != 1:
            logits = logits / tau
        if self.average == "logit":
            log_p = logits.mean(0).log_softmax(self.class_axis)
        else:
            log_p = logits.log_softmax(axis).logsumexp(0) - math.log(len(self.members))
        return (log_p / tau).log_softmax(self.class_axis) if self.temperature_place == "after" and tau != 1 else log_p

    def logits(self, *inputs: Any, **named: Any) -> Tensor:
        """The members' own logits, (M, n, …, K), as of the networks called one by one."""
        programs = self._ready(inputs, named)
        if programs:
            images = programs[0].laid_out(inputs[0])
            with suppress(Exception):  # inputs of another kind than those they were proven on: the networks answer
                return self._stacked([program(images) for program in programs])
        return self._stacked([network(*inputs, **named) for network in self.members])

    def weights(self, index: int) -> Weights:
        """A copy of the present point of one member, on the coordinates that it was given in."""
        layout = self._layouts[index]
        found = Weights.of(self.members[index], "all")  # nothing in a member is trainable any more
        names = [slot.name for slot in layout.slots]
        if names != [slot.name for slot in found.layout.slots]:
            found = Weights.of(self.members[index], tuple(map(glob.escape, names)) or "trainable")
        return Weights(found.vector, replace(found.layout, select=layout.select), found.buffers, found.fixed)

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode, whatever ``mode`` is: statistics and dropout must not change under a caller."""
        return super().train(False)

    def extra_repr(self) -> str:
        tau = f", temperature={self.temperature:g} {self.temperature_place} averaging"
        return f"average={self.average}" + tau * (self.temperature != 1 and self.temperature_place != "none")

    def _stacked(self, outputs: list[Any]) -> Tensor:
        """Outputs as (M, n, …, K), in float32 at least: an average in half precision would round what it is for."""
        logits = torch.stack([logits_of(output) for output in outputs])
        classes = logits.shape[1:][self.class_axis] if logits.dim() > 1 else 0
        if classes < 2:
            raise ModelError(
                f"the network's output has shape {tuple(logits.shape[1:])}; an ensemble averages softmax outputs of "
                "two classes or more (see class_axis)"
            )
        if self.class_names and len(self.class_names) != classes:
            raise ModelError(f"the network has {classes} outputs but there are {len(self.class_names)} class names")
        return logits if logits.dtype == torch.float64 else logits.float()

    def _ready(self, inputs: tuple[Any, ...], named: dict[str, Any]) -> list[Program]:
        """The members' programs where they serve, else none."""
        if torch.compiler.is_compiling() or named or len(inputs) != 1 or type(inputs[0]) is not Tensor:
            return []
        if inputs[0].dtype not in (torch.float32, torch.float64) or torch.is_autocast_enabled(inputs[0].device.type):
            return []
        if self._programs is None:
            self._programs, self._proven = [], False
            with suppress(Exception), torch.inference_mode(False):  # tracing runs the user's code on stand-ins
                self._programs = [Program(member) for member in self.members]
        states = {program.state() for program in self._programs}
        if not states or "elsewhere" in states:
            return []
        if "changed" in states:
            for program in self._programs:
                program.read()
        if not self._proven:
            for program, member in zip(self._programs, self.members, strict=True):
                agrees = program.reproduces(member, inputs[0])
                if agrees is False:
                    self._programs = []
                if not agrees:
                    return []
            self._proven = True
        return self._programs

    def _forget(self) -> None:
        self._programs = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._forget()
        return super()._apply(fn, recurse)  # type: ignore[no-any-return,no-untyped-call]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_programs": None}


def _after_loading(ensemble: Ensemble, _keys: object) -> None:
    ensemble._forget()


def _check(average: str, temperature: float, place: str) -> None:
    if average not in ("probability", "logit"):
        raise UsageError(f"unknown average {average!r}; use 'probability' or 'logit'")
    if place not in ("before", "after", "none"):
        raise UsageError(f"a temperature divides 'before' or 'after' averaging or not at all ('none'), not {place!r}")
    if not 0 < temperature < math.inf:
        raise UsageError(f"a temperature is a positive number, not {temperature}")
