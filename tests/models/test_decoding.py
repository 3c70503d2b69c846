"""Greedy decoding against decoding one sentence at a time by the definition, and on a network that has learned."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from orograph import train
from orograph.basics.errors import ModelError, UsageError
from orograph.data import TextData, load
from orograph.models import Transformer, bleu, build, translate

WORDS = 12


class Script(nn.Module):
    """Writes the source, word by word, and then the end symbol; counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def encode(self, source: Tensor) -> Tensor:
        return nn.functional.pad(source, (0, 1))

    def decode(self, prefix: Tensor, memory: Tensor, source: Tensor) -> Tensor:
        self.asked += 1
        following = memory[:, : prefix.shape[1]]
        return nn.functional.one_hot(following.masked_fill(following == 0, 2), WORDS).float()

    def output(self, states: Tensor) -> Tensor:
        return states


def network(norm: str = "post") -> Transformer:
    torch.manual_seed(6)
    model = Transformer(WORDS, WORDS, layers=2, dimension=8, heads=2, norm=norm, dropout=0.3, tied=False)
    for parameter in model.parameters():
        if parameter.dim() > 1:  # wide enough that answers differ from word to word
            nn.init.normal_(parameter, std=0.7)
    return model


def by_definition(model: Transformer, source: Tensor, limit: int) -> list[int]:
    """One sentence without padding: the most probable word after all that is written, again and again."""
    model = model.eval()
    written = [1]
    while len(written) <= limit and written[-1] != 2:
        logits = model(source.unsqueeze(0), torch.tensor([written]))[0, -1].tolist()
        written.append(max(range(2, WORDS), key=lambda word: logits[word]))
    return written[1:]


def test_a_row_ends_with_the_end_symbol_and_then_comes_padding() -> None:
    source = torch.tensor([[5, 6, 7, 8], [9, 4, 0, 0], [0, 0, 0, 0]])
    expected = [[5, 6, 7, 8, 2], [9, 4, 2, 0, 0], [2, 0, 0, 0, 0]]
    assert translate(Script(), source, limit=20).tolist() == expected


def test_it_stops_when_all_have_ended_or_at_the_limit() -> None:
    script, source = Script(), torch.tensor([[5, 6, 0, 0], [9, 4, 7, 0]])
    translate(script, source, limit=20)
    assert script.asked == 4
    assert translate(script, source, limit=2).tolist() == [[5, 6], [9, 4]]
    assert script.asked == 6


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_a_batch_is_translated_as_each_sentence_alone(norm: str) -> None:
    model = network(norm)
    lengths = [1, 3, 6, 6, 4, 2, 5, 6]
    source = torch.zeros(len(lengths), 6, dtype=torch.int64)
    for row, length in enumerate(lengths):
        source[row, :length] = torch.randint(4, WORDS, (length,))
    found = translate(model, source, limit=9)
    expected = [by_definition(model, source[row, :length], 9) for row, length in enumerate(lengths)]
    assert [row[: len(words)] for row, words in zip(found.tolist(), expected, strict=True)] == expected
    assert not any(any(row[len(words) :]) for row, words in zip(found.tolist(), expected, strict=True))
    assert len({tuple(words) for words in expected}) > 3, "else this would say little"
    assert len(set(map(len, expected))) > 1


def test_padding_and_begin_are_never_written_even_where_they_are_most_probable() -> None:
    model = network().eval()
    with torch.no_grad():
        model.output.weight[:2] *= 100
    found = translate(model, torch.randint(4, WORDS, (20, 5)), limit=6)
    ended = (found == 2).cumsum(1).bool()
    assert (found[~ended] >= 3).all()


def test_the_network_comes_back_as_it_was(state) -> None:
    model = network()
    model.decoder.eval()
    source = torch.randint(4, WORDS, (3, 5))
    before = state(model)
    translate(model, source, limit=4)
    assert state(model) == before
    model.encode = lambda source: 1 / 0  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        translate(model, source, limit=4)
    assert state(model) == before


def score(model: nn.Module, data: TextData) -> float:
    written = [
        words for batch in data.test.batches(1) for words in data.spell(translate(model, batch["source"], limit=22))
    ]
    return bleu(written, data.references)


def test_training_on_copy_reverse_lowers_the_loss_and_raises_bleu() -> None:
    data = load("copy-reverse", train_size=3000, test_size=60, batch_tokens=300)
    assert isinstance(data, TextData)
    model = build("transformer", data, seed=0, layers=1, dimension=32, heads=2, dropout=0.0)
    before = score(model, data)
    recipe = train.Recipe(optimizer="adam", lr=3e-3, epochs=3, weight_decay=0)
    run = train.fit(model, data, recipe, seed=0)
    assert run.train_loss[-1] < 0.9 * run.train_loss[1]
    assert run.test_loss[-1] < 2.5 < run.test_loss[0]  # without the source it is near log 26 = 3.26
    assert before < 0.01 < score(model, data)


@pytest.mark.parametrize(
    ("model", "source", "limit", "error", "message"),
    [
        (nn.Linear(2, 2), torch.ones(1, 2).long(), 3, ModelError, "a Linear cannot translate; give a Transformer"),
        (Script(), torch.ones(1, 2).long(), 0, UsageError, "at least 1, not 0"),
        (Script(), torch.ones(2).long(), 3, UsageError, r"shape \(sentences, words\), not \(2,\)"),
    ],
)
def test_wrong_calls_say_what_is_wanted(model, source, limit: int, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        translate(model, source, limit=limit)
