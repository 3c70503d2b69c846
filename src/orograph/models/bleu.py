r"""BLEU: how many of a translation's runs of words also stand in the reference.

.. math:: \mathrm{BLEU} = \min(1, e^{1 - r/c}) \left(\prod_{n=1}^4 p_n\right)^{1/4}

Over the whole set, p_n is the share of the candidates' runs of n words that are found in their references, a run
counted at most as often as it stands there; c and r are the numbers of words of all candidates and all references.
The first factor is for candidates that are shorter than their references together, since leaving words out would raise
the shares. There is no smoothing: BLEU is 0 where a p_n is.

The value depends on how words are cut: say which rule it was, and compare only values under one rule.

Kishore Papineni, Salim Roukos, Todd Ward, Wei-Jing Zhu. BLEU: a Method for Automatic Evaluation of Machine
Translation. ACL 2002.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from orograph.basics.errors import UsageError

LONGEST = 4
"""Words in the longest runs."""


def bleu(candidates: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> float:
    """Corpus BLEU-4 in [0, 1] of ``candidates``, lists of words, each against the one reference at its place.

    It is 0 where no candidate has four words, even if all are right.

    Raises
    ------
    UsageError
        There are none, or not as many references as candidates; or a sentence is one string instead of words.

    Examples
    --------
    >>> bleu([["a", "man", "sings", "a", "song"]], [["a", "man", "sings", "a", "song"]])
    1.0
    """
    if len(candidates) != len(references) or not candidates:
        raise UsageError(
            f"BLEU needs one reference for each candidate and at least one, not {len(references)} for {len(candidates)}"
        )
    if any(isinstance(sentence, str) for sentence in (*candidates, *references)):
        raise UsageError("BLEU takes sentences as lists of words; cut the text into words first")
    matched, present = [0] * LONGEST, [0] * LONGEST
    for candidate, reference in zip(candidates, references, strict=True):
        for n in range(1, LONGEST + 1):
            runs = _runs(candidate, n)
            matched[n - 1] += (runs & _runs(reference, n)).total()
            present[n - 1] += runs.total()
    if not all(matched):
        return 0.0
    found = math.prod(m / p for m, p in zip(matched, present, strict=True)) ** (1 / LONGEST)
    written, wanted = (sum(map(len, sentences)) for sentences in (candidates, references))
    return min(1.0, math.exp(1 - wanted / written)) * found


def _runs(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """How often each run of ``n`` words stands in ``words``."""
    return Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))
