"""Faults of the held-out half. Whoever tunes a doctor does not read this file before the final score."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from .case import Case, Strength
from .networks import Attention, Recurrent, Tokens
from .plant import Collection, pick
from .steps import Multiplied
from .steps_held_out import Detached, Reset, balanced, by_hand, one_against_all
from .surgery import (
    ACTIVATIONS,
    Apply,
    before_head,
    body,
    drawn,
    followed,
    head,
    layers,
    matrices,
    preprocessed,
    rate,
    rebuilt,
    reloaded,
    remodelled,
    scaled,
    stepping,
    swapped,
)

HELD_OUT = Collection()


@HELD_OUT.fault("examples-mixed", "probabilities-into-logits-loss", needs="classes", without="language", silent=True)
def softmax_over_batch(case: Case, strength: Strength) -> Case:
    """A softmax over the examples in place of the classes; mild a log-softmax, strong both axes in turn."""
    over = nn.Softmax(dim=0)
    return followed(case, pick(strength, nn.LogSoftmax(dim=0), over, nn.Sequential(over, nn.Softmax(dim=1))))


@HELD_OUT.fault("adam-epsilon-too-large", "learning-rate-too-low", needs="adam")
def adam_epsilon(case: Case, strength: Strength) -> Case:
    """An epsilon of 1, 30 or 1e4."""
    return rebuilt(case, eps=pick(strength, 1.0, 30.0, 1e4))


@HELD_OUT.fault("logarithm-of-zero", "initialisation-too-large", without="regression language")
def logarithm_of_zero(case: Case, strength: Strength) -> Case:
    """Binary cross-entropy written by hand on sharpened logits: 0 times log(0) after some steps."""
    return replace(followed(case, Apply(pick(strength, triple, tenfold, fiftyfold))), loss=by_hand_of(case))


def by_hand_of(case: Case) -> object:
    """The loss written by hand that suits the targets."""
    return by_hand if "binary" in case.traits else one_against_all


def triple(logits: Tensor) -> Tensor:
    """A temperature of a third."""
    return 3 * logits


def tenfold(logits: Tensor) -> Tensor:
    """A temperature of a tenth."""
    return 10 * logits


def fiftyfold(logits: Tensor) -> Tensor:
    """A temperature of a fiftieth."""
    return 50 * logits


@HELD_OUT.fault("batch-too-small-for-normalisation", "learning-rate-too-high", needs="batchnorm")
def batch_of_one(case: Case, strength: Strength) -> Case:
    """Batches of three, two or one example."""
    return reloaded(case, batch=pick(strength, 3, 2, 1))


@HELD_OUT.fault("attention-mask-wrong", "non-finite-data", needs="attention", strengths=("middle", "strong"))
def mask_not_a_number(case: Case, strength: Strength) -> Case:
    """The mask is (1 - visible) times minus infinity: zero times infinity wherever something is visible."""
    length = case.task.inputs.shape[1]
    for module in layers(case.model, Attention)[: 1 if strength == "middle" else None]:
        module.mask = (1 - torch.ones(length, length).tril()) * float("-inf")
    return case


@HELD_OUT.fault("attention-mask-wrong", needs="language", strengths=("middle",), silent=True)
def future_visible(case: Case, strength: Strength) -> Case:
    """A language model without a causal mask."""
    for module in layers(case.model, Attention):
        module.causal = False
    return case


@HELD_OUT.fault("initialisation-too-large", "inputs-not-scaled", needs="embedding")
def embedding_scale(case: Case, strength: Strength) -> Case:
    """Embeddings 30, 300 or 3000 times their usual size."""
    scaled([module.weight for module in layers(case.model, nn.Embedding)], pick(strength, 30.0, 300.0, 3000.0))
    return case


@HELD_OUT.fault("axes-swapped", "examples-mixed", needs="recurrent", strengths=("middle",))
def batch_taken_for_time(case: Case, strength: Strength) -> Case:
    """batch_first is forgotten: the network runs over the examples of the batch."""
    for module in layers(case.model, Recurrent):
        module.layer.batch_first = False
    return case


@HELD_OUT.fault("saturated-activations", "initialisation-too-large", needs="relu", without="batchnorm", silent=True)
def saturated_tanh(case: Case, strength: Strength) -> Case:
    """Tanh in place of ReLU behind weights 10, 40 or 200 times too large."""
    swapped(case.model, ACTIVATIONS, lambda _: nn.Tanh())
    scaled(matrices(body(case)), pick(strength, 10.0, 40.0, 200.0))
    return remodelled(case, case.model)


@HELD_OUT.fault("output-bias-huge", "initialisation-too-large", without="language")
def head_biases_huge(case: Case, strength: Strength) -> Case:
    """Biases of the head with the standard deviation 30, 300 or 3000."""
    nn.init.normal_(head(case).bias, std=pick(strength, 30.0, 300.0, 3000.0), generator=drawn(case))
    return case


@HELD_OUT.fault("weights-reset")
def weights_reset(case: Case, strength: Strength) -> Case:
    """The first weights are loaded again every 20, 5 or 1 steps."""
    return stepping(case, Reset(case.loss, pick(strength, 20, 5, 1)))


@HELD_OUT.fault("labels-equal-inputs", "labels-misaligned", needs="language", strengths=("middle",))
def next_token_forgotten(case: Case, strength: Strength) -> Case:
    """The targets of a language model are its inputs, not shifted by one."""
    return reloaded(case, targets=case.task.inputs.clone())


@HELD_OUT.fault("loss-not-connected", "gradient-cut", strengths=("middle",))
def loss_detached(case: Case, strength: Strength) -> Case:
    """The loss is made a fresh leaf so that backward stops complaining."""
    return stepping(case, Detached(case.loss))


@HELD_OUT.fault("labels-misaligned", "labels-carry-no-signal", without="language")
def pairing_slips(case: Case, strength: Strength) -> Case:
    """A file is missing: from 15 %, 5 % or the beginning of the data set on, each input has the next one's target."""
    start = int(pick(strength, 0.15, 0.05, 0.0) * len(case.task.targets))
    targets = case.task.targets
    return reloaded(case, targets=torch.cat([targets[:start], targets[start:].roll(-1, 0)]))


@HELD_OUT.fault("inputs-carry-no-signal", "inputs-too-small", needs="floats")
def inputs_clamped(case: Case, strength: Strength) -> Case:
    """Inputs clamped from below at 1.5, 2.5 or 10 standard deviations, as with bounds of another data set."""
    bound = pick(strength, 1.5, 2.5, 10.0)
    return preprocessed(case, lambda inputs: inputs.clamp(min=bound) - bound)


@HELD_OUT.fault("augmentation-destroys-inputs", "inputs-carry-no-signal", "inputs-not-scaled", needs="floats")
def noise_drowns_inputs(case: Case, strength: Strength) -> Case:
    """Noise of the standard deviation 5, 15 or 50 on the inputs of each training batch."""
    size = pick(strength, 5.0, 15.0, 50.0)
    return reloaded(case, transform=lambda inputs, targets: (inputs + size * torch.randn_like(inputs), targets))


@HELD_OUT.fault("label-smoothing-too-high", needs="classes", without="language")
def label_smoothing_extreme(case: Case, strength: Strength) -> Case:
    """A label smoothing of 0.98, 0.995 or 1."""
    return replace(case, loss=nn.CrossEntropyLoss(label_smoothing=pick(strength, 0.98, 0.995, 1.0)))


@HELD_OUT.fault("momentum-too-high", "learning-rate-too-high", needs="sgd")
def momentum_too_high(case: Case, strength: Strength) -> Case:
    """Momentum 0.99, 0.999 or 1 at the same rate."""
    return rebuilt(case, momentum=pick(strength, 0.99, 0.999, 1.0))


@HELD_OUT.fault("class-weights-wrong", "one-class-only", needs="classes", without="language")
def class_weights_wrong(case: Case, strength: Strength) -> Case:
    """One class has the weight one in the loss, the others 3e-3, 1e-4 or 0."""
    weights = torch.full((case.task.classes,), pick(strength, 3e-3, 1e-4, 0.0))
    weights[1] = 1.0
    return replace(case, loss=balanced(weights))


@HELD_OUT.fault("loss-scale-not-undone", "learning-rate-too-high", "loss-summed", needs="sgd")
def loss_scale_kept(case: Case, strength: Strength) -> Case:
    """The loss times 128, 4096 or 65536 before backward, and gradients as they come."""
    return stepping(case, Multiplied(case.loss, pick(strength, 128.0, 4096.0, 65536.0)))


@HELD_OUT.fault("examples-mixed", "inputs-carry-no-signal", without="language", strengths=("middle", "strong"))
def features_averaged_over_batch(case: Case, strength: Strength) -> Case:
    """A mean over the wrong axis: all examples get the features of the average one, and (middle) 3 % of their own."""
    share = pick(strength, 0.03, 0.03, 0.0)
    return before_head(case, Apply(lambda x: x.mean(0, keepdim=True).expand_as(x) + share * x))


@HELD_OUT.fault("running-statistics-frozen", "normalisation-in-eval", needs="batchnorm")
def running_statistics_frozen(case: Case, strength: Strength) -> Case:
    """Batch norm with the momentum 1e-3, 1e-4 or 0 on inputs with an offset."""
    for module in layers(case.model, nn.BatchNorm2d):
        module.momentum = pick(strength, 1e-3, 1e-4, 0.0)
    return preprocessed(case, lambda inputs: 3 * inputs + 5)


@HELD_OUT.fault("targets-ignored", "non-finite-data", needs="classes")
def targets_ignored(case: Case, strength: Strength) -> Case:
    """94 %, 98 % or all targets carry the index that cross-entropy leaves out: sooner or later the mean is of none."""
    targets = case.task.targets.clone()
    targets[torch.rand(len(targets), generator=drawn(case)) < pick(strength, 0.94, 0.98, 1.0)] = -100
    return reloaded(case, targets=targets)


@HELD_OUT.fault("group-rate-zero", "parameters-not-in-optimizer", "learning-rate-too-low", silent=True)
def body_rate_zero(case: Case, strength: Strength) -> Case:
    """Two groups, and the body's has the rate zero (strong), or 1e-6 or 1e-4 of the head's."""
    factor = pick(strength, 1e-4, 1e-6, 0.0)
    case = rebuilt(case)
    groups = case.optimizer.param_groups
    own = {id(parameter) for parameter in head(case).parameters()}
    first = {**groups[0], "params": [p for p in groups[0]["params"] if id(p) in own]}
    groups[0]["params"] = [p for p in groups[0]["params"] if id(p) not in own]
    groups[0]["lr"] = factor * rate(case)
    groups.append(first)
    return case


@HELD_OUT.fault("probabilities-into-logits-loss", needs="binary", strengths=("middle",), silent=True)
def sigmoid_before_loss(case: Case, strength: Strength) -> Case:
    """A sigmoid in front of a loss that has its own."""
    return followed(case, nn.Sigmoid())


@HELD_OUT.fault("gradient-cut", "frozen-untrained-layers", needs="embedding", strengths=("middle",), silent=True)
def embeddings_detached(case: Case, strength: Strength) -> Case:
    """Embeddings are looked up from detached weights, and stay as they were drawn."""
    for module in layers(case.model, Tokens):
        module.embedding = nn.Sequential(module.embedding, Apply(Tensor.detach))
    return remodelled(case, case.model)
