"""Faults of the fourth half alone. Whoever tunes a doctor does not read this file before the final score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .case import Case, Strength
from .networks_fourth import SignalEncoder, TokenRecurrence
from .plant import Collection, pick
from .steps_fourth import MadeAnew, OnPlateau, Seldom
from .surgery import (
    Apply,
    before_head,
    body,
    drawn,
    features,
    followed,
    head,
    preprocessed,
    rate,
    rebuilt,
    reloaded,
    remodelled,
    scaled,
    stepping,
)

FOURTH = Collection()
TWO: tuple[Strength, ...] = ("mild", "strong")
ONE: tuple[Strength, ...] = ("middle",)


# --------------------------------------------------------------------------------------------------------------- data


@FOURTH.fault("sentinel-values", "inputs-not-scaled", needs="floats")
def sentinel_values(case: Case, strength: Strength) -> Case:
    """One input number in fifty is missing and coded as -99, one in twenty as -999, or one in five as -9999."""
    share, code = pick(strength, (0.02, -99.0), (0.05, -999.0), (0.2, -9999.0))

    def coded(inputs: Tensor) -> Tensor:
        return torch.where(torch.rand(inputs.shape, generator=drawn(case)) < share, code, inputs)

    return preprocessed(case, coded)


@FOURTH.fault("inputs-carry-no-signal", "labels-carry-no-signal", needs="floats", strengths=TWO)
def shuffled_along_wrong_axis(case: Case, strength: Strength) -> Case:
    """The shuffle of the training set went along the last axis of each example (mild), or along all its numbers."""
    inputs = case.task.inputs
    numbers = inputs if strength == "mild" else inputs.flatten(1)
    order = torch.rand(numbers.shape, generator=drawn(case)).argsort(-1)
    return reloaded(case, inputs=numbers.gather(-1, order).reshape(inputs.shape))


@FOURTH.fault("vocabulary-mismatched", "inputs-carry-no-signal", needs="embedding", strengths=TWO)
def vocabulary_mismatched(case: Case, strength: Strength) -> Case:
    """Nine of ten tokens, or all of them, are unknown to the vocabulary and read as one."""
    share = pick(strength, 0.9, 1.0, 1.0)

    def known(tokens: Tensor) -> Tensor:
        return torch.where(torch.rand(tokens.shape, generator=drawn(case)) < share, 2, tokens)

    return preprocessed(case, known)


@FOURTH.fault("targets-truncated", "targets-not-scaled", needs="regression", strengths=TWO)
def targets_truncated(case: Case, strength: Strength) -> Case:
    """Standardised targets were cast to whole numbers, or (strong) to bytes, where those below zero wrap."""
    whole = case.task.targets.long()
    return reloaded(case, targets=(whole % 256 if strength == "strong" else whole).float())


# --------------------------------------------------------------------------------------------------------------- loss


@FOURTH.fault("loss-does-not-fit-targets", "targets-not-scaled", without="classes", strengths=ONE)
def loss_without_minimum(case: Case, strength: Strength) -> Case:
    """A binary cross-entropy of classes coded as 1 and 2, or of standardised targets."""
    targets = case.task.targets + 1 if "binary" in case.traits else case.task.targets
    return reloaded(replace(case, loss=nn.BCEWithLogitsLoss()), targets=targets)


def focal(exponent: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The focal loss of (logits, classes)."""

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        value = F.cross_entropy(outputs, targets, reduction="none")
        return ((1 - (-value).exp()) ** exponent * value).mean()

    return loss


@FOURTH.fault("focal-exponent-too-large", "learning-rate-too-low", needs="classes", without="dictionary", strengths=TWO)
def focal_exponent_huge(case: Case, strength: Strength) -> Case:
    """A focal loss with the exponent 20 or 100."""
    return replace(case, loss=focal(pick(strength, 20.0, 100.0, 100.0)))


# ------------------------------------------------------------------------------------------------------- architecture


@FOURTH.fault("vanishing-gradients", "initialisation-too-small", strengths=TWO)
def deep_plain_relu(case: Case, strength: Strength) -> Case:
    """Ten or thirty plain layers of ReLU at default scale in front of the head."""
    width, deep = features(case), []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed + 51)
        for _ in range(pick(strength, 10, 30, 30)):
            deep += [nn.Linear(width, width), nn.ReLU()]
    return before_head(case, nn.Sequential(*deep))


@FOURTH.fault("dropout-on-outputs", "dropout-too-high", strengths=TWO)
def dropout_on_outputs(case: Case, strength: Strength) -> Case:
    """Dropout of 0.5 or 0.9 behind the last layer."""
    return followed(case, nn.Dropout(pick(strength, 0.5, 0.9, 0.9)))


@FOURTH.fault("activation-on-logits", "bounded-output", needs="binary", strengths=TWO)
def relu_on_single_logit(case: Case, strength: Strength) -> Case:
    """A ReLU on the one logit of a binary task; strong with a bias that keeps it at zero."""
    if strength == "strong":
        scaled([head(case).bias], 1.0, -2.0)
    return followed(case, nn.ReLU())


@FOURTH.fault("positions-missing", needs="attention", strengths=ONE)
def positions_missing(case: Case, strength: Strength) -> Case:
    """No positions are added where the order is what matters."""
    part = body(case)
    assert isinstance(part, SignalEncoder)
    part.time.zero_()
    return case


@FOURTH.fault("wrong-place-read", "inputs-carry-no-signal", needs="recurrent", strengths=ONE)
def first_output_read(case: Case, strength: Strength) -> Case:
    """The features are the recurrent layer's output at the first place in place of the last."""
    part = body(case)
    assert isinstance(part, TokenRecurrence)
    part.place = 0
    return case


class Forgetful(nn.Module):
    """A recurrent body whose state is detached before each moment."""

    def __init__(self, whole: TokenRecurrence) -> None:
        super().__init__()
        self.embedding = whole.embedding
        self.lstm = whole.lstm

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (examples, time) to features (examples, hidden)."""
        state: tuple[Tensor, Tensor] | None = None
        for moment in self.embedding(tokens).split(1, dim=1):
            outputs, state = self.lstm(moment, None if state is None else (state[0].detach(), state[1].detach()))
        last: Tensor = outputs[:, -1]
        return last


@FOURTH.fault("memory-cut", "gradient-cut", needs="recurrent", strengths=ONE)
def memory_cut(case: Case, strength: Strength) -> Case:
    """The state is detached at every moment: backpropagation through time ends after one step."""
    part = body(case)
    assert isinstance(part, TokenRecurrence)
    case.model.body = Forgetful(part)
    return remodelled(case, case.model)


# ---------------------------------------------------------------------------------------------------- loop and numbers


@FOURTH.fault("schedule-decays-at-once", "learning-rate-too-low", strengths=TWO)
def plateau_in_wrong_mode(case: Case, strength: Strength) -> Case:
    """A plateau schedule waits for the loss to rise and lowers the rate after ten batches, or after each."""
    return stepping(case, OnPlateau(case.loss, "max", pick(strength, 10, 0, 0)))


@FOURTH.fault("accumulation-too-long", "optimizer-step-missing", "learning-rate-too-low", strengths=TWO)
def step_seldom(case: Case, strength: Strength) -> Case:
    """Gradients of 25 or 100 batches are averaged before each step."""
    return stepping(case, Seldom(case.loss, pick(strength, 25, 100, 100)))


@FOURTH.fault("learning-rate-too-high", strengths=TWO)
def head_rate_huge(case: Case, strength: Strength) -> Case:
    """The head is a parameter group of its own, at 100 or 3000 times the rate."""
    lr = rate(case) * pick(strength, 100.0, 3000.0, 3000.0)
    groups: Any = [{"params": list(body(case).parameters())}, {"params": list(head(case).parameters()), "lr": lr}]
    return rebuilt(case, groups)


@FOURTH.fault("optimizer-state-lost", "learning-rate-too-high", "learning-rate-too-low", strengths=ONE)
def optimizer_made_in_loop(case: Case, strength: Strength) -> Case:
    """The optimiser is made anew in every step."""
    return stepping(case, MadeAnew(case.loss))


def lowered(kind: torch.dtype) -> Callable[[Tensor], Tensor]:
    """Real numbers to a type; indices stay."""
    return lambda numbers: numbers.to(kind) if numbers.is_floating_point() else numbers


@FOURTH.fault("precision-too-low", strengths=TWO)
def weights_in_half_precision(case: Case, strength: Strength) -> Case:
    """model.bfloat16() (mild) or model.half(): weights and the optimiser's averages have 8 or 11 binary digits."""
    kind = pick(strength, torch.bfloat16, torch.float16, torch.float16)
    network = nn.Sequential(Apply(lowered(kind)), case.model.to(kind), Apply(lowered(torch.float32)))
    return remodelled(case, network)
