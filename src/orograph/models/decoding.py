"""Greedy decoding: a translation written word by word, each time the most probable one.

All sentences of a batch are written at once, until the last has ended: one pass of the encoder, and for each word one
pass of the decoder over what is written so far, so about T^2 / 2 positions for a translation of T words. No states are
kept between words, which would be faster for long texts and harder to read.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from orograph.basics.errors import ModelError, UsageError
from orograph.basics.symbols import BEGIN, END, PADDING


@runtime_checkable
class Translates(Protocol):
    """What :func:`translate` asks of a network; :class:`~orograph.models.Transformer` has it."""

    def encode(self, source: Tensor) -> Tensor:
        """What the decoder reads of ``source`` (n, S), of any shape with n first."""
        ...

    def decode(self, prefix: Tensor, memory: Tensor, source: Tensor) -> Tensor:
        """States (n, T, d) at each place of ``prefix`` (n, T)."""
        ...

    def output(self, states: Tensor) -> Tensor:
        """Logits (…, words) of states (…, d)."""
        ...


def translate(model: nn.Module, source: Tensor, *, limit: int) -> Tensor:
    """The words that ``model`` answers to ``source``, greedily, as int64 of shape (n, at most ``limit``).

    A row ends with the end symbol 2, then comes padding (0); a row that did not end within ``limit`` words has no end
    symbol. Padding and the begin symbol are never chosen. Ties go to the lower number. The network answers in
    evaluation mode, without gradients, and comes back in the mode in which it came, part by part.

    Parameters
    ----------
    model : nn.Module
        A :class:`~orograph.models.Transformer`, or any network with its ``encode``, ``decode`` and ``output``.
    source : Tensor
        int64 of shape (n, S) on the network's device, padded with 0.
    limit : int
        Most words of a translation, the end symbol included.

    Raises
    ------
    UsageError
        ``limit`` is below 1, or ``source`` is not of shape (n, S).
    ModelError
        The network has no ``encode``, ``decode`` and ``output``.
    """
    if limit < 1:
        raise UsageError(f"limit is the most words of a translation, at least 1, not {limit}")
    if source.dim() != 2:
        raise UsageError(f"source must be numbers of shape (sentences, words), not {tuple(source.shape)}")
    if not isinstance(model, Translates):
        raise ModelError(
            f"a {type(model).__name__} cannot translate; give a Transformer, or a network with its encode, decode and "
            "output"
        )
    modes = {part: part.training for part in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            return _greedy(model, source, limit)
    finally:
        for part, training in modes.items():
            part.training = training


def _greedy(model: Translates, source: Tensor, limit: int) -> Tensor:
    memory = model.encode(source)
    written = source.new_full((len(source), 1), BEGIN)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for _ in range(limit):
        # Only the last place says something new, and logits over all words are the larger part of the work.
        logits = model.output(model.decode(written, memory, source)[:, -1])
        logits[:, [PADDING, BEGIN]] = float("-inf")
        word = logits.argmax(1).masked_fill(ended, PADDING)
        written = torch.cat([written, word.unsqueeze(1)], 1)
        ended = ended | (word == END)
        if bool(ended.all()):
            break
    return written[:, 1:]
