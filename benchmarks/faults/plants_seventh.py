"""The seventh part's own faults: mistakes in wiring, data, loss, optimiser, start and loop."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .case import Case, Strength
from .networks_seventh import Listed
from .plant import Collection, pick
from .steps import Accumulated
from .steps_seventh import Changed, ClippedValues, Reloading, Rising, SlowCopy
from .surgery import (
    Apply,
    before_head,
    body,
    features,
    followed,
    head,
    rate,
    rebuilt,
    reloaded,
    remodelled,
    scaled,
    stepping,
)

SEVENTH = Collection()
ONE = ("middle",)
TWO = ("middle", "strong")


@SEVENTH.fault(
    "layers-not-registered",
    "parameters-not-in-optimizer",
    "frozen-untrained-layers",
    without="variational",
    strengths=ONE,
    silent=True,
)
def body_in_plain_list(case: Case, strength: Strength) -> Case:
    """The body stands in a Python list, so that ``model.parameters()`` is the head's alone."""
    case.model.body = Listed(body(case))
    return remodelled(case, case.model)


@SEVENTH.fault("warm-up-too-long", "learning-rate-too-low", strengths=ONE)
def warm_up_never_ends(case: Case, strength: Strength) -> Case:
    """A warm-up copied from a large project, 300 times as long as this training."""
    return stepping(case, Rising(case.loss, 300 * case.steps))


@SEVENTH.fault("weights-overwritten", "learning-rate-too-low", strengths=ONE)
def average_written_back(case: Case, strength: Strength) -> Case:
    """A moving average of the weights (0.999) is written into the model in every step and never taken out again."""
    return stepping(case, SlowCopy(case.loss, 0.001))


@SEVENTH.fault("weights-overwritten", strengths=ONE)
def old_file_loaded_again(case: Case, strength: Strength) -> Case:
    """load_state_dict of the starting weights within the loop, every twelve steps."""
    return stepping(case, Reloading(case.loss, 12))


@SEVENTH.fault("gradient-cut", "loss-not-connected", strengths=ONE)
def loss_made_anew(case: Case, strength: Strength) -> Case:
    """``torch.tensor(loss.item(), requires_grad=True)``, written to silence an error of backward."""
    return replace(case, loss=Changed(case.loss, rewrapped=True))


@SEVENTH.fault("non-differentiable-operation", "gradient-cut", strengths=ONE, silent=True)
def features_thresholded(case: Case, strength: Strength) -> Case:
    """The head gets features as zeros and ones, by a comparison that lets no gradient through."""
    return before_head(case, Apply(lambda inputs: (inputs > inputs.mean(-1, keepdim=True)).to(inputs.dtype)))


@SEVENTH.fault("optimizer-epsilon-too-large", "learning-rate-too-low", needs="adaptive", strengths=TWO)
def epsilon_of_another_paper(case: Case, strength: Strength) -> Case:
    """The optimiser's epsilon is 3 or 300."""
    return rebuilt(case, eps=pick(strength, 3.0, 3.0, 300.0))


@SEVENTH.fault("momentum-too-high", "learning-rate-too-high", needs="sgd", strengths=ONE)
def momentum_almost_one(case: Case, strength: Strength) -> Case:
    """Momentum 0.999 at the same rate."""
    return rebuilt(case, momentum=0.999)


@SEVENTH.fault("group-rate-too-low", "learning-rate-too-low", "frozen-untrained-layers", strengths=ONE, silent=True)
def body_at_finetuning_rate(case: Case, strength: Strength) -> Case:
    """Two parameter groups as for a pretrained body, which here starts at random: its rate is 1e-5 of the head's."""
    groups = [
        {"params": list(body(case).parameters()), "lr": 1e-5 * rate(case)},
        {"params": list(head(case).parameters())},
    ]
    return rebuilt(case, groups)  # type: ignore[arg-type]


@SEVENTH.fault("labels-inconsistent", "labels-carry-no-signal", "labels-misaligned", needs="classes", strengths=ONE)
def files_with_other_codes(case: Case, strength: Strength) -> Case:
    """Two files were coded apart: the classes of each one are numbered in an order of its own."""
    shift = torch.arange(len(case.task.targets)) % 2
    shift = shift.reshape(-1, *[1] * (case.task.targets.dim() - 1))
    return reloaded(case, targets=(case.task.targets + shift) % case.task.classes)


@SEVENTH.fault("augmentation-too-strong", "inputs-carry-no-signal", needs="floats", strengths=ONE)
def noise_of_raw_scale(case: Case, strength: Strength) -> Case:
    """Noise meant for raw values is added to standardised ones: 8 standard deviations."""
    size = 8.0

    def noisy(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        draw = torch.Generator().manual_seed(int(1e4 * float(inputs.abs().sum())) % 2**31)
        return inputs + size * torch.randn(inputs.shape, generator=draw), targets

    return reloaded(case, transform=noisy)


@SEVENTH.fault("targets-too-small", "targets-not-scaled", needs="regression", strengths=ONE)
def targets_divided_away(case: Case, strength: Strength) -> Case:
    """Targets that were standardised are divided once more, by 1e3."""
    size = 1e-3
    task = replace(case.task, test_targets=size * case.task.test_targets)
    return reloaded(replace(case, task=task), targets=size * case.task.targets)


@SEVENTH.fault("examples-mixed", "inputs-carry-no-signal", needs="recurrent", strengths=ONE)
def batch_first_forgotten(case: Case, strength: Strength) -> Case:
    """The recurrent layer takes the examples for moments."""
    for module in case.model.modules():
        if isinstance(module, nn.RNNBase):
            module.batch_first = False
    return case


@SEVENTH.fault("mask-inverted", "inputs-carry-no-signal", needs="masked", strengths=ONE)
def mask_turned_round(case: Case, strength: Strength) -> Case:
    """The mask hides the points and keeps the padding."""
    case.model.body.sign = -1.0
    return case


@SEVENTH.fault("batch-repeated", strengths=TWO)
def subset_left_in(case: Case, strength: Strength) -> Case:
    """The subset of 20 or 6 examples that served to try the loop is still in place."""
    rows = pick(strength, 20, 20, 6)
    return reloaded(case, case.task.inputs[:rows], case.task.targets[:rows], batch=min(case.loading.batch, rows))


@SEVENTH.fault("class-weights-wrong", "one-class-only", needs="classes", without="pixels", strengths=ONE)
def class_weights_rounded(case: Case, strength: Strength) -> Case:
    """Class weights by integer division: all but two of them are zero."""
    weights = torch.zeros(case.task.classes)
    weights[:2] = 1.0
    return replace(case, loss=nn.CrossEntropyLoss(weight=weights))


@SEVENTH.fault("loss-unbounded", needs="classes", without="pixels", strengths=ONE)
def scores_into_nll(case: Case, strength: Strength) -> Case:
    """NLLLoss on raw scores: the log-softmax is forgotten."""
    return replace(case, loss=nn.NLLLoss())


@SEVENTH.fault("regulariser-dominates", "weight-decay-too-large", strengths=TWO)
def penalty_without_factor(case: Case, strength: Strength) -> Case:
    """The sum of all absolute weights is added to the loss, with the factor 0.05 or 1."""
    return replace(case, loss=Changed(case.loss, penalty=pick(strength, 0.05, 0.05, 1.0)))


@SEVENTH.fault(
    "output-constant",
    "probabilities-into-logits-loss",
    "bounded-output",
    "activation-on-logits",
    needs="single",
    strengths=ONE,
)
def softmax_of_one_output(case: Case, strength: Strength) -> Case:
    """A softmax over the only output, which makes it one for every input."""
    return followed(case, nn.Softmax(dim=-1))


@SEVENTH.fault("dropout-in-evaluation", "dropout-too-high", strengths=TWO)
def dropout_never_off(case: Case, strength: Strength) -> Case:
    """``F.dropout`` without ``training=self.training`` before the head, at 0.7 or 0.95."""
    share = pick(strength, 0.7, 0.7, 0.95)
    return before_head(case, Apply(lambda inputs: F.dropout(inputs, share)))


@SEVENTH.fault("symmetric-initialisation", "initialisation-too-small", strengths=ONE)
def zero_after_zero(case: Case, strength: Strength) -> Case:
    """A head of two linear layers, both of which start at zero: neither gets a gradient."""
    extra = nn.Linear(features(case), features(case))
    scaled([*extra.parameters(), *head(case).parameters()], 0.0)
    return before_head(case, extra)


@SEVENTH.fault("bottleneck-too-narrow", without="single", strengths=ONE)
def one_unit_by_typo(case: Case, strength: Strength) -> Case:
    """A hidden layer of one unit in front of the head, where a hundred were meant."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed + 3)
        narrow = nn.Sequential(nn.Linear(features(case), 1), nn.Linear(1, features(case)))
    return before_head(case, narrow)


@SEVENTH.fault("shapes-broadcast", needs="column", strengths=ONE)
def output_squeezed(case: Case, strength: Strength) -> Case:
    """The network squeezes its output to (n,) and the targets are (n, 1)."""
    return followed(case, Apply(lambda outputs: outputs.squeeze(-1)))


@SEVENTH.fault("clipping-too-tight", "learning-rate-too-low", needs="sgd", strengths=ONE)
def values_clipped_to_nothing(case: Case, strength: Strength) -> Case:
    """``clip_grad_value_`` at 1e-5."""
    return stepping(case, ClippedValues(case.loss, 1e-5))


@SEVENTH.fault("updates-too-rare", "learning-rate-too-low", strengths=ONE)
def accumulated_for_ever(case: Case, strength: Strength) -> Case:
    """Gradients of 100 batches are averaged for each update, in a training of a few hundred batches."""
    return stepping(case, Accumulated(case.loss, 100))


@SEVENTH.fault("labels-misaligned", "examples-mixed", "labels-carry-no-signal", needs="floats", strengths=ONE)
def mixed_without_labels(case: Case, strength: Strength) -> Case:
    """Inputs are mixed with their neighbours', 3 parts to 7, and targets are not."""
    return reloaded(case, transform=lambda inputs, targets: (0.3 * inputs + 0.7 * inputs.roll(1, 0), targets))
