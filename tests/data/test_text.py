"""Sentences: words and vocabularies, batches that lose nothing, folders of two languages, copy-reverse, Multi30k."""

from __future__ import annotations

import gzip
import os
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orograph.basics.errors import DataError, UsageError
from orograph.data import TextData, load
from orograph.data.sentences import SentencePairs, batched, spelled, vocabulary_of
from orograph.data.sources import SOURCES
from orograph.data.text import words_of
from orograph.data.text_data import ParallelText

ROOT = Path(os.environ.get("OROGRAPH_DATA", "/nonexistent"))

WORD = st.sampled_from(["a", "b", "c", "d", "rare"])
PAIR = st.tuples(st.lists(WORD, max_size=12).map(tuple), st.lists(WORD, max_size=12).map(tuple))
VOCABULARY = ("<padding>", "<begin>", "<end>", "<unknown>", "a", "b", "c", "d")


# ---- words and vocabularies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Ein Mann's T-Shirt, rot.", ["ein", "mann's", "t-shirt", ",", "rot", "."]),
        ("«Grün» ÄÖÜ   ß\t12", ["«", "grün", "»", "äöü", "ß", "12"]),
        ("rock 'n' roll - wow!!", ["rock", "'", "n", "'", "roll", "-", "wow", "!", "!"]),
        ("gru\u0308n", ["grün"]),  # the umlaut as two characters
        (" ", []),
    ],
)
def test_words_are_cut_by_the_documented_rule(line: str, words: list[str]) -> None:
    assert words_of(line) == tuple(words)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=30))
def test_cutting_loses_no_character_but_spaces_and_is_done_once(line: str) -> None:
    words = words_of(line)
    assert "".join(words) == "".join(unicodedata.normalize("NFC", line).lower().split())
    assert words_of(" ".join(words)) == words


def test_a_vocabulary_has_the_symbols_and_the_words_seen_twice_most_frequent_first() -> None:
    sentences = [("b", "a", "c"), ("b", "a"), ("b", "once")]
    assert vocabulary_of(sentences) == ("<padding>", "<begin>", "<end>", "<unknown>", "b", "a")


def test_a_word_written_like_a_symbol_is_unknown_rather_than_the_symbol() -> None:
    pairs = SentencePairs((("<end>",),), (("<padding>", "a"),))
    batches, _ = batched(pairs, VOCABULARY, VOCABULARY, budget=100, generator=torch.Generator())
    assert batches.items[0]["source"].tolist() == [[3, 2]]
    assert batches.items[0]["labels"].tolist() == [[3, 4, 2]]


# ---- batches ------------------------------------------------------------------------------------------------------


def made(pairs: list[tuple[tuple[str, ...], tuple[str, ...]]], budget: int, seed: int = 0):
    both = SentencePairs(tuple(source for source, _ in pairs), tuple(target for _, target in pairs))
    luck = torch.Generator().manual_seed(seed)
    return batched(both, VOCABULARY, VOCABULARY, budget=budget, generator=luck)


def test_one_batch_by_hand() -> None:
    batches, order = made([(("a", "rare"), ("c",)), (("b",), ("d", "a", "b"))], budget=8)
    assert order == [0, 1]
    (batch,) = batches.items
    assert batch["source"].tolist() == [[4, 3, 2], [5, 2, 0]]
    assert batch["prefix"].tolist() == [[1, 6, 0, 0], [1, 7, 4, 5]]
    assert batch["labels"].tolist() == [[6, 2, -100, -100], [7, 4, 5, 2]]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


@given(st.lists(PAIR, min_size=1, max_size=40), st.integers(1, 60), st.integers(0, 5))
def test_batching_loses_and_repeats_no_sentence_and_keeps_the_budget(pairs, budget: int, seed: int) -> None:
    batches, order = made(pairs, budget, seed)
    assert sorted(order) == list(range(len(pairs)))
    found = []
    for batch in batches.items:
        sources, targets = spelled(batch["source"], VOCABULARY), spelled(batch["labels"], VOCABULARY)
        found += list(zip(sources, targets, strict=True))
        assert spelled(batch["prefix"], VOCABULARY) == targets
        assert batch["prefix"].numel() <= budget or len(batch["prefix"]) == 1
        assert [len(target) for target in targets] == sorted(len(target) for target in targets)
        # Each prefix is its labels, one place later, and each position has a label or is padding.
        labels = batch["labels"].masked_fill(batch["labels"] < 0, 0)
        assert torch.equal(batch["prefix"][:, 1:], labels[:, :-1].masked_fill(labels[:, :-1] == 2, 0))
        assert torch.equal(batch["prefix"] != 0, batch["labels"] != -100)
        # No column is padding alone.
        assert (batch["source"] != 0).any(0).all()
        assert (batch["prefix"] != 0).any(0).all()

    def known(words):
        return tuple(word if word in VOCABULARY else "<unknown>" for word in words)

    assert found == [(known(pairs[index][0]), known(pairs[index][1])) for index in order]


@given(st.lists(PAIR, min_size=1, max_size=60), st.integers(1, 60))
def test_a_batch_is_as_full_as_the_next_longer_sentence_allows(pairs, budget: int) -> None:
    def lengths(batch) -> list[int]:
        return [len(target) + 1 for target in spelled(batch["labels"], VOCABULARY)]

    batches, _ = made(pairs, budget)
    by_length = sorted(map(lengths, batches.items), key=lambda rows: (rows[0], rows[-1], -len(rows)))
    for batch, following in pairwise(by_length):
        assert batch[-1] <= following[0]
        assert (len(batch) + 1) * following[0] > budget


def test_the_seed_decides_the_batches() -> None:
    first, again, other = (load("copy-reverse", seed=seed, train_size=300, test_size=50) for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.references == again.references != other.references


def test_the_first_batches_are_no_shorter_than_the_rest() -> None:
    data = load("copy-reverse")
    lengths = torch.tensor([float(batch["prefix"].shape[1]) for batch in data.train.batches(1)])
    assert lengths[:20].mean().item() == pytest.approx(lengths.mean().item(), rel=0.2)


# ---- copy-reverse -------------------------------------------------------------------------------------------------


def test_copy_reverse_is_the_source_in_reverse_and_no_sentence_comes_twice() -> None:
    data = load("copy-reverse")
    assert isinstance(data, TextData)
    assert (len(data.train), len(data.test)) == (10_000, 1_000)
    seen = Counter()
    for part in (data.train, data.test):
        for batch in part.batches(1):
            sources = spelled(batch["source"], data.source_vocabulary)
            assert data.spell(batch["labels"]) == [source[::-1] for source in sources]
            seen.update(sources)
    assert max(seen.values()) == 1
    assert {len(source) for source in seen} == set(range(3, 21))
    assert Counter(word for source in seen for word in source).keys() == set("abcdefghijklmnopqrstuvwxyz")


def test_references_stand_in_the_order_of_the_test_batches() -> None:
    data = load("copy-reverse", test_size=0.1)
    assert len(data.references) == 100
    assert list(data.references) == [words for batch in data.test.batches(1) for words in data.spell(batch["labels"])]


def test_summary_counts_sentences_words_and_tokens() -> None:
    data = load("copy-reverse", train_size=20, test_size=10)
    tokens = [sum(int((b["labels"] != -100).sum()) for b in part.batches(1)) for part in (data.train, data.test)]
    assert data.summary() == (
        "copy-reverse: 20 train + 10 test sentence pairs, 30 source and 30 target words, "
        f"{tokens[0]:,} + {tokens[1]:,} target tokens"
    )


def test_a_sample_is_a_part_of_the_whole_with_the_vocabulary_of_the_whole() -> None:
    def sources(data) -> set[tuple[str, ...]]:
        return {words for b in data.train.batches(1) for words in spelled(b["source"], data.source_vocabulary)}

    whole, part = load("copy-reverse"), load("copy-reverse", train_size=40, test_size=5)
    assert (len(part.train), len(part.test)) == (40, 5)
    assert part.source_vocabulary == whole.source_vocabulary
    assert sources(part) < sources(whole)
    for wrong, message in ((0, "ask for 1 to 10,000"), (10_001, "there are 10,000 examples"), (1.5, r"in \(0, 1\]")):
        with pytest.raises(UsageError, match=message):
            load("copy-reverse", train_size=wrong)


def test_the_budget_is_an_option() -> None:
    for tokens in (100, 4000):
        data = load("copy-reverse", train_size=500, test_size=10, batch_tokens=tokens)
        sizes = [batch["labels"].numel() for batch in data.train.batches(1)]
        assert max(sizes) <= tokens
        assert max(sizes) > 0.75 * tokens
    with pytest.raises(UsageError, match="batch_tokens=0 must be at least 1"):
        load("copy-reverse", batch_tokens=0)


def test_sentences_have_no_single_shape() -> None:
    with pytest.raises(UsageError, match="copy-reverse holds sentences of different lengths"):
        _ = load("copy-reverse", train_size=5, test_size=5).input_shape


def test_text_comes_back_as_it_is_and_can_be_loaded_again() -> None:
    data = load("copy-reverse", train_size=50, test_size=10)
    assert load(data) is data
    again = load(data, train_size=50, test_size=10)
    assert isinstance(again, TextData)
    assert again.target_vocabulary == data.target_vocabulary


# ---- folders ------------------------------------------------------------------------------------------------------

TRAIN_DE = ["Ein Hund läuft.", "Ein Hund schläft.", "", "Der Hund\u2028läuft ."]
TRAIN_EN = ["A dog runs.", "A dog sleeps.", "", "The dog runs."]


def write(folder: Path, name: str, lines: list[str], zipped: bool = False) -> None:
    folder.mkdir(exist_ok=True)
    text = "".join(line + "\n" for line in lines).encode()
    if zipped:
        (folder / f"{name}.gz").write_bytes(gzip.compress(text))
    else:
        (folder / name).write_bytes(text)


def corpus(folder: Path, zipped: bool = False, test: str = "test") -> Path:
    write(folder, "train.de", TRAIN_DE, zipped)
    write(folder, "train.en", TRAIN_EN, zipped)
    write(folder, f"{test}.de", ["Der Kater läuft."], zipped)
    write(folder, f"{test}.en", ["The cat runs."], zipped)
    return folder


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("test", ["test", "test_2016_flickr", "val", "dev"])
def test_a_folder_of_two_languages_is_read_line_by_line(tmp_path: Path, zipped: bool, test: str) -> None:
    data = load(corpus(tmp_path / "captions", zipped, test))
    assert isinstance(data, TextData)
    assert data.name == "captions"
    assert set(data.source_vocabulary[4:]) == {"hund", ".", "läuft", "ein"}
    assert set(data.target_vocabulary[4:]) == {"dog", ".", "runs", "a"}
    assert len(data.train) == 4
    # The test set's unknown words are one symbol to the network and themselves in the reference.
    (batch,) = data.test.batches(1)
    assert spelled(batch["source"], data.source_vocabulary) == [("<unknown>", "<unknown>", "läuft", ".")]
    assert data.spell(batch["labels"]) == [("<unknown>", "<unknown>", "runs", ".")]
    assert data.references == (("the", "cat", "runs", "."),)


def test_an_empty_line_is_a_sentence_without_words(tmp_path: Path) -> None:
    data = load(corpus(tmp_path))
    pairs = [
        (source, target)
        for batch in data.train.batches(1)
        for source, target in zip(
            spelled(batch["source"], data.source_vocabulary), data.spell(batch["labels"]), strict=True
        )
    ]
    assert ((), ()) in pairs


def test_test_goes_before_val(tmp_path: Path) -> None:
    corpus(tmp_path, test="val")
    write(tmp_path, "test.de", ["Ein Hund."] * 3)
    write(tmp_path, "test.en", ["A dog."] * 3)
    assert len(load(tmp_path).test) == 3


def test_the_fingerprint_is_of_the_content_and_not_of_the_place(tmp_path: Path) -> None:
    first, second = load(corpus(tmp_path / "a")), load(corpus(tmp_path / "b", zipped=True))
    assert first.fingerprint == second.fingerprint
    write(tmp_path / "a", "train.en", [*TRAIN_EN[:3], "The dog sleeps."])
    assert load(tmp_path / "a").fingerprint != first.fingerprint
    # Another word in the same places has the same numbers, and is other data.
    write(tmp_path / "b", "train.de", [line.replace("Hund", "Wolf") for line in TRAIN_DE], zipped=True)
    renamed = load(tmp_path / "b")
    assert renamed.train.fingerprint == first.train.fingerprint
    assert renamed.fingerprint != first.fingerprint


def test_damaged_folders_name_the_file_and_the_remedy(tmp_path: Path) -> None:
    def refused(folder: Path, message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            load(folder)
        assert "\n" not in str(caught.value)

    write(corpus(tmp_path / "short"), "train.en", TRAIN_EN[:3])
    refused(tmp_path / "short", r"train\.de has 4 lines but train\.en has 3; line k of one must translate")
    (corpus(tmp_path / "latin") / "train.de").write_bytes("Tür".encode("latin-1"))
    refused(tmp_path / "latin", r"train\.de is not UTF-8 \(byte 1\); convert it")
    zipped = corpus(tmp_path / "cut", zipped=True) / "train.de.gz"
    zipped.write_bytes(zipped.read_bytes()[:-12])
    refused(tmp_path / "cut", r"train\.de\.gz cannot be read .*; replace it")
    zipped.write_bytes(b"no gzip at all")
    refused(tmp_path / "cut", r"train\.de\.gz cannot be read .*; replace it")
    write(corpus(tmp_path / "three"), "train.fr", TRAIN_EN)
    refused(tmp_path / "three", r"3 languages \(de, en, fr\); keep the files of two")
    (corpus(tmp_path / "half") / "test.en").unlink()
    refused(tmp_path / "half", r"neither test nor val in de and en; add test\.de and test\.en")
    corpus(tmp_path / "empty")
    write(tmp_path / "empty", "test.de", [])
    write(tmp_path / "empty", "test.en", [])
    refused(tmp_path / "empty", "the test set is empty")


def test_parallel_text_needs_both_sets() -> None:
    nothing, one = SentencePairs((), ()), SentencePairs((("a",),), (("b",),))
    with pytest.raises(DataError, match="mine: the train set is empty"):
        ParallelText("mine", nothing, one)


# ---- Multi30k -----------------------------------------------------------------------------------------------------


def test_multi30k_that_is_not_there_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"multi30k is in none of .*github\.com/multi30k/dataset: put the files"):
        load("multi30k", root=tmp_path)
    (tmp_path / "multi30k").mkdir()
    write(tmp_path / "multi30k", "train.de", TRAIN_DE, zipped=True)
    with pytest.raises(DataError, match=r"multi30k lacks train\.en, test_2016_flickr\.de, .*; add them from data/"):
        load("multi30k", root=tmp_path)


def test_multi30k_is_found_by_name_under_a_root(tmp_path: Path) -> None:
    corpus(tmp_path / "multi30k", zipped=True, test="test_2016_flickr")
    data = load("multi30k", root=tmp_path)
    assert (data.name, len(data.train), len(data.test)) == ("multi30k", 4, 1)


def test_multi30k_has_its_published_size() -> None:
    if all(SOURCES["multi30k"].missing(ROOT / folder) for folder in SOURCES["multi30k"].folders):
        pytest.skip("$OROGRAPH_DATA has no multi30k")
    data = load("multi30k", root=ROOT, download=False)
    assert isinstance(data, TextData)
    assert (len(data.train), len(data.test)) == (29_000, 1_000)
    # What the registry quotes the transformer's size for.
    assert (len(data.source_vocabulary), len(data.target_vocabulary)) == (7857, 5977)
    assert data.target_vocabulary[4:7] == ("a", ".", "in")
    sizes = [batch["prefix"].numel() for batch in data.train.batches(1)]
    assert max(sizes) <= 2000
    assert sum(sizes) / len(sizes) > 1900
