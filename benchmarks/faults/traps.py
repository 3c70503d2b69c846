"""Healthy variants that look like faults: the protocol's silent traps, for both halves, and more for development.

Each must reach nearly the score of the plain control, and no doctor may warn about it.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .case import Case, Strength, endless, plain_step
from .plant import Collection
from .steps import Accumulated, Autocast, Clipped, Scheduled
from .surgery import (
    ACTIVATIONS,
    before_head,
    body,
    drawn,
    followed,
    head,
    layers,
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

TRAPS = Collection()
MORE_TRAPS = Collection()


@TRAPS.trap(needs="classes")
def log_softmax_before_loss(case: Case, strength: Strength) -> Case:
    """A log-softmax after the head: cross-entropy takes it for logits and nothing changes."""
    return followed(case, nn.LogSoftmax(dim=-1))


@TRAPS.trap(without="attention")
def frozen_trained_body(case: Case, strength: Strength) -> Case:
    """Fine-tuning: the body was trained on the task, the head is fresh and alone in the optimiser."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed + 9)
        for batch in islice(endless(case.loader), 2 * case.steps):
            plain_step(case.loss, case.model, batch, case.optimizer)
        head(case).reset_parameters()
    case.optimizer.zero_grad()
    body(case).requires_grad_(False)
    return rebuilt(reloaded(case), head(case).parameters())


@TRAPS.trap()
def gradient_accumulation(case: Case, strength: Strength) -> Case:
    """Two half batches for each step."""
    case = reloaded(case, batch=case.loading.batch // 2)
    return stepping(replace(case, steps=2 * case.steps), Accumulated(case.loss, 2))


@TRAPS.trap(needs="sgd")
def large_rate_with_clipping(case: Case, strength: Strength) -> Case:
    """Ten times the learning rate with the norm of the gradient clipped at 0.1."""
    return stepping(rebuilt(case, lr=10 * rate(case)), Clipped(case.loss, 0.1))


@TRAPS.trap(needs="classes", without="language pixels dictionary")
def label_smoothing(case: Case, strength: Strength) -> Case:
    """Cross-entropy with a label smoothing of 0.1."""
    return replace(case, loss=nn.CrossEntropyLoss(label_smoothing=0.1))


@TRAPS.trap(needs="classes", without="language pixels")
def class_imbalance(case: Case, strength: Strength) -> Case:
    """One class is four times as frequent as each of the others."""
    kept = (case.task.targets == 0) | (torch.rand(len(case.task.targets), generator=drawn(case)) < 0.25)
    return reloaded(case, case.task.inputs[kept], case.task.targets[kept])


@TRAPS.trap(needs="relu")
def tanh_activations(case: Case, strength: Strength) -> Case:
    """Tanh in place of ReLU."""
    return remodelled(case, swapped(case.model, ACTIVATIONS, lambda _: nn.Tanh()))


@TRAPS.trap(needs="relu")
def gelu_activations(case: Case, strength: Strength) -> Case:
    """GELU in place of ReLU."""
    return remodelled(case, swapped(case.model, ACTIVATIONS, lambda _: nn.GELU()))


@TRAPS.trap(needs="relu")
def silu_activations(case: Case, strength: Strength) -> Case:
    """SiLU in place of ReLU."""
    return remodelled(case, swapped(case.model, ACTIVATIONS, lambda _: nn.SiLU()))


@TRAPS.trap(without="recurrent")
def no_biases(case: Case, strength: Strength) -> Case:
    """Linear layers and convolutions without biases."""
    for module in weighted(case.model):
        module.register_parameter("bias", None)
    return remodelled(case, case.model)


@TRAPS.trap(needs="batchnorm")
def slow_running_statistics(case: Case, strength: Strength) -> Case:
    """Batch norm with the momentum 0.01 and a longer training."""
    for module in layers(case.model, nn.BatchNorm2d):
        module.momentum = 0.01
    return replace(case, steps=2 * case.steps)


@MORE_TRAPS.trap()
def zero_head(case: Case, strength: Strength) -> Case:
    """The head starts at zero, as is usual for a last layer: all logits are equal at first."""
    scaled(head(case).parameters(), 0.0)
    return case


@MORE_TRAPS.trap(needs="classes")
def noisy_labels(case: Case, strength: Strength) -> Case:
    """One label in seven is random; the rest can be learnt."""
    targets = case.task.targets.clone()
    noise = torch.randint(0, case.task.classes, targets.shape, generator=drawn(case))
    wrong = torch.rand(targets.shape, generator=drawn(case)) < 0.15
    return reloaded(case, targets=torch.where(wrong, noise, targets))


@MORE_TRAPS.trap(without="batchnorm")
def small_batches(case: Case, strength: Strength) -> Case:
    """A quarter of the batch with a rate to match, for more steps."""
    case = reloaded(case, batch=case.loading.batch // 4)
    return rebuilt(replace(case, steps=2 * case.steps), lr=rate(case) / 2)


@MORE_TRAPS.trap()
def adamw_with_decay(case: Case, strength: Strength) -> Case:
    """AdamW with the usual rate for small networks and a weight decay of 0.1."""
    return replace(case, optimizer=torch.optim.AdamW(case.model.parameters(), lr=3e-3, weight_decay=0.1))


@MORE_TRAPS.trap()
def warm_up(case: Case, strength: Strength) -> Case:
    """Linear warm-up over a fifth of the training and a cosine afterwards."""
    return stepping(case, Scheduled(case.loss, case.steps // 5, 2 * case.steps))


@MORE_TRAPS.trap(without="recurrent")
def bfloat16_autocast(case: Case, strength: Strength) -> Case:
    """Forward passes under autocast."""
    return stepping(case, Autocast(case.loss))


@MORE_TRAPS.trap(needs="classes")
def dropout_half(case: Case, strength: Strength) -> Case:
    """Dropout of one half before the head, for more steps."""
    return before_head(replace(case, steps=2 * case.steps), nn.Dropout(0.5))


@MORE_TRAPS.trap(needs="classes")
def dictionary_batches(case: Case, strength: Strength) -> Case:
    """Batches are dictionaries and the loss takes the model."""
    return reloaded(replace(case, loss=dictionary_loss), form="dictionary", keys=("x", "label"))


def dictionary_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Cross-entropy of a dictionary batch."""
    return F.cross_entropy(model(batch["x"]), batch["label"])


@MORE_TRAPS.trap(without="batchnorm")
def short_last_batch(case: Case, strength: Strength) -> Case:
    """The last batch of an epoch holds one example."""
    rows = len(case.task.inputs) // case.loading.batch // 2 * case.loading.batch + 1
    return reloaded(case, case.task.inputs[:rows], case.task.targets[:rows])


@MORE_TRAPS.trap(needs="images classes")
def raw_pixels_into_norm(case: Case, strength: Strength) -> Case:
    """Pixels from 0 to 255 go into a model whose first layer is a batch norm."""
    middle, spread = case.task.natural
    case = preprocessed(case, lambda inputs: inputs * spread + middle)
    return remodelled(case, nn.Sequential(nn.BatchNorm2d(1), case.model))
