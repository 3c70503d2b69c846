"""A translation task without files: the translation of a sentence is its words in reverse order.

Sentences of 3 to 20 words, each word one of 26 letters, lengths and words uniform at random. A network must look at a
place that it computes from its own, which takes attention and cannot be had from frequent words: one that ignores the
source stands near log 26 = 3.26 nats a letter, a perfect one at 0.
"""

from __future__ import annotations

import string

import torch

from orograph.basics.seeds import generator
from orograph.data.sentences import Sentence, SentencePairs
from orograph.data.text_data import ParallelText

WORDS = tuple(string.ascii_lowercase)
SHORTEST, LONGEST = 3, 20
TRAIN_PAIRS, TEST_PAIRS = 10_000, 1_000


def copy_reverse(seed: int) -> ParallelText:
    """10,000 train and 1,000 test pairs drawn from ``seed``; no sentence comes twice."""
    sentences = _distinct(TRAIN_PAIRS + TEST_PAIRS, generator(seed, "copy-reverse"))
    pairs = SentencePairs(tuple(sentences), tuple(sentence[::-1] for sentence in sentences))
    return ParallelText(
        "copy-reverse",
        train=pairs.take(range(TRAIN_PAIRS)),
        test=pairs.take(range(TRAIN_PAIRS, len(pairs))),
    )


def _distinct(count: int, luck: torch.Generator) -> list[Sentence]:
    """``count`` different sentences, in the order in which they were first drawn."""
    found: dict[Sentence, None] = {}
    while len(found) < count:
        lengths = torch.randint(SHORTEST, LONGEST + 1, (count,), generator=luck).tolist()
        letters = torch.randint(len(WORDS), (count, LONGEST), generator=luck).tolist()
        for length, row in zip(lengths, letters, strict=True):
            found.setdefault(tuple(WORDS[letter] for letter in row[:length]))
    return list(found)[:count]
