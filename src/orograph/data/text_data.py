"""``TextData``: sentences and their translations as batches of numbers, with the vocabularies that give words back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from orograph.basics.errors import DataError, UsageError
from orograph.basics.keys import content_key
from orograph.basics.seeds import generator
from orograph.basics.symbols import UNLABELLED
from orograph.data.data import Data
from orograph.data.sentences import Sentence, SentencePairs, batched, spelled, vocabulary_of
from orograph.data.split import BatchList, Examples
from orograph.data.subset import sample, wanted

BATCH_TOKENS = 2000
"""Positions of the translations in one batch, padding included."""


@dataclass(frozen=True, eq=False, repr=False)
class TextData(Data):
    """Two sets of sentence pairs, each a :class:`~orograph.data.BatchList` (see :mod:`orograph.data.sentences`).

    Attributes
    ----------
    source_vocabulary, target_vocabulary : tuple of str
        Word ``k`` of a source is ``source_vocabulary[k]``; 0 is padding, 1 begin, 2 end, 3 any unknown word.
    references : tuple of tuples of str
        The translations of the test set as words, in the order of the examples of ``test``; words that the vocabulary
        lacks are written out, so that a score does not count an unknown word as found.
    """

    source_vocabulary: tuple[str, ...] = ()
    target_vocabulary: tuple[str, ...] = ()
    references: tuple[Sentence, ...] = ()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Raises UsageError: sentences differ in length."""
        raise UsageError(
            f"{self.name} holds sentences of different lengths, and this needs images or vectors of one shape; "
            "use other data, such as digits"
        )

    @property
    def fingerprint(self) -> str:
        """24 hexadecimal digits of the batches of both sets and of the words that their numbers stand for."""
        return content_key([super().fingerprint, self.source_vocabulary, self.target_vocabulary])

    def spell(self, rows: Tensor) -> list[Sentence]:
        """The target words of each row of numbers (n, T), up to its end symbol: of labels, or of a translation."""
        return spelled(rows, self.target_vocabulary)

    def summary(self) -> str:
        """One line: ``copy-reverse: 10,000 train + 1,000 test sentence pairs, 30 source and 30 target words, …``."""
        words = f"{len(self.source_vocabulary):,} source and {len(self.target_vocabulary):,} target words"
        tokens = f"{_labelled(self.train):,} + {_labelled(self.test):,} target tokens"
        return f"{self.name}: {len(self.train):,} train + {len(self.test):,} test sentence pairs, {words}, {tokens}"


@dataclass(frozen=True, eq=False)
class ParallelText:
    """A train and a test set of sentence pairs, before sampling, numbering and batching."""

    name: str
    train: SentencePairs
    test: SentencePairs

    def __post_init__(self) -> None:
        for part, pairs in (("train", self.train), ("test", self.test)):
            if len(pairs) == 0:
                raise DataError(f"{self.name}: the {part} set is empty; it needs at least one pair of sentences")

    def in_batches(
        self,
        train_size: int | float | None = None,
        test_size: int | float | None = None,
        seed: int = 0,
        batch_tokens: int = BATCH_TOKENS,
    ) -> TextData:
        """Batches of at most ``batch_tokens`` positions of a random sample of the pairs, drawn from ``seed``.

        The vocabularies are those of the whole train set, so that a network for a sample also fits the whole.
        """
        if batch_tokens < 1:
            raise UsageError(f"batch_tokens={batch_tokens} must be at least 1; 2000 to 4000 are usual")
        sources, targets = vocabulary_of(self.train.sources), vocabulary_of(self.train.targets)

        def part(name: str, pairs: SentencePairs, size: int | float | None) -> tuple[BatchList, tuple[Sentence, ...]]:
            count = wanted(size, len(pairs), f"{name}_size")
            if count < len(pairs):
                pairs = pairs.take(sample(None, len(pairs), count, generator(seed, "subset", name)).tolist())
            luck = generator(seed, "batches", name)
            batches, order = batched(pairs, sources, targets, budget=batch_tokens, generator=luck)
            return batches, pairs.take(order).targets

        train, _ = part("train", self.train, train_size)
        test, references = part("test", self.test, test_size)
        return TextData(
            train,
            test,
            name=self.name,
            source_vocabulary=sources,
            target_vocabulary=targets,
            references=references,
        )


def _labelled(examples: Examples) -> int:
    """The number of positions with a label."""
    return sum(int(torch.count_nonzero(batch["labels"] != UNLABELLED)) for batch in examples.batches(1))
