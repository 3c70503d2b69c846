"""From pairs of sentences to batches of numbers: the vocabulary, and batches of about equally many tokens.

A sentence of the words ``a b`` becomes ``source = [a, b, END]``; its translation ``c d`` becomes what the network is
given, ``prefix = [BEGIN, c, d]``, and what it should answer at each position, ``labels = [c, d, END]``. Sentences of
like length share a batch, which is padded to its longest one: little of the work is spent on padding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from orograph.basics.symbols import BEGIN, END, NAMES, PADDING, UNKNOWN, UNLABELLED
from orograph.data.split import BatchList

Sentence = tuple[str, ...]
"""The words of one sentence."""


@dataclass(frozen=True, eq=False)
class SentencePairs:
    """Sentences, and the translation of each at the same place."""

    sources: tuple[Sentence, ...]
    targets: tuple[Sentence, ...]

    def __len__(self) -> int:
        return len(self.sources)

    def take(self, indices: Iterable[int]) -> SentencePairs:
        """The pairs at ``indices``, in that order."""
        chosen = list(indices)
        return SentencePairs(tuple(self.sources[i] for i in chosen), tuple(self.targets[i] for i in chosen))


def vocabulary_of(sentences: Iterable[Sentence], least: int = 2) -> tuple[str, ...]:
    """The four symbols and then the words that occur at least ``least`` times, the most frequent first.

    Words of one frequency come in the order of the alphabet. A word's place is its number.
    """
    counts = Counter(word for sentence in sentences for word in sentence)
    frequent = sorted((-count, word) for word, count in counts.items() if count >= least)
    return (*NAMES, *(word for _, word in frequent))


def batched(
    pairs: SentencePairs,
    source_vocabulary: Sequence[str],
    target_vocabulary: Sequence[str],
    *,
    budget: int,
    generator: torch.Generator,
) -> tuple[BatchList, list[int]]:
    """Batches ``{"source", "prefix", "labels"}`` of int64, and the place in ``pairs`` of each example in them.

    ``source`` is (n, S), ``prefix`` and ``labels`` are (n, T); 0 fills up source and prefix, -100 the labels. A batch
    has as many sentences as keep ``n T`` within ``budget``, and one where a single sentence is longer. Within a
    batch, sentences come by rising length of the translation, then of the source. The batches come in an order that
    ``generator`` draws, so that the first few are no shorter than the rest; it also decides among equal lengths.
    """
    sources = [[*sentence, END] for sentence in _numbered(pairs.sources, source_vocabulary)]
    targets = _numbered(pairs.targets, target_vocabulary)
    drawn = torch.randperm(len(pairs), generator=generator).tolist()
    by_length = sorted(drawn, key=lambda index: (len(targets[index]), len(sources[index])))
    groups = _within_budget(by_length, [len(target) + 1 for target in targets], budget)
    groups = [groups[place] for place in torch.randperm(len(groups), generator=generator).tolist()]
    items = [
        {
            "source": _padded([sources[index] for index in group], PADDING),
            "prefix": _padded([[BEGIN, *targets[index]] for index in group], PADDING),
            "labels": _padded([[*targets[index], END] for index in group], UNLABELLED),
        }
        for group in groups
    ]
    return BatchList(tuple(items)), [index for group in groups for index in group]


def spelled(rows: Tensor, vocabulary: Sequence[str]) -> list[Sentence]:
    """The words of each row of numbers (n, T), up to its end symbol; padding and the begin symbol are left out."""
    sentences = []
    for row in rows.tolist():
        words = row[: row.index(END)] if END in row else row
        sentences.append(tuple(vocabulary[word] for word in words if word > BEGIN))
    return sentences


def _numbered(sentences: Iterable[Sentence], vocabulary: Sequence[str]) -> list[list[int]]:
    numbers: Mapping[str, int] = {word: number for number, word in enumerate(vocabulary) if number >= len(NAMES)}
    return [[numbers.get(word, UNKNOWN) for word in sentence] for sentence in sentences]


def _within_budget(order: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    """``order``, whose lengths rise, cut into groups of at most ``budget`` positions once padded."""
    groups: list[list[int]] = []
    for index in order:
        if groups and (len(groups[-1]) + 1) * lengths[index] <= budget:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _padded(rows: Sequence[Sequence[int]], filling: int) -> Tensor:
    """int64 of shape (n, longest)."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[filling] * (longest - len(row))] for row in rows], dtype=torch.int64)
