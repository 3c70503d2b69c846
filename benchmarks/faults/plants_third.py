"""Faults of the third half alone: wiring, data, loss, initialisation and training loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .case import Case, Strength
from .losses_third import changed, likelihood_of
from .networks_third import Patches, Reader
from .plant import Collection, pick
from .steps import Decaying
from .steps_third import AveragedBack, Clamped, CopyTrained, NoisyGradients, TargetsLate, WarmedAndClipped
from .surgery import (
    ACTIVATIONS,
    Apply,
    before_head,
    body,
    drawn,
    features,
    followed,
    head,
    layers,
    preprocessed,
    rate,
    rebuilt,
    reloaded,
    remodelled,
    stepping,
    swapped,
)

THIRD = Collection()
TWO: tuple[Strength, ...] = ("mild", "strong")
ONE: tuple[Strength, ...] = ("middle",)


# ---------------------------------------------------------------------------------------------- wiring and architecture


@THIRD.fault("activations-missing", needs="relu", strengths=ONE)
def activations_missing(case: Case, strength: Strength) -> Case:
    """No activations between the layers."""
    return remodelled(case, swapped(case.model, ACTIVATIONS, lambda _: nn.Identity()))


@THIRD.fault("bottleneck-too-narrow", without="column", strengths=TWO)
def bottleneck_narrow(case: Case, strength: Strength) -> Case:
    """A projection to two units, or to one, in front of the head."""
    width, narrow = features(case), pick(strength, 2, 1, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed + 21)
        return before_head(case, nn.Sequential(nn.Linear(width, narrow), nn.ReLU(), nn.Linear(narrow, width)))


class Listed(nn.Module):
    """Modules in a plain list, which nn.Module does not look into."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = list(parts)

    def forward(self, inputs: Any) -> Any:
        """One after another."""
        for part in self.parts:
            inputs = part(inputs)
        return inputs


@THIRD.fault("layers-not-registered", "parameters-not-in-optimizer", strengths=("middle", "strong"), silent=True)
def layers_in_list(case: Case, strength: Strength) -> Case:
    """Two hidden layers more, or (strong) the whole body, in a plain list: the optimiser gets none of them."""
    if strength == "strong":
        case.model.body = Listed(body(case))
        return remodelled(case, case.model)
    width = features(case)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed + 22)
        return before_head(case, Listed(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()))


class Fresh(nn.Module):
    """A linear layer that is made in the forward."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Features of the same width."""
        outputs: Tensor = nn.Linear(inputs.shape[-1], inputs.shape[-1])(inputs).relu()
        return outputs


@THIRD.fault("layer-made-in-forward", "layers-not-registered", "parameters-not-in-optimizer", strengths=ONE)
def layer_made_in_forward(case: Case, strength: Strength) -> Case:
    """A hidden layer is made anew in every forward."""
    return before_head(case, Fresh())


class ForgottenFlag(nn.Module):
    """F.dropout without its flag."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, inputs: Tensor) -> Tensor:
        """Dropout, in evaluation too."""
        return F.dropout(inputs, self.rate)


@THIRD.fault("dropout-never-off", "dropout-too-high", strengths=TWO)
def dropout_never_off(case: Case, strength: Strength) -> Case:
    """Functional dropout of 0.7 or 0.9 before the head that evaluation does not switch off."""
    return before_head(case, ForgottenFlag(pick(strength, 0.7, 0.9, 0.9)))


class NormOfOne(nn.Module):
    """A layer norm over a last axis of length one."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(1)

    def forward(self, inputs: Tensor) -> Tensor:
        """The bias of the norm, whatever the inputs."""
        outputs: Tensor = self.norm(inputs.unsqueeze(-1)).squeeze(-1)
        return outputs


@THIRD.fault("normalisation-erases-signal", "gradient-cut", "vanishing-gradients", strengths=ONE)
def norm_over_one(case: Case, strength: Strength) -> Case:
    """A norm over an axis of one number in front of the head."""
    return before_head(case, NormOfOne())


@THIRD.fault("softmax-in-hidden-layer", "vanishing-gradients", strengths=("middle", "strong"))
def hidden_softmax(case: Case, strength: Strength) -> Case:
    """A softmax over the features in front of the head; strong a second one."""
    soft = nn.Softmax(dim=-1)
    return before_head(case, pick(strength, soft, soft, nn.Sequential(soft, nn.Softmax(dim=-1))))


@THIRD.fault(
    "not-differentiable", "gradient-cut", "frozen-untrained-layers", strengths=("middle", "strong"), silent=True
)
def features_rounded(case: Case, strength: Strength) -> Case:
    """Features are rounded to tenths, or (strong) to their sign."""
    return before_head(case, Apply(pick(strength, tenths, tenths, torch.sign)))


def tenths(values: Tensor) -> Tensor:
    """The nearest tenth."""
    return (10 * values).round() / 10


@THIRD.fault("axes-swapped", "examples-mixed", needs="attention", strengths=ONE)
def attention_over_batch(case: Case, strength: Strength) -> Case:
    """batch_first is forgotten in the attention layers."""
    for module in layers(case.model, nn.MultiheadAttention):
        module.batch_first = False
    return case


@THIRD.fault("positions-drown-inputs", "initialisation-too-large", needs="attention")
def positions_drown(case: Case, strength: Strength) -> Case:
    """The table of positions starts with the standard deviation 10, 50 or 500."""
    part = body(case)
    assert isinstance(part, Patches)
    with torch.no_grad():
        part.place.mul_(pick(strength, 10.0, 50.0, 500.0) / 0.02)
    return case


@THIRD.fault("axes-swapped", "inputs-carry-no-signal", needs="channels", strengths=ONE)
def channels_reshaped(case: Case, strength: Strength) -> Case:
    """A reshape where a transpose was meant: channels and places of one example are scrambled."""
    return preprocessed(case, lambda inputs: inputs.movedim(1, -1).reshape(inputs.shape))


@THIRD.fault("padding-read-as-data", "vanishing-gradients", needs="padded", strengths=TWO)
def last_place_is_padding(case: Case, strength: Strength) -> Case:
    """Sentences are padded to 24 (mild) or 80 words, and the features are those of the last place."""
    part = body(case)
    assert isinstance(part, Reader)
    part.pool = "last"
    more = pick(strength, 24, 80, 80) - case.task.inputs.shape[1]
    return preprocessed(case, lambda tokens: F.pad(tokens, (0, more)))


class Reverse(torch.autograd.Function):
    """The identity; the gradient comes back times a factor."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, factor: float) -> Tensor:
        """The inputs."""
        ctx.factor = factor
        return inputs.view_as(inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The gradient times the factor."""
        return ctx.factor * gradients[0], None


class Reversed(nn.Module):
    """A layer of gradient reversal, as adversarial training has it."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, inputs: Tensor) -> Tensor:
        """The inputs."""
        outputs: Tensor = Reverse.apply(inputs, self.factor)
        return outputs


@THIRD.fault("gradient-reversed", "loss-maximised", strengths=TWO)
def gradient_reversed(case: Case, strength: Strength) -> Case:
    """A gradient reversal of the factor -0.1 or -1 was left between body and head."""
    return before_head(case, Reversed(pick(strength, -0.1, -1.0, -1.0)))


# ---------------------------------------------------------------------------------------------------------------- data


@THIRD.fault("inputs-carry-no-signal", "labels-carry-no-signal")
def inputs_blank(case: Case, strength: Strength) -> Case:
    """80 %, 95 % or 99.5 % of the training examples could not be read and are blank."""
    share = torch.rand(len(case.task.inputs), generator=drawn(case))
    inputs = case.task.inputs.clone()
    inputs[share < pick(strength, 0.8, 0.95, 0.995)] = 0
    return reloaded(case, inputs=inputs)


@THIRD.fault("labels-collapsed", "one-class-only", needs="classes", without="padded pixels", strengths=TWO)
def labels_collapsed(case: Case, strength: Strength) -> Case:
    """All classes from the middle one on (mild), or from the second one on, are read as one."""
    return reloaded(case, targets=case.task.targets.clamp(max=pick(strength, case.task.classes // 2, 1, 1)))


@THIRD.fault("targets-not-scaled", "learning-rate-too-high", needs="regression")
def targets_tiny(case: Case, strength: Strength) -> Case:
    """Targets are given in units 1e3, 1e5 or 1e7 times too large, so their spread is as small."""
    factor = pick(strength, 1e-3, 1e-5, 1e-7)
    task = replace(case.task, test_targets=factor * case.task.test_targets)
    return reloaded(replace(case, task=task), targets=factor * case.task.targets)


@THIRD.fault("inputs-not-scaled", needs="channels")
def one_channel_unscaled(case: Case, strength: Strength) -> Case:
    """One of the channels comes in its own units: 0 to 255, hectopascals or seconds since 1970."""
    axis = 1 if "images" in case.traits else 2
    scale, shift = pick(strength, (64.0, 128.0), (8.0, 1013.0), (3e7, 1.6e9))

    def change(inputs: Tensor) -> Tensor:
        others, last = inputs.split([inputs.shape[axis] - 1, 1], dim=axis)
        return torch.cat([others, scale * last + shift], dim=axis)

    return preprocessed(case, change)


@THIRD.fault("inputs-carry-no-signal", needs="floats", strengths=TWO)
def bytes_wrapped(case: Case, strength: Strength) -> Case:
    """Standardised inputs are multiplied by 100 (mild) or 255 and stored as bytes, which wrap."""
    factor = pick(strength, 100.0, 255.0, 255.0)
    return preprocessed(case, lambda inputs: (factor * inputs).long() % 256 / 74.0 - 1.72)


@THIRD.fault("resolution-lost", "inputs-carry-no-signal", needs="images", strengths=TWO)
def resized_too_small(case: Case, strength: Strength) -> Case:
    """Images are shrunk to 3 x 3 or 1 x 1 pixels and enlarged again."""
    size = pick(strength, 3, 1, 1)

    def change(inputs: Tensor) -> Tensor:
        return F.interpolate(F.interpolate(inputs, size=(size, size), mode="area"), size=inputs.shape[-2:])

    return preprocessed(case, change)


@THIRD.fault("targets-not-mixed", "labels-misaligned", needs="floats", strengths=TWO)
def mixed_without_targets(case: Case, strength: Strength) -> Case:
    """Inputs are mixed with others' of the batch by halves (mild), or with a tenth of their own; targets are kept."""
    return reloaded(case, transform=pick(strength, mixed_by_halves, mixed_to_a_tenth, mixed_to_a_tenth))


def mixed_by_halves(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Half of each input is another's."""
    return 0.5 * inputs + 0.5 * inputs[torch.randperm(len(inputs))], targets


def mixed_to_a_tenth(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Nine tenths of each input are another's."""
    return 0.1 * inputs + 0.9 * inputs[torch.randperm(len(inputs))], targets


@THIRD.fault("labels-misaligned", "labels-carry-no-signal", strengths=ONE)
def targets_of_last_batch(case: Case, strength: Strength) -> Case:
    """Each batch of inputs meets the targets of the batch before."""
    return stepping(case, TargetsLate(case.loss))


# ---------------------------------------------------------------------------------------------------------------- loss


@THIRD.fault("log-softmax-missing", "probabilities-into-logits-loss", needs="classes", strengths=TWO)
def log_softmax_missing(case: Case, strength: Strength) -> Case:
    """A negative likelihood of probabilities (mild) or of logits, in place of log-probabilities."""
    return replace(case, loss=likelihood_of(case, pick(strength, probabilities, unchanged, unchanged)))


def probabilities(outputs: Tensor) -> Tensor:
    """A softmax over the classes."""
    return outputs.softmax(-1)


def unchanged(outputs: Tensor) -> Tensor:
    """What it is given."""
    return outputs


@THIRD.fault("penalty-too-large", "weight-decay-too-large")
def penalty_too_large(case: Case, strength: Strength) -> Case:
    """The absolute values of all parameters are added to the loss, times 0.01, 0.1 or 3."""
    factor = pick(strength, 0.01, 0.1, 3.0)

    def penalised(value: Tensor, model: nn.Module) -> Tensor:
        return value + factor * torch.stack([parameter.abs().sum() for parameter in model.parameters()]).sum()

    return replace(case, loss=changed(case, penalised))


@THIRD.fault("loss-divided-again", "learning-rate-too-low", needs="sgd", strengths=TWO)
def loss_divided_again(case: Case, strength: Strength) -> Case:
    """The mean loss is divided by the size of the batch (mild) or of the data set."""
    count = pick(strength, case.loading.batch, len(case.task.inputs), len(case.task.inputs))
    return replace(case, loss=changed(case, lambda value, model: value / count))


@THIRD.fault("positive-weight-wrong", needs="binary")
def positive_weight_wrong(case: Case, strength: Strength) -> Case:
    """Positives weigh 30, 300 or 1e4 times as much."""
    return replace(case, loss=nn.BCEWithLogitsLoss(pos_weight=torch.tensor(pick(strength, 30.0, 300.0, 1e4))))


@THIRD.fault("temperature-too-high", "learning-rate-too-low", "initialisation-too-small", needs="classes")
def temperature_too_high(case: Case, strength: Strength) -> Case:
    """The network divides its logits by 30, 300 or 1e4."""
    return followed(case, Scaled(1 / pick(strength, 30.0, 300.0, 1e4)))


class Scaled(nn.Module):
    """Inputs times a fixed factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, inputs: Tensor) -> Tensor:
        """The product."""
        return self.factor * inputs


# ------------------------------------------------------------------------------------------------------ initial values


@THIRD.fault("gates-saturated", "saturated-activations", needs="recurrent")
def gates_shut(case: Case, strength: Strength) -> Case:
    """Biases keep the gates shut by which the state is written: 3, 8 or 20 too low."""
    low = pick(strength, 3.0, 8.0, 20.0)
    for part in layers(case.model, nn.GRU, nn.LSTM):
        for name, bias in part.named_parameters():
            if "bias_ih" in name:
                gates = bias.detach().view(-1, part.hidden_size)
                if isinstance(part, nn.GRU):
                    gates[1] += low  # the second gate of a GRU keeps the old state
                else:
                    gates[0] -= low  # the first gate of an LSTM lets the new one in
    return case


@THIRD.fault("normalisation-epsilon-too-large", "normalisation-gain-zero", "initialisation-too-small", needs="norm")
def norm_epsilon(case: Case, strength: Strength) -> Case:
    """The epsilon of all norm layers is 10, 1e3 or 1e8: exponents with the sign lost."""
    for module in layers(case.model, nn.BatchNorm2d, nn.LayerNorm):
        module.eps = pick(strength, 10.0, 1e3, 1e8)
    return case


# ---------------------------------------------------------------------------------------- optimiser and training loop


@THIRD.fault("betas-wrong", "learning-rate-too-high", needs="adam", strengths=TWO)
def betas_wrong(case: Case, strength: Strength) -> Case:
    """Adam's betas are swapped (mild), or the first is 0.9999."""
    return rebuilt(case, betas=pick(strength, (0.999, 0.9), (0.9999, 0.999), (0.9999, 0.999)))


@THIRD.fault("learning-rate-too-high", needs="sgd", strengths=TWO)
def adam_at_rate_of_sgd(case: Case, strength: Strength) -> Case:
    """SGD was exchanged for Adam and the rate kept (mild), or ten times that."""
    lr = rate(case) * pick(strength, 1.0, 10.0, 10.0)
    return replace(case, optimizer=torch.optim.Adam(case.model.parameters(), lr=lr))


@THIRD.fault("learning-rate-too-low", needs="adam", strengths=TWO)
def sgd_at_rate_of_adam(case: Case, strength: Strength) -> Case:
    """Adam was exchanged for SGD without momentum and the rate kept (mild), or a tenth of that."""
    lr = rate(case) * pick(strength, 1.0, 0.1, 0.1)
    return replace(case, optimizer=torch.optim.SGD(case.model.parameters(), lr=lr))


@THIRD.fault("warm-up-too-long", "learning-rate-too-low", strengths=TWO)
def warm_up_endless(case: Case, strength: Strength) -> Case:
    """The rate rises over a time 300 or 1e5 times as long as the training."""
    return stepping(case, WarmedAndClipped(case.loss, int(pick(strength, 300, 1e5, 1e5) * case.steps)))


@THIRD.fault("schedule-grows", "learning-rate-too-high", strengths=TWO)
def rate_grows(case: Case, strength: Strength) -> Case:
    """The schedule multiplies the rate by 1.03 or 1.3 after each batch."""
    return stepping(case, Decaying(case.loss, pick(strength, 1.03, 1.3, 1.3)))


@THIRD.fault("gradient-noise-too-large", "learning-rate-too-high", strengths=TWO)
def gradient_noise(case: Case, strength: Strength) -> Case:
    """Noise of the standard deviation 0.3 or 10 on every gradient."""
    return stepping(case, NoisyGradients(case.loss, pick(strength, 0.3, 10.0, 10.0)))


@THIRD.fault("weights-averaged-back", "learning-rate-too-low", strengths=TWO)
def weights_averaged_back(case: Case, strength: Strength) -> Case:
    """An average with the decay 0.99 or 0.9999 is written back into the model after each step."""
    return stepping(case, AveragedBack(case.loss, pick(strength, 0.99, 0.9999, 0.9999)))


@THIRD.fault(
    "copy-trained",
    "optimizer-holds-other-parameters",
    "parameters-not-in-optimizer",
    "optimizer-step-missing",
    strengths=ONE,
)
def copy_trained(case: Case, strength: Strength) -> Case:
    """A copy of the model gets the gradients; the optimiser holds the original."""
    return stepping(case, CopyTrained(case.loss))


@THIRD.fault("weights-clamped", strengths=TWO)
def weights_clamped(case: Case, strength: Strength) -> Case:
    """All parameters are clamped to 0.06 or 0.003 after each step."""
    return stepping(case, Clamped(case.loss, pick(strength, 0.06, 0.003, 0.003)))


@THIRD.fault("vanishing-gradients", "saturated-activations", "initialisation-too-small", strengths=TWO)
def head_squashed(case: Case, strength: Strength) -> Case:
    """Features pass a sigmoid of their hundredth (mild) or thousandth in front of the head: almost constant ones."""
    width = head(case).in_features
    factor = pick(strength, 0.01, 0.001, 0.001)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed + 23)
        return before_head(case, nn.Sequential(nn.Linear(width, width), Scaled(factor), nn.Sigmoid()))
