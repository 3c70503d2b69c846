"""Sequences of numbers: forecasting, classification of signals, ragged and time-first batches."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from .data import Data, agreement, classification, determination, explained, majority, predict, regression, scheduled
from .data import split as hold_out
from .setup import Setup, setup


def waves(seed: int, count: int = 1200, length: int = 32) -> tuple[Tensor, Tensor]:
    """Sine, square, saw-tooth and noise-like waves of random pitch and phase: signals and their kinds."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(0, 4, (count,), generator=generator)
    pitch = 2 + 2 * torch.rand(count, 1, generator=generator)
    phase = torch.rand(count, 1, generator=generator)
    turns = pitch * torch.arange(length) / length + phase
    sine = torch.sin(2 * math.pi * turns)
    noise = torch.randn(count, length, generator=generator)
    forms = torch.stack([sine, sine.sign(), 3.4 * (turns % 1 - 0.5), noise])
    signals = forms[kinds, torch.arange(count)] + 0.15 * torch.randn(count, length, generator=generator)
    return signals, kinds


def demand(seed: int, count: int = 1500) -> Tensor:
    """A long series with a daily and a weekly season and autoregressive noise, standardised."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(count)
    shocks = 0.25 * torch.randn(count, generator=generator)
    drift = torch.zeros(count)
    for now in range(1, count):
        drift[now] = 0.7 * drift[now - 1] + shocks[now]
    series = torch.sin(2 * math.pi * time / 24) + 0.5 * torch.sin(2 * math.pi * time / 168) + drift
    return (series - series.mean()) / series.std()


def windows(series: Tensor, length: int, ahead: int = 1) -> Data:
    """Windows of the past and the values after them, the last quarter of time held out."""
    pieces = series.unfold(0, length + ahead, 1)
    x, y = pieces[:, :length, None], pieces[:, length:]
    cut = int(len(pieces) * 0.75)
    return Data(x[:cut], y[:cut], x[cut + length :], y[cut + length :])


class LastState(nn.Module):
    """A recurrent network whose last state is read by a linear layer."""

    def __init__(self, kind: type[nn.RNNBase], inputs: int, hidden: int, outputs: int, **options: object) -> None:
        super().__init__()
        self.recurrent = kind(inputs, hidden, batch_first=True, **options)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, sequences: Tensor) -> Tensor:
        """The answer after the whole sequence."""
        return self.head(self.recurrent(sequences)[0][:, -1])


@setup
def demand_lstm(seed: int) -> Setup:
    """An LSTM that forecasts the next hour of a seasonal series from the last day."""
    model = LastState(nn.LSTM, 1, 32, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    return regression(windows(demand(seed), 24), seed, model, optimizer, 250)


@setup
def demand_gru_clipped(seed: int) -> Setup:
    """A GRU forecasting six hours at once, with clipped gradients and a linear warm-up."""
    model = LastState(nn.GRU, 1, 32, 6)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    scheduler = LambdaLR(optimizer, lambda done: min(1.0, (done + 1) / 30))
    step = scheduled(F.mse_loss, scheduler, clip=1.0)
    return regression(windows(demand(seed), 24, 6), seed, model, optimizer, 250, step=step)


@setup
def demand_linear(seed: int) -> Setup:
    """The linear forecast from the last two days, which is a hard baseline to beat."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 12))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    return regression(windows(demand(seed), 48, 12), seed, model, optimizer, 500, loss=F.l1_loss)


@setup
def demand_quantiles(seed: int) -> Setup:
    """A convolutional forecast of three quantiles by the pinball loss."""
    levels = torch.tensor([0.1, 0.5, 0.9])
    past = nn.Sequential(nn.Flatten(1), nn.Unflatten(1, (1, 24)), nn.Conv1d(1, 16, 5, padding=2), nn.ReLU())
    model = nn.Sequential(past, nn.Conv1d(16, 16, 5, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(160, 3))

    def pinball(quantiles: Tensor, targets: Tensor) -> Tensor:
        gap = targets - quantiles
        return torch.maximum(levels * gap, (levels - 1) * gap).mean()

    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    data = windows(demand(seed), 24)
    return regression(data, seed, model, optimizer, 300, loss=pinball, read=lambda outputs: outputs[:, 1:2])


@setup
def waves_conv1d(seed: int) -> Setup:
    """A one-dimensional convolutional network that tells four kinds of wave apart."""
    signals, kinds = waves(seed)
    model = nn.Sequential(
        nn.Conv1d(1, 16, 5, padding=2),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(16, 32, 5, padding=2),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(32, 4),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    return classification(hold_out(signals[:, None], kinds, seed), seed, model, optimizer, 250, size=50)


@setup
def waves_bidirectional(seed: int) -> Setup:
    """A two-layer bidirectional GRU with dropout between its layers, averaged over time."""
    signals, kinds = waves(seed)

    class Averaged(nn.Module):
        """The states of both directions, averaged and classified."""

        def __init__(self) -> None:
            super().__init__()
            self.recurrent = nn.GRU(1, 20, num_layers=2, dropout=0.1, bidirectional=True, batch_first=True)
            self.head = nn.Linear(40, 4)

        def forward(self, sequences: Tensor) -> Tensor:
            return self.head(self.recurrent(sequences)[0].mean(1))

    model = Averaged()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    return classification(hold_out(signals[:, :, None], kinds, seed), seed, model, optimizer, 300, size=32)


class TimeFirst(nn.Module):
    """A recurrent network in PyTorch's own layout, time before batch."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(2, 32)
        self.head = nn.Linear(32, 1)

    def forward(self, sequences: Tensor) -> Tensor:
        """An answer for every moment, time first."""
        return self.head(self.recurrent(sequences)[0])


@setup
def running_sum_time_first(seed: int) -> Setup:
    """Time-first batches: at every moment, the decaying sum of those numbers that were marked."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(1000, 20, generator=generator)
    marks = (torch.rand(1000, 20, generator=generator) < 0.5).float()
    answers, held = [], torch.zeros(1000)
    for now in range(20):
        held = 0.8 * held + numbers[:, now] * marks[:, now]
        answers.append(held)
    data = hold_out(torch.stack([numbers, marks], 2), torch.stack(answers, 1)[:, :, None], seed)

    def collate(examples: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        inputs, targets = zip(*examples, strict=True)
        return torch.stack(inputs, 1), torch.stack(targets, 1)

    model = TimeFirst()
    made = regression(
        data, seed, model, torch.optim.Adam(model.parameters(), lr=5e-3), 300, size=32, collate_fn=collate
    )
    score = determination(data.test_x.transpose(0, 1), data.test_y.transpose(0, 1))
    return Setup(**{**vars(made), "score": score})


class Ragged(nn.Module):
    """A GRU over packed sequences of unequal length."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.GRU(1, 32, batch_first=True)
        self.head = nn.Linear(32, 4)

    def forward(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """Logits from padded sequences and their lengths."""
        padded, lengths = inputs
        packed = pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.recurrent(packed)[1][-1])


@setup
def waves_ragged(seed: int) -> Setup:
    """Waves cut to unequal lengths, padded by a collate function and packed in the model."""
    signals, kinds = waves(seed, 1500)
    lengths = torch.randint(20, 33, (1500,), generator=torch.Generator().manual_seed(seed)).tolist()
    examples = [(signals[row, : lengths[row], None], int(kinds[row])) for row in range(1500)]

    def collate(chosen: list[tuple[Tensor, int]]) -> tuple[tuple[Tensor, Tensor], Tensor]:
        sequences = [sequence for sequence, _ in chosen]
        sizes = torch.tensor([len(sequence) for sequence in sequences])
        return (pad_sequence(sequences, batch_first=True), sizes), torch.tensor([kind for _, kind in chosen])

    inputs, labels = collate(examples[1200:])
    model = Ragged()
    order = torch.Generator().manual_seed(seed)
    return Setup(
        model=model,
        loader=DataLoader(examples[:1200], 32, shuffle=True, collate_fn=collate, generator=order),
        loss="cross_entropy",
        optimizer=torch.optim.Adam(model.parameters(), lr=5e-3),
        steps=400,
        score=lambda model: agreement(predict(model, inputs).argmax(1), labels),
        trivial=majority(labels),
    )


class Causal(nn.Module):
    """Dilated causal convolutions with residual connections."""

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        self.enter = nn.Conv1d(1, channels, 1)
        self.layers = nn.ModuleList(nn.Conv1d(channels, channels, 2, dilation=2**level) for level in range(4))
        self.leave = nn.Conv1d(channels, 1, 1)

    def forward(self, series: Tensor) -> Tensor:
        """A forecast of the next value at every moment."""
        hidden = self.enter(series)
        for layer in self.layers:
            hidden = hidden + F.relu(layer(F.pad(hidden, (layer.dilation[0], 0))))
        return self.leave(hidden)


@setup
def demand_temporal_convolution(seed: int) -> Setup:
    """A temporal convolutional network that forecasts the next value at every moment of a window."""
    pieces = demand(seed).unfold(0, 49, 1)[:, None, :]
    cut = int(len(pieces) * 0.75)
    data = Data(pieces[:cut, :, :-1], pieces[:cut, :, 1:], pieces[cut + 48 :, :, :-1], pieces[cut + 48 :, :, 1:])
    model = Causal()
    made = regression(data, seed, model, torch.optim.Adam(model.parameters(), lr=3e-3), 250, size=32)
    last = data.test_y[:, :, 24:]
    return Setup(**{**vars(made), "score": lambda model: explained(predict(model, data.test_x)[:, :, 24:], last)})


class Encoder(nn.Module):
    """A transformer encoder over patches of a signal, with a learned position and a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Linear(4, 32)
        self.token = nn.Parameter(torch.zeros(1, 1, 32))
        self.position = nn.Parameter(0.02 * torch.randn(1, 9, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 4))

    def forward(self, signals: Tensor) -> Tensor:
        """Logits read at the class token."""
        patches = self.patches(signals.unflatten(1, (8, 4)))
        tokens = torch.cat([self.token.expand(len(signals), -1, -1), patches], 1) + self.position
        return self.head(self.encoder(tokens)[:, 0])


@setup
def waves_patch_transformer(seed: int) -> Setup:
    """A transformer over patches of the waves, with warm-up and cosine decay."""
    signals, kinds = waves(seed, 1600)
    model = Encoder()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)

    def rate(done: int) -> float:
        return (done + 1) / 40 if done < 40 else 0.5 * (1 + math.cos(math.pi * (done - 40) / 360))

    step = scheduled(nn.CrossEntropyLoss(), LambdaLR(optimizer, rate), clip=1.0)
    return classification(hold_out(signals, kinds, seed), seed, model, optimizer, 400, size=32, step=step)


class Decoder(nn.Module):
    """An encoder and a decoder of GRU cells; the decoder is fed the truth while training."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.GRU(1, 32, batch_first=True)
        self.cell = nn.GRUCell(1, 32)
        self.head = nn.Linear(32, 1)

    def forward(self, past: Tensor, future: Tensor | None = None, ahead: int = 8) -> Tensor:
        """The next values; each is guessed from the one before it, true or guessed."""
        state, last, guesses = self.encoder(past)[1][0], past[:, -1], []
        for moment in range(ahead):
            state = self.cell(last, state)
            guesses.append(self.head(state))
            last = guesses[-1] if future is None else future[:, moment : moment + 1]
        return torch.cat(guesses, 1)


@setup
def demand_teacher_forcing(seed: int) -> Setup:
    """Sequence to sequence: a decoder trained by teacher forcing and scored on its own guesses."""
    data = windows(demand(seed), 24, 8)

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        past, future = batch
        return F.mse_loss(model(past, future), future)

    model = Decoder()
    return regression(data, seed, model, torch.optim.Adam(model.parameters(), lr=5e-3), 300, loss=loss)
