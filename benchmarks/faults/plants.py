"""The twenty public faults, in the order of the protocol's table."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .case import Case, Strength
from .losses_third import SUMMED
from .plant import Collection, pick
from .steps import InEval, ZeroSometimes
from .surgery import (
    ACTIVATIONS,
    before_head,
    biases,
    body,
    drawn,
    features,
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
    weighted,
)

PUBLIC = Collection()


@PUBLIC.fault("learning-rate-too-high")
def learning_rate_too_high(case: Case, strength: Strength) -> Case:
    """The learning rate times 30, 100 or 1000."""
    return rebuilt(case, lr=rate(case) * pick(strength, 30, 100, 1000))


@PUBLIC.fault("learning-rate-too-low")
def learning_rate_too_low(case: Case, strength: Strength) -> Case:
    """The learning rate over 1e3, 1e4 or 1e6."""
    return rebuilt(case, lr=rate(case) / pick(strength, 1e3, 1e4, 1e6))


@PUBLIC.fault("probabilities-into-logits-loss", needs="classes")
def softmax_before_loss(case: Case, strength: Strength) -> Case:
    """A softmax after the head; mild a sigmoid of each logit, strong two in a row."""
    soft = nn.Softmax(dim=-1)
    return followed(case, pick(strength, nn.Sigmoid(), soft, nn.Sequential(soft, nn.Softmax(dim=-1))))


@PUBLIC.fault("activation-on-logits", needs="classes", strengths=("middle", "strong"))
def relu_on_logits(case: Case, strength: Strength) -> Case:
    """A ReLU after the head; strong with a head that starts with mostly negative logits."""
    if strength == "strong":
        scaled([head(case).bias], 1.0, -1.0)
    return followed(case, nn.ReLU())


@PUBLIC.fault("labels-carry-no-signal", "labels-misaligned")
def labels_shuffled(case: Case, strength: Strength) -> Case:
    """One fixed permutation of the targets of 80 %, 95 % or all examples."""
    targets = case.task.targets.clone()
    rows = torch.randperm(len(targets), generator=drawn(case))[: int(pick(strength, 0.8, 0.95, 1.0) * len(targets))]
    targets[rows] = targets[rows.roll(1)]
    return reloaded(case, targets=targets)


@PUBLIC.fault("labels-misaligned", "labels-carry-no-signal", strengths=("middle", "strong"))
def labels_shifted(case: Case, strength: Strength) -> Case:
    """Targets rolled by one within each batch, or turned round."""
    change = pick(strength, roll_targets, roll_targets, turn_targets)
    return reloaded(case, transform=change)


def roll_targets(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Each input gets its neighbour's target."""
    return inputs, targets.roll(1, 0)


def turn_targets(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The first input gets the last target, and so on."""
    return inputs, targets.flip(0)


@PUBLIC.fault("gradients-not-zeroed", strengths=("mild", "strong"))
def zero_grad_missing(case: Case, strength: Strength) -> Case:
    """zero_grad never, or (mild) once an epoch, outside the loop over batches."""
    return stepping(case, ZeroSometimes(case.loss, every=len(case.loader) if strength == "mild" else 0))


@PUBLIC.fault("frozen-untrained-layers", silent=True)
def frozen_random_body(case: Case, strength: Strength) -> Case:
    """requires_grad off in the first half of the body, or in all of it; strong also filtered from the optimiser."""
    parameters = list(body(case).parameters())
    for parameter in parameters[: (len(parameters) + 1) // 2] if strength == "mild" else parameters:
        parameter.requires_grad_(False)
    return rebuilt(case, head(case).parameters()) if strength == "strong" else case


@PUBLIC.fault("parameters-not-in-optimizer", silent=True)
def head_only_in_optimizer(case: Case, strength: Strength) -> Case:
    """The optimiser lacks the body's first parameters (mild), the second half of the body or all of it."""
    held, every = list(body(case).parameters()), list(head(case).parameters())
    kept = pick(strength, held[2:], held[: len(held) // 2], [])
    return rebuilt(case, kept + every)


@PUBLIC.fault("initialisation-too-small", "vanishing-gradients")
def initialisation_too_small(case: Case, strength: Strength) -> Case:
    """Each matrix times 0.3, 0.1 or 0.03; biases zero."""
    scaled(matrices(case.model), pick(strength, 0.3, 0.1, 0.03))
    scaled(biases(weighted(case.model)), 0.0)
    return case


@PUBLIC.fault("initialisation-too-large", "saturated-activations")
def initialisation_too_large(case: Case, strength: Strength) -> Case:
    """Normal weights of standard deviation 0.5, 1 or 3 whatever the fan."""
    for matrix in matrices(case.model):
        nn.init.normal_(matrix, std=pick(strength, 0.5, 1.0, 3.0), generator=drawn(case))
    # The recurrent matrix of a recurrent family is among those that are too large.
    more = ("recurrent-matrix-explodes",) if "recurrent" in case.traits else ()
    return replace(case, truth=("initialisation-too-large", "saturated-activations", *more))


@PUBLIC.fault("symmetric-initialisation", "initialisation-too-small")
def constant_initialisation(case: Case, strength: Strength) -> Case:
    """All matrices equal to one over the fan-in (mild), 0.05 or zero; biases zero."""
    for matrix in matrices(case.model):
        fan = matrix[0].numel()
        nn.init.constant_(matrix, pick(strength, 1 / fan, 0.05, 0.0))
    scaled(biases(weighted(case.model)), 0.0)
    return case


@PUBLIC.fault("saturated-activations", "initialisation-too-large", needs="relu", without="batchnorm", silent=True)
def saturated_sigmoid(case: Case, strength: Strength) -> Case:
    """Sigmoids in place of ReLU behind weights 20, 60 or 200 times too large."""
    swapped(case.model, ACTIVATIONS, lambda _: nn.Sigmoid())
    scaled(matrices(body(case)), pick(strength, 20.0, 60.0, 200.0))
    return remodelled(case, case.model)


@PUBLIC.fault("vanishing-gradients", "initialisation-too-small", without="regression binary")
def deep_sigmoid(case: Case, strength: Strength) -> Case:
    """Six, eight or twelve sigmoid layers at default scale in front of the head."""
    width, deep = features(case), []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed + 5)
        for _ in range(pick(strength, 6, 8, 12)):
            deep += [nn.Linear(width, width), nn.Sigmoid()]
    return before_head(case, nn.Sequential(*deep))


@PUBLIC.fault("dead-units", needs="relu")
def dead_relu(case: Case, strength: Strength) -> Case:
    """Biases in front of ReLU lower by 2, 5 or 20."""
    norms = layers(body(case), nn.BatchNorm2d)
    scaled(biases(norms or weighted(body(case))), 1.0, -pick(strength, 2.0, 5.0, 20.0))
    return case


@PUBLIC.fault("inputs-not-scaled", needs="floats")
def inputs_not_scaled(case: Case, strength: Strength) -> Case:
    """Inputs centred but not divided (mild), as they came (0 to 255 for pixels), or as 16-bit numbers."""
    middle, spread = case.task.natural
    shift, scale = pick(strength, (0.0, 1.0), (middle, 1.0), (257 * middle, 257.0))
    return preprocessed(case, lambda inputs: inputs * (spread * scale) + shift)


@PUBLIC.fault("normalisation-in-eval", "inputs-not-scaled", needs="batchnorm")
def norm_in_eval(case: Case, strength: Strength) -> Case:
    """eval() before training and inputs shifted by 5, 20 or 60; strong calls eval() in each step."""
    shift = pick(strength, 5.0, 20.0, 60.0)
    case = preprocessed(case, lambda inputs: 3 * inputs + shift)
    case.model.eval()
    return stepping(case, InEval(case.loss)) if strength == "strong" else case


@PUBLIC.fault("data-not-shuffled", without="language")
def not_shuffled(case: Case, strength: Strength) -> Case:
    """Examples sorted by target: within three chunks (mild), or all of them, and with long epochs (strong)."""
    targets = case.task.targets.flatten(1).sum(1) if case.task.targets.dim() > 1 else case.task.targets
    chunks = torch.arange(len(targets)).chunk(3 if strength == "mild" else 1)
    order = torch.cat([rows[targets[rows].argsort(stable=True)] for rows in chunks])
    batch = case.loading.batch // (2 if strength == "strong" else 1)
    return reloaded(case, case.task.inputs[order], case.task.targets[order], shuffle=False, batch=batch)


@PUBLIC.fault("loss-summed", "learning-rate-too-high")
def loss_summed(case: Case, strength: Strength) -> Case:
    """The loss summed over batches of the same size, three or six times that size."""
    case = reloaded(case, batch=case.loading.batch * pick(strength, 1, 3, 6))
    if "language" in case.traits:
        return replace(case, loss=summed_language_loss)
    if "pixels" in case.traits or "dictionary" in case.traits:
        return replace(case, loss=SUMMED[case.loss])
    if "binary" in case.traits:
        return replace(case, loss=nn.BCEWithLogitsLoss(reduction="sum"))
    kind = nn.MSELoss if "regression" in case.traits else nn.CrossEntropyLoss
    return replace(case, loss=kind(reduction="sum"))


def summed_language_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The cross-entropy summed over all places of all sequences."""
    logits = model(batch["input_ids"])
    return F.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), reduction="sum")


@PUBLIC.fault(
    "recurrent-matrix-explodes", "initialisation-too-large", "saturated-activations", needs="recurrent", silent=True
)
def exploding_recurrence(case: Case, strength: Strength) -> Case:
    """Each gate's recurrent matrix scaled to the spectral radius 2, 6 or 20."""
    for name, matrix in body(case).named_parameters():
        if "weight_hh" in name:
            for gate in torch.split(matrix.detach(), matrix.shape[1]):
                radius = float(torch.linalg.eigvals(gate).abs().max())
                gate.mul_(pick(strength, 2.0, 6.0, 20.0) / radius)
    return case
