"""Text: classifiers, language models, taggers and translators of small made-up languages."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from .data import Data, accuracy, agreement, batches, classification, majority, predict, split
from .setup import Setup, setup

PAD = 0


def reviews(seed: int, count: int = 1600, length: int = 16) -> Data:
    """Reviews of an invented language: words 0-9 praise, 10-19 blame, and word 20 turns the next one round."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(0, 60, (count, length), generator=generator)
    words = torch.where((words == 20) & (torch.arange(length) == length - 1), 30, words)
    tone = ((words < 10).int() - ((words >= 10) & (words < 20)).int()).float()
    turned = F.pad(words[:, :-1] == 20, (1, 0))
    mood = torch.where(turned, -tone, tone).sum(1)
    kept = mood != 0
    return split(words[kept], (mood[kept] > 0).long(), seed)


class BagOfWords(nn.Module):
    """The mean of word vectors, classified."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(60, 16, mode="mean")
        self.classifier = nn.Linear(16, 2)

    def forward(self, words: Tensor) -> Tensor:
        """Logits of the two moods."""
        return self.classifier(self.embedding(words))


@setup
def reviews_embedding_bag(seed: int) -> Setup:
    """The text classification tutorial: an embedding bag and a linear layer."""
    model = BagOfWords()
    return classification(reviews(seed), seed, model, torch.optim.Adam(model.parameters(), lr=0.01), 300)


@setup
def reviews_sparse_embedding(seed: int) -> Setup:
    """A sparse embedding with SparseAdam beside a dense head with Adam."""
    data = reviews(seed)
    model = nn.Sequential(nn.EmbeddingBag(60, 16, sparse=True), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizers = [
        torch.optim.SparseAdam(list(model[0].parameters()), lr=0.01),
        torch.optim.Adam(model[1:].parameters(), lr=3e-3),
    ]

    def step(model: nn.Module, batch: list[Tensor], optimizers: list[torch.optim.Optimizer]) -> Tensor:
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return loss

    return classification(data, seed, model, optimizers, 300, step=step)


class WordLSTM(nn.Module):
    """Word vectors, an LSTM, dropout, and a logit."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(60, 24)
        self.lstm = nn.LSTM(24, 32, batch_first=True)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(32, 1)

    def forward(self, words: Tensor) -> Tensor:
        """The logit of a kind review."""
        _, (hidden, _) = self.lstm(self.embedding(words))
        return self.fc(self.dropout(hidden[-1])).squeeze(1)


@setup
def reviews_lstm(seed: int) -> Setup:
    """The sentiment tutorial: embedding, LSTM, dropout and one logit."""
    data = reviews(seed)
    data = data._replace(y=data.y.float())
    model = WordLSTM()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loss = nn.BCEWithLogitsLoss()
    return classification(
        data, seed, model, optimizer, 400, size=32, loss=loss, read=lambda logits: (logits > 0).long()
    )


class WordCNN(nn.Module):
    """Convolutions of several widths over word vectors, each pooled over time."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(60, 24)
        self.convolutions = nn.ModuleList(nn.Conv1d(24, 16, width) for width in (1, 2, 3))
        self.fc = nn.Linear(48, 2)

    def forward(self, words: Tensor) -> Tensor:
        """Logits of the two moods."""
        vectors = self.embedding(words).transpose(1, 2)
        return self.fc(torch.cat([F.relu(layer(vectors)).mean(2) for layer in self.convolutions], 1))


@setup
def reviews_text_cnn(seed: int) -> Setup:
    """A convolutional classifier of sentences with several widths of filter."""
    model = WordCNN()
    return classification(reviews(seed), seed, model, torch.optim.Adam(model.parameters(), lr=5e-3), 300, size=32)


def corpus(seed: int, count: int = 800, length: int = 24) -> Tensor:
    """Sentences from a second-order source of 20 letters in which two letters settle most of the next one."""
    generator = torch.Generator().manual_seed(seed)
    letters = [torch.randint(0, 20, (count,), generator=generator) for _ in range(2)]
    while len(letters) < length:
        following = (letters[-1] + 3 * (letters[-2] % 4)) % 20
        strays = torch.randint(0, 20, (count,), generator=generator)
        letters.append(torch.where(torch.rand(count, generator=generator) < 0.1, strays, following))
    return torch.stack(letters, 1)


class CharLSTM(nn.Module):
    """A language model of letters by an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 24)
        self.lstm = nn.LSTM(24, 64, batch_first=True)
        self.decoder = nn.Linear(64, 20)

    def forward(self, letters: Tensor) -> Tensor:
        """Logits of the next letter at every place."""
        return self.decoder(self.lstm(self.embedding(letters))[0])


def next_letter(model: nn.Module, held_out: Tensor) -> float:
    """The accuracy of the guess of the next letter, from the third on."""
    return agreement(predict(model, held_out[:, :-1])[:, 1:].argmax(2), held_out[:, 2:])


@setup
def letters_lstm(seed: int) -> Setup:
    """A character language model by an LSTM, with the flattened cross-entropy and clipped gradients."""
    text = corpus(seed)
    model = CharLSTM()

    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        inputs, targets = batch
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs).reshape(-1, 20), targets.reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    return Setup(
        model=model,
        loader=batches(text[:600, :-1], text[:600, 1:], seed=seed, size=32),
        loss=lambda outputs, targets: F.cross_entropy(outputs.reshape(-1, 20), targets.reshape(-1)),
        optimizer=torch.optim.Adam(model.parameters(), lr=0.01),
        step=step,
        steps=300,
        score=lambda model: next_letter(model, text[600:]),
        trivial=majority(text[600:, 2:]),
    )


class SmallGPT(nn.Module):
    """A decoder-only transformer whose embedding and output are tied."""

    def __init__(self, vocabulary: int, width: int = 32, context: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(context, width)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        nn.init.normal_(self.embedding.weight, std=1 / math.sqrt(width))
        nn.init.normal_(self.position.weight, std=0.05)
        self.head.weight = self.embedding.weight

    def forward(self, letters: Tensor) -> Tensor:
        """Logits of the next letter at every place, from the letters up to it."""
        length = letters.shape[1]
        hidden = self.embedding(letters) + self.position(torch.arange(length))
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        return self.head(self.norm(self.blocks(hidden, mask=mask, is_causal=True)))


@setup
def letters_gpt(seed: int) -> Setup:
    """A small GPT with tied weights; weight decay only for matrices, as is the custom."""
    text = corpus(seed)
    model = SmallGPT(20)
    groups = [
        {"params": [weight for weight in model.parameters() if weight.ndim >= 2], "weight_decay": 0.1},
        {"params": [weight for weight in model.parameters() if weight.ndim < 2], "weight_decay": 0.0},
    ]
    return Setup(
        model=model,
        loader=batches(text[:600, :-1], text[:600, 1:], seed=seed, size=32),
        loss=lambda logits, targets: F.cross_entropy(logits.transpose(1, 2), targets),
        optimizer=torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95)),
        steps=500,
        score=lambda model: next_letter(model, text[600:]),
        trivial=majority(text[600:, 2:]),
    )


class Stream(IterableDataset):
    """An endless stream of windows from one long text."""

    def __init__(self, text: Tensor, length: int, seed: int) -> None:
        self.text, self.length, self.seed = text, length, seed

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            row, start = (int(torch.randint(0, size, (1,), generator=generator)) for size in (len(self.text), 7))
            window = self.text[row, start : start + self.length + 1]
            yield {"input_ids": window[:-1], "labels": window[1:]}


@setup
def letters_streamed(seed: int) -> Setup:
    """A language model from an endless iterable data set of dict batches."""
    text = corpus(seed)
    model = CharLSTM()

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return F.cross_entropy(model(batch["input_ids"]).flatten(0, 1), batch["labels"].flatten())

    return Setup(
        model=model,
        loader=DataLoader(Stream(text[:600], 16, seed), batch_size=32),
        loss=loss,
        optimizer=torch.optim.AdamW(model.parameters(), lr=0.01),
        steps=300,
        score=lambda model: next_letter(model, text[600:]),
        trivial=majority(text[600:, 2:]),
    )


@setup
def masked_letters(seed: int) -> Setup:
    """A masked language model: a tenth of the letters hidden, the loss only there, by ignore_index."""
    text = corpus(seed, 1000)
    mask_token, width = 20, 32

    class Filler(nn.Module):
        """A bidirectional GRU that guesses each letter."""

        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(21, width)
            self.encoder = nn.GRU(width, 48, batch_first=True, bidirectional=True)
            self.head = nn.Linear(96, 20)

        def forward(self, letters: Tensor) -> Tensor:
            return self.head(self.encoder(self.embedding(letters))[0])

    def hide(rows: list[Tensor]) -> tuple[Tensor, Tensor]:
        letters = torch.stack(rows)
        hidden = torch.rand(letters.shape) < 0.15
        return letters.masked_fill(hidden, mask_token), letters.masked_fill(~hidden, -100)

    model = Filler()
    places = torch.arange(3, 24, 7)
    shown = text[800:].index_fill(1, places, mask_token)
    return Setup(
        model=model,
        loader=DataLoader(list(text[:800]), 40, True, collate_fn=hide, generator=torch.Generator().manual_seed(seed)),
        loss=lambda logits, labels: F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100),
        optimizer=torch.optim.Adam(model.parameters(), lr=5e-3),
        steps=600,
        score=lambda model: agreement(predict(model, shown)[:, places].argmax(2), text[800:][:, places]),
        trivial=majority(text[800:][:, places]),
    )


@dataclass
class Tagged:
    """A padded batch of sentences with their tags."""

    words: Tensor
    tags: Tensor


@setup
def word_tagger(seed: int) -> Setup:
    """A bidirectional LSTM tagger of sentences of unequal length in dataclass batches, padding left out of the loss."""
    generator = torch.Generator().manual_seed(seed)
    lexicon = torch.randint(0, 4, (40,), generator=generator)
    sentences = []
    for _ in range(900):
        words = torch.randint(1, 40, (int(torch.randint(6, 15, (1,), generator=generator)),), generator=generator)
        before = torch.cat([torch.zeros(1, dtype=torch.long), words[:-1]])
        sentences.append((words, torch.where(before % 5 == 0, (lexicon[words] + 1) % 4, lexicon[words]) + 1))

    def collate(chosen: list[tuple[Tensor, Tensor]]) -> Tagged:
        return Tagged(*(nn.utils.rnn.pad_sequence(part, batch_first=True) for part in zip(*chosen, strict=True)))

    class Tagger(nn.Module):
        """Word vectors, an LSTM in both directions, and a tag for each word."""

        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(40, 24, padding_idx=PAD)
            self.lstm = nn.LSTM(24, 24, batch_first=True, bidirectional=True)
            self.head = nn.Linear(48, 4)

        def forward(self, words: Tensor) -> Tensor:
            return self.head(self.lstm(self.embedding(words))[0])

    def loss(model: nn.Module, batch: Tagged) -> Tensor:
        return F.cross_entropy(model(batch.words).flatten(0, 1), batch.tags.flatten() - 1, ignore_index=-1)

    held = collate(sentences[700:])
    real = held.words != PAD
    model = Tagger()
    return Setup(
        model=model,
        loader=DataLoader(sentences[:700], 32, shuffle=True, collate_fn=collate, generator=generator),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=0.01),
        steps=250,
        score=lambda model: agreement(predict(model, held.words).argmax(2)[real], held.tags[real] - 1),
        trivial=majority(held.tags[real]),
    )


class Translator(nn.Module):
    """PyTorch's own transformer between two small vocabularies."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(14, 32), nn.Embedding(15, 32)
        self.place = nn.Parameter(0.1 * torch.randn(1, 12, 32))
        self.body = nn.Transformer(32, 4, 1, 1, 64, dropout=0.0, batch_first=True)
        self.head = nn.Linear(32, 14)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits of each next word of the target."""
        given = self.source(source) + self.place[:, : source.shape[1]]
        sofar = self.target(target) + self.place[:, : target.shape[1]]
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        return self.head(self.body(given, sofar, tgt_mask=mask, tgt_is_causal=True))


@setup
def reversed_translation(seed: int) -> Setup:
    """An encoder-decoder transformer that translates word by word and backwards, after a start token."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(0, 14, (1600, 6), generator=generator)
    meaning = torch.randperm(14, generator=generator)
    target = F.pad(meaning[source].flip(1), (1, 0), value=14)

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        source, target = batch
        return F.cross_entropy(model(source, target[:, :-1]).flatten(0, 1), target[:, 1:].flatten())

    model = Translator()

    def score(model: nn.Module) -> float:
        return agreement(predict(model, source[1300:], target[1300:, :-1]).argmax(2), target[1300:, 1:])

    return Setup(
        model=model,
        loader=batches(source[:1300], target[:1300], seed=seed, size=64),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=3e-3),
        steps=500,
        score=score,
        trivial=majority(target[1300:, 1:]),
    )


@setup
def skip_gram(seed: int) -> Setup:
    """Word vectors by skip-gram with negative sampling, scored by whether a true pair outranks a false one."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randint(0, 60, (3000,), generator=generator)
    contexts = centres // 6 * 6 + torch.randint(0, 6, (3000,), generator=generator)
    false = torch.randint(0, 60, (600,), generator=generator)

    class Vectors(nn.Module):
        """Vectors of words as centres and as contexts."""

        def __init__(self) -> None:
            super().__init__()
            self.centre, self.context = nn.Embedding(60, 16), nn.Embedding(60, 16)
            nn.init.normal_(self.centre.weight, std=0.25)
            nn.init.normal_(self.context.weight, std=0.25)

        def forward(self, centre: Tensor, context: Tensor) -> Tensor:
            return (self.centre(centre) * self.context(context)).sum(-1)

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        centre, context = batch
        negatives = torch.randint(0, 60, (len(centre), 5))
        true = F.logsigmoid(model(centre, context))
        return -(true + F.logsigmoid(-model(centre[:, None], negatives)).sum(1)).mean()

    held_centre, held_context = centres[2400:], contexts[2400:]
    apart = false // 6 != held_centre // 6

    def score(model: nn.Module) -> float:
        ahead = predict(model, held_centre, held_context) > predict(model, held_centre, false)
        return ahead[apart].float().mean().item()

    model = Vectors()
    return Setup(
        model=model,
        loader=batches(centres[:2400], contexts[:2400], seed=seed, size=64),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=0.02),
        steps=300,
        score=score,
        trivial=0.5,
    )


@setup
def spam_counts(seed: int) -> Setup:
    """Word counts weighted by rarity into a linear classifier, the hinge of the support vector machine as loss."""
    generator = torch.Generator().manual_seed(seed)
    topics = torch.rand(2, 80, generator=generator).pow(2)
    labels = torch.randint(0, 2, (1200,), generator=generator)
    counts = torch.poisson(topics[labels], generator=generator)
    rarity = torch.log(1200 / (1 + (counts > 0).sum(0)))
    data = split(F.normalize(counts * rarity) * math.sqrt(80), labels, seed)
    model = nn.Linear(80, 1)

    def hinge(outputs: Tensor, labels: Tensor) -> Tensor:
        return F.relu(1 - outputs.squeeze(1) * (2 * labels - 1)).mean()

    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, weight_decay=1e-3)
    made = classification(data, seed, model, optimizer, 300, size=32, loss=hinge)
    score = accuracy(data.test_x, data.test_y, lambda outputs: (outputs.squeeze(1) > 0).long())
    return Setup(**{**vars(made), "score": score})
