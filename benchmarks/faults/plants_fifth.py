"""Faults of the fifth half alone. Whoever tunes a doctor does not read this file before the final score."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .case import Batch, Case, Loss, Strength, loss_of
from .networks_fifth import SharedKeys
from .plant import Collection, pick
from .steps_fifth import LambdaOfRate, UpdateLost
from .surgery import (
    before_head,
    drawn,
    features,
    layers,
    matrices,
    preprocessed,
    rate,
    rebuilt,
    reloaded,
    stepping,
)

FIFTH = Collection()
TWO: tuple[Strength, ...] = ("mild", "strong")
ONE: tuple[Strength, ...] = ("middle",)


# --------------------------------------------------------------------------------------------------------------- data


@FIFTH.fault("inputs-too-small", "inputs-not-scaled", needs="floats", strengths=TWO)
def range_of_an_outlier(case: Case, strength: Strength) -> Case:
    """Inputs are scaled to [0, 1] by a range that one wrong number among them makes 1000 or 1e6 wide."""
    inputs = case.task.inputs.clone()
    low, high = float(inputs.min()), pick(strength, 1e3, 1e6, 1e6)
    inputs.flatten(1)[0, 0] = high
    return preprocessed(reloaded(case, inputs=inputs), lambda numbers: (numbers - low) / (high - low))


@FIFTH.fault("labels-carry-no-signal", "labels-misaligned", strengths=TWO)
def joined_many_to_many(case: Case, strength: Strength) -> Case:
    """Tables were joined on a key that is not unique: each input is there 4 or 12 times, once with its own target."""
    count = pick(strength, 4, 12, 12)
    rows = torch.arange(len(case.task.inputs)).repeat(count)
    wrong = torch.randint(0, len(case.task.inputs), rows.shape, generator=drawn(case))
    wrong[: len(case.task.inputs)] = rows[: len(case.task.inputs)]
    return reloaded(case, case.task.inputs[rows], case.task.targets[wrong])


@FIFTH.fault("inputs-truncated", "inputs-carry-no-signal", needs="sequence", strengths=TWO)
def sequences_truncated(case: Case, strength: Strength) -> Case:
    """Sequences are cut off after a third (mild) or a tenth of their length and filled up with zeros."""
    length = case.task.inputs.shape[-1]
    kept = torch.arange(length) < max(1, int(pick(strength, 1 / 3, 0.1, 0.1) * length))
    return preprocessed(case, lambda inputs: inputs * kept.to(inputs.dtype))


@FIFTH.fault("label-codes-inconsistent", "labels-carry-no-signal", "labels-misaligned", needs="classes", strengths=ONE)
def labels_coded_per_batch(case: Case, strength: Strength) -> Case:
    """Labels become numbers in the order in which they turn up in each batch."""
    return reloaded(case, transform=coded_anew)


def coded_anew(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The first target of a batch is class 0, the next that differs class 1, and so on."""
    codes: dict[int, int] = {}
    return inputs, torch.tensor([codes.setdefault(label, len(codes)) for label in targets.tolist()])


# --------------------------------------------------------------------------------------------------------------- loss


def of_outputs(case: Case, function: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """A loss of (outputs, targets) in the form that the family's batches ask for."""
    if "dictionary" not in case.traits:
        return function

    def of_dictionary(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        inputs, targets = batch.values()
        return function(model(inputs), targets)

    return of_dictionary


def hinge(outputs: Tensor, targets: Tensor) -> Tensor:
    """The hinge loss of each class, of targets that are 0 and 1 where it wants -1 and 1."""
    return (1 - F.one_hot(targets, outputs.shape[1]) * outputs).clamp(min=0).mean()


@FIFTH.fault("loss-has-trivial-minimum", "loss-does-not-fit-targets", needs="classes", strengths=ONE)
def hinge_of_zero_and_one(case: Case, strength: Strength) -> Case:
    """A hinge loss of one-hot targets: nothing speaks against a large output of every class."""
    return replace(case, loss=of_outputs(case, hinge))


def predicted(outputs: Tensor, targets: Tensor) -> Tensor:
    """The squared difference of predicted and true class, made to take a backward."""
    return F.mse_loss(outputs.argmax(-1).float().requires_grad_(), targets.float())


@FIFTH.fault("loss-not-connected", "not-differentiable", "gradient-cut", needs="classes", strengths=ONE)
def loss_of_predicted_class(case: Case, strength: Strength) -> Case:
    """The loss compares the predicted class, an argmax that was told to require gradients, with the true one."""
    return replace(case, loss=of_outputs(case, predicted))


def uncertain(factor: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy less ``factor`` times the entropy of the predictions."""

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        likely = outputs.log_softmax(-1)
        return F.nll_loss(likely, targets) + factor * (likely.exp() * likely).sum(-1).mean()

    return loss


@FIFTH.fault("entropy-bonus-too-large", "penalty-too-large", needs="classes", strengths=TWO)
def entropy_bonus_huge(case: Case, strength: Strength) -> Case:
    """A bonus of 10 or 300 times the entropy of the predictions, as for exploring."""
    return replace(case, loss=of_outputs(case, uncertain(pick(strength, 10.0, 300.0, 300.0))))


def taught(case: Case, teacher: nn.Module, share: float) -> Loss:
    """The case's loss and, for ``share`` of it, the distance from a teacher's outputs."""
    teacher.eval().requires_grad_(False)

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        inputs = next(iter(batch.values())) if isinstance(batch, dict) else batch[0]
        outputs, wanted = model(inputs), teacher(inputs)
        if "regression" in case.traits:
            distance = F.mse_loss(outputs, wanted)
        else:
            soft = (wanted / 2).softmax(-1)
            distance = 4 * F.kl_div((outputs / 2).log_softmax(-1), soft, reduction="batchmean")
        return (1 - share) * loss_of(case.loss, model, batch) + share * distance

    return loss


@FIFTH.fault("teacher-untrained", "labels-carry-no-signal", strengths=TWO)
def taught_by_untrained(case: Case, strength: Strength) -> Case:
    """A network is distilled whose weights were never loaded: 95 % of the loss (mild), or all of it."""
    teacher = copy.deepcopy(case.model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed + 71)
        for module in teacher.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    return replace(case, loss=taught(case, teacher, pick(strength, 0.95, 1.0, 1.0)))


# -------------------------------------------------------------------------------------- architecture and initial values


class Branch(nn.Module):
    """A hidden layer around which the input passes, with He's weights and no norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.wide = nn.Linear(width, width)
        self.back = nn.Linear(width, width)
        for layer in (self.wide, self.back):
            nn.init.kaiming_normal_(layer.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Features of the same width."""
        outputs: Tensor = inputs + self.back(self.wide(inputs).relu())
        return outputs


@FIFTH.fault("residual-stream-explodes", "initialisation-too-large", strengths=TWO)
def branches_added_up(case: Case, strength: Strength) -> Case:
    """8 or 20 residual blocks without any norm, each of which triples the variance, in front of the head."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed + 72)
        return before_head(case, nn.Sequential(*(Branch(features(case)) for _ in range(pick(strength, 8, 20, 20)))))


@FIFTH.fault("attention-saturated", needs="attention", strengths=TWO)
def scores_multiplied(case: Case, strength: Strength) -> Case:
    """Attention scores are multiplied by the width where they were to be divided, or (strong) by its square."""
    width = float(features(case))
    for module in layers(case.model, SharedKeys):
        module.scale = pick(strength, width, width**2, width**2)
    return case


@FIFTH.fault("initialisation-not-centred", "initialisation-too-large", strengths=TWO)
def weights_from_zero_to_one(case: Case, strength: Strength) -> Case:
    """Weights are drawn by torch.rand, so that all are positive: a quarter of it (mild), or as it is."""
    for matrix in matrices(case.model):
        nn.init.uniform_(matrix, 0.0, pick(strength, 0.25, 1.0, 1.0), generator=drawn(case))
    return case


# --------------------------------------------------------------------------------------------------- optimiser and loop


@FIFTH.fault("dampening-too-high", "learning-rate-too-low", needs="sgd", strengths=TWO)
def momentum_dampened(case: Case, strength: Strength) -> Case:
    """A dampening of 0.99 or 1: an argument that was meant for another place."""
    return rebuilt(case, dampening=pick(strength, 0.99, 1.0, 1.0), nesterov=False)


@FIFTH.fault("learning-rate-too-low", "schedule-decays-at-once", strengths=ONE)
def lambda_returns_rate(case: Case, strength: Strength) -> Case:
    """The function of a LambdaLR returns the rate in place of a factor: the rate is squared."""
    return stepping(case, LambdaOfRate(case.loss))


@FIFTH.fault("optimizer-step-missing", strengths=ONE)
def update_lost(case: Case, strength: Strength) -> Case:
    """Weights are updated by hand, and only names are bound to what comes out."""
    return stepping(case, UpdateLost(case.loss, rate(case)))
