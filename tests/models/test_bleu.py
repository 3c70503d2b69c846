"""BLEU against counts made by hand and closed forms."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orograph.basics.errors import UsageError
from orograph.models import bleu

SENTENCES = st.lists(st.lists(st.sampled_from("abcde"), max_size=9), min_size=1, max_size=5)


def test_the_reference_itself_scores_one() -> None:
    assert bleu([list("abcd"), list("xyz")], [list("abcd"), list("xyz")]) == 1.0


def test_runs_of_words_counted_by_hand() -> None:
    # 5 of 6 words, 3 of 5 pairs (the cat, on the, the mat), 1 of 4 triples (on the mat), no run of four.
    candidate, reference = ["the", "cat", "sits", "on", "the", "mat"], ["the", "cat", "sat", "on", "the", "mat"]
    assert bleu([candidate], [reference]) == 0.0
    # A second sentence of five right words adds 5, 4, 3 and 2 runs that are all found.
    found = [(5 + 5) / (6 + 5), (3 + 4) / (5 + 4), (1 + 3) / (4 + 3), (0 + 2) / (3 + 2)]
    other = ["two", "men", "play", "a", "game"]
    assert bleu([candidate, other], [reference, other]) == pytest.approx(math.prod(found) ** 0.25, rel=1e-12)


def test_a_run_counts_at_most_as_often_as_in_its_reference() -> None:
    # "the" seven times against two (the paper's example) finds 2 of 7; a right sentence of seven words brings the rest.
    right = list("abcdefg")
    found = [(2 + 7) / 14, 6 / 12, 5 / 10, 4 / 8]
    reference = ["the", "cat", "is", "on", "the", "mat", "now"]
    assert bleu([["the"] * 7, right], [reference, right]) == pytest.approx(math.prod(found) ** 0.25, rel=1e-12)


@pytest.mark.parametrize("written", [4, 6, 9])
def test_a_candidate_that_stops_early_pays_the_brevity_penalty_alone(written: int) -> None:
    reference = list("abcdefghi")
    assert bleu([reference[:written]], [reference]) == pytest.approx(math.exp(1 - 9 / written), rel=1e-12)


def test_a_candidate_that_goes_on_pays_in_precision_alone() -> None:
    # Five right words and five wrong ones: 5/10, 4/9, 3/8, 2/7.
    found = (5 / 10) * (4 / 9) * (3 / 8) * (2 / 7)
    assert bleu([list("abcde12345")], [list("abcde")]) == pytest.approx(found**0.25, rel=1e-12)


@given(SENTENCES, st.randoms(use_true_random=False))
def test_bleu_is_a_share_and_the_order_of_sentences_does_not_matter(sentences, random) -> None:
    candidates = [random.sample(words, len(words)) for words in sentences]
    score = bleu(candidates, sentences)
    assert 0 <= score <= 1
    assert score == pytest.approx(bleu(candidates[::-1], sentences[::-1]), rel=1e-12)


def test_nothing_written_scores_zero() -> None:
    assert bleu([[]], [list("abcd")]) == 0.0


def test_wrong_calls_say_what_is_wanted() -> None:
    with pytest.raises(UsageError, match="one reference for each candidate and at least one, not 1 for 2"):
        bleu([["a"], ["b"]], [["a"]])
    with pytest.raises(UsageError, match="at least one, not 0 for 0"):
        bleu([], [])
    with pytest.raises(UsageError, match="lists of words"):
        bleu(["a man"], [["a", "man"]])
