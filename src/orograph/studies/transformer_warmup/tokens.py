r"""Losses per token: the mean over all labelled positions of a batch, or of a whole set.

:math:`-\frac{1}{T} \sum_t \log p(y_t)` in nats, over the T positions that have a label. A mean over sentences would
weigh the words of short ones more. The entropy of the words, :math:`-\sum_w f_w \log f_w` of their frequencies, is what
a network can reach that knows how frequent words are and nothing else: the plateau of transformers that do not train.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orograph.basics.symbols import UNLABELLED
from orograph.data import TextData
from orograph.data.structure import map_tensors
from orograph.models import bleu, translate
from orograph.objective.criterion import forward

_ROOM = 5  # words that a translation may be longer than the longest reference of its batch


class PerToken:
    """``loss(model, batch)``: the mean over a batch's tokens, with label smoothing where it is trained by."""

    def __init__(self, smoothing: float = 0.0) -> None:
        self.smoothing = smoothing
        self.__qualname__ = f"cross-entropy per token, smoothing {smoothing:g}".replace(".", "_")

    def __call__(self, model: Any, batch: Any) -> Tensor:
        logits, labels = forward(model, batch)
        return F.cross_entropy(
            logits.flatten(0, 1).float(),
            labels.flatten(),
            ignore_index=UNLABELLED,
            label_smoothing=self.smoothing,
        )


def unigram_entropy(batches: Iterable[Any]) -> float:
    """Entropy of the frequencies of labels, in nats per token."""
    counts = torch.bincount(torch.cat([_labelled(batch) for batch in batches])).double()
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * shares.log()).sum())


@torch.no_grad()
def loss_per_token(model: nn.Module, batches: Iterable[Any], device: str) -> float:
    """Of all labelled positions of ``batches``, in evaluation mode and without smoothing; modes come back."""
    modes = {part: part.training for part in model.modules()}
    total, tokens = 0.0, 0
    try:
        model.eval()
        for batch in batches:
            count = len(_labelled(batch))
            total += count * float(PerToken()(model, _moved(batch, device)))
            tokens += count
    finally:
        for part, training in modes.items():
            part.training = training
    return total / tokens


def greedy_bleu(model: nn.Module, data: TextData, sentences: int, device: str) -> float:
    """BLEU of greedy translations of the first test sentences, whole batches until there are so many, in words as
    :mod:`orograph.data.text` cuts them."""
    found: list[tuple[str, ...]] = []
    for batch in data.test.batches(1):
        limit = batch["labels"].shape[1] + _ROOM
        left = sentences - len(found)
        found += data.spell(translate(model, batch["source"][:left].to(device), limit=limit).cpu())
        if len(found) >= sentences:
            break
    return bleu(found, data.references[: len(found)])


def first(batches: Iterable[Any], count: int) -> list[Any]:
    """The first few batches."""
    return list(islice(batches, count))


def _labelled(batch: Any) -> Tensor:
    labels: Tensor = batch["labels"]
    return labels[labels != UNLABELLED]


def _moved(batch: Any, device: str) -> Any:
    return map_tensors(lambda tensor: tensor.to(device), batch)
