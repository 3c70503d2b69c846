"""Functions and dynamics: implicit pictures, physics-informed networks, operators, neural equations and forecasts."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LambdaLR
from torch.utils.data import DataLoader, IterableDataset

from .data import Data, batches, determination, explained, perceptron, predict, regression, scheduled, split
from .setup import Setup, setup


def _picture(points: Tensor) -> Tensor:
    """A smooth picture with detail: rings, stripes and a blob over the square from -1 to 1."""
    x, y = points.unbind(1)
    radius = (points - torch.tensor([0.2, -0.1])).norm(dim=1)
    return (torch.sin(12 * radius) + 0.5 * torch.sin(9 * x + 4 * y) + torch.exp(-8 * radius.square()))[:, None]


def _pixels(seed: int) -> Data:
    """The picture on a grid of 64 by 64, a part of whose pixels is held out."""
    axis = torch.linspace(-1, 1, 64)
    points = torch.cartesian_prod(axis, axis)
    values = _picture(points)
    return split(points, (values - values.mean()) / values.std(), seed)


class Sine(nn.Module):
    """A SIREN layer with its own initialisation."""

    def __init__(self, inputs: int, outputs: int, frequency: float, first: bool = False) -> None:
        super().__init__()
        self.linear, self.frequency = nn.Linear(inputs, outputs), frequency
        bound = 1 / inputs if first else math.sqrt(6 / inputs) / frequency
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """A sine of the scaled sum."""
        return torch.sin(self.frequency * self.linear(x))


@setup
def picture_siren(seed: int) -> Setup:
    """A SIREN that learns a picture from its pixels."""
    head = nn.Linear(64, 1)
    nn.init.uniform_(head.weight, -math.sqrt(6 / 64) / 15, math.sqrt(6 / 64) / 15)
    model = nn.Sequential(Sine(2, 64, 15.0, first=True), Sine(64, 64, 15.0), head)
    return regression(_pixels(seed), seed, model, torch.optim.Adam(model.parameters(), lr=1e-3), 400, size=256)


class FourierFeatures(nn.Module):
    """Fixed random frequencies, as sines and cosines."""

    def __init__(self, inputs: int, count: int, scale: float) -> None:
        super().__init__()
        self.register_buffer("frequencies", scale * torch.randn(inputs, count))

    def forward(self, points: Tensor) -> Tensor:
        """Twice as many features as frequencies."""
        phases = points @ self.frequencies
        return torch.cat([phases.sin(), phases.cos()], 1)


@setup
def picture_fourier_features(seed: int) -> Setup:
    """Random Fourier features before a ReLU network, with an exponentially falling rate."""
    model = nn.Sequential(FourierFeatures(2, 48, 6.0), perceptron(96, 64, 64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    step = scheduled(F.mse_loss, ExponentialLR(optimizer, 0.995))
    return regression(_pixels(seed), seed, model, optimizer, 400, size=256, step=step)


class HashGrid(nn.Module):
    """Several grids of learned features, the finer ones hashed into small tables, read by bilinear interpolation."""

    def __init__(self, levels: tuple[int, ...] = (6, 12, 24), size: int = 256, width: int = 4) -> None:
        super().__init__()
        self.levels, self.size = levels, size
        self.tables = nn.ModuleList(nn.Embedding(size, width) for _ in levels)
        for entries in self.tables:
            nn.init.uniform_(entries.weight, -1e-2, 1e-2)
        self.head = perceptron(width * len(levels), 32, 1)

    def forward(self, points: Tensor) -> Tensor:
        """The picture's value at points of the square from -1 to 1."""
        found = []
        for level, entries in zip(self.levels, self.tables, strict=True):
            place = (points + 1) / 2 * (level - 1)
            corner = place.floor().clamp(max=level - 2)
            part = place - corner
            total = 0.0
            for right in (0, 1):
                for up in (0, 1):
                    cell = corner.long() + torch.tensor([right, up])
                    flat = cell[:, 0] + cell[:, 1] * level
                    index = flat if level**2 <= self.size else (cell[:, 0] ^ (cell[:, 1] * 2654435761)) % self.size
                    weight = (part[:, 0] if right else 1 - part[:, 0]) * (part[:, 1] if up else 1 - part[:, 1])
                    total = total + weight[:, None] * entries(index)
            found.append(total)
        return self.head(torch.cat(found, 1))


@setup
def picture_hash_grid(seed: int) -> Setup:
    """A multiresolution hash encoding with a tiny network behind it."""
    model = HashGrid()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, betas=(0.9, 0.99), eps=1e-15)
    return regression(_pixels(seed), seed, model, optimizer, 400, size=256)


def _derivative(values: Tensor, points: Tensor) -> Tensor:
    return torch.autograd.grad(values.sum(), points, create_graph=True)[0]


class Collocation:
    """An endless source of points at which an equation is to hold."""

    def __init__(self, seed: int, low: float, high: float, size: int = 64, columns: int = 1) -> None:
        self.generator, self.low, self.high = torch.Generator().manual_seed(seed), low, high
        self.shape = (size, columns)

    def __iter__(self) -> Iterator[Tensor]:
        """Points drawn evenly, for ever."""
        while True:
            yield self.low + (self.high - self.low) * torch.rand(self.shape, generator=self.generator)


@setup
def oscillator_physics_informed(seed: int) -> Setup:
    """A damped oscillator u'' + 0.4 u' + 4 u = 0 from its equation and its start alone."""
    model = perceptron(1, 32, 32, 1, activation=nn.Tanh)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

    def loss(model: nn.Module, batch: Tensor) -> Tensor:
        time = batch.clone().requires_grad_()
        u = model(time)
        velocity = _derivative(u, time)
        residual = _derivative(velocity, time) + 0.4 * velocity + 4 * u
        start = torch.zeros(1, 1, requires_grad=True)
        first = model(start)
        return residual.square().mean() + 10 * ((first - 1).square() + _derivative(first, start).square()).mean()

    time = torch.linspace(0, 3, 100)[:, None]
    omega = math.sqrt(4 - 0.04)
    truth = torch.exp(-0.2 * time) * (torch.cos(omega * time) + 0.2 / omega * torch.sin(omega * time))
    return Setup(
        model=model,
        loader=Collocation(seed, 0.0, 3.0),
        loss=loss,
        optimizer=optimizer,
        steps=1200,
        score=determination(time, truth),
        trivial=0.0,
    )


@setup
def poisson_equation_lbfgs(seed: int) -> Setup:
    """-u'' = f with walls at zero, in double precision, by L-BFGS with a strong Wolfe line search on fixed points."""
    points = torch.linspace(0, 1, 65, dtype=torch.float64)[1:-1, None]
    force = (math.pi**2 * torch.sin(math.pi * points)) + 4 * math.pi**2 * 0.5 * torch.sin(2 * math.pi * points)
    truth = torch.sin(math.pi * points) + 0.5 * torch.sin(2 * math.pi * points)
    model = perceptron(1, 24, 24, 1, activation=nn.Tanh).double()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=1.0, max_iter=10, line_search_fn="strong_wolfe")

    def step(model: nn.Module, batch: tuple[Tensor, Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        def closure() -> Tensor:
            optimizer.zero_grad()
            place = batch[0].clone().requires_grad_()
            curvature = _derivative(_derivative(model(place), place), place)
            walls = model(torch.tensor([[0.0], [1.0]], dtype=torch.float64))
            loss = (curvature + batch[1]).square().mean() / 100 + 10 * walls.square().mean()
            loss.backward()
            return loss

        return optimizer.step(closure)

    return Setup(
        model=model,
        loader=[(points, force)],
        loss="mse",
        optimizer=optimizer,
        step=step,
        steps=60,
        score=determination(points, truth),
        trivial=0.0,
    )


class BranchAndTrunk(nn.Module):
    """A DeepONet: one network reads the input function, the other the place."""

    def __init__(self) -> None:
        super().__init__()
        self.branch, self.trunk = perceptron(20, 64, 32), perceptron(1, 64, 32, activation=nn.Tanh)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, function: Tensor, place: Tensor) -> Tensor:
        """The output function at one place each."""
        return (self.branch(function) * self.trunk(place)).sum(1, keepdim=True) + self.bias


@setup
def antiderivative_deeponet(seed: int) -> Setup:
    """The antiderivative as an operator, from functions seen at twenty places."""
    generator = torch.Generator().manual_seed(seed)
    coefficients = torch.randn(4000, 4, generator=generator)
    orders = math.pi * torch.arange(1, 5)
    sensors, place = torch.linspace(0, 1, 20), torch.rand(4000, 1, generator=generator)
    functions = coefficients @ torch.sin(orders[:, None] * sensors)
    values = (coefficients * (1 - torch.cos(orders * place)) / orders).sum(1, keepdim=True)
    values = values / values.std()
    model = BranchAndTrunk()

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        return F.mse_loss(model(batch[0], batch[1]), batch[2])

    return Setup(
        model=model,
        loader=batches(functions[:3200], place[:3200], values[:3200], seed=seed, size=128),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=3e-3),
        steps=500,
        score=lambda model: explained(predict(model, functions[3200:], place[3200:]), values[3200:]),
        trivial=0.0,
    )


class Spectral(nn.Module):
    """A convolution in Fourier space over the lowest modes, beside a pointwise one."""

    def __init__(self, width: int, modes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, width, modes, dtype=torch.cfloat) / width)
        self.local, self.modes = nn.Conv1d(width, width, 1), modes

    def forward(self, x: Tensor) -> Tensor:
        """Functions on a grid, (batch, width, places)."""
        low = torch.einsum("bim,iom->bom", torch.fft.rfft(x)[..., : self.modes], self.weight)
        return torch.fft.irfft(low, n=x.shape[-1]) + self.local(x)


@setup
def heat_fourier_operator(seed: int) -> Setup:
    """A Fourier neural operator that carries temperatures on a ring forward in time."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.arange(17)
    spectrum = torch.randn(800, 17, dtype=torch.cfloat, generator=generator) / (1 + order)
    early = torch.fft.irfft(spectrum, n=32) * 16
    late = torch.fft.irfft(spectrum * torch.exp(-0.05 * order**2) * torch.exp(-0.8j * order), n=32) * 16
    late = torch.tanh(late)
    data = split(early[:, None], late[:, None], seed)
    model = nn.Sequential(
        nn.Conv1d(1, 16, 1), Spectral(16, 8), nn.GELU(), Spectral(16, 8), nn.GELU(), nn.Conv1d(16, 1, 1)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    return regression(data, seed, model, optimizer, 300, size=32)


class NeuralODE(nn.Module):
    """A vector field, followed by the classical Runge-Kutta method."""

    def __init__(self, dimensions: int, step: float) -> None:
        super().__init__()
        self.field, self.step = perceptron(dimensions, 48, dimensions, activation=nn.Tanh), step

    def advance(self, state: Tensor) -> Tensor:
        """One step of the classical method."""
        one = self.field(state)
        two = self.field(state + self.step / 2 * one)
        three = self.field(state + self.step / 2 * two)
        four = self.field(state + self.step * three)
        return state + self.step / 6 * (one + 2 * two + 2 * three + four)

    def forward(self, state: Tensor, count: int = 8) -> Tensor:
        """The states that follow, (batch, count, dimensions)."""
        path = []
        for _ in range(count):
            state = self.advance(state)
            path.append(state)
        return torch.stack(path, 1)


@setup
def pendulum_neural_ode(seed: int) -> Setup:
    """A damped pendulum's field from short pieces of its motion."""
    generator = torch.Generator().manual_seed(seed)
    state = torch.stack([5 * torch.rand(400, generator=generator) - 2.5, torch.randn(400, generator=generator)], 1)
    start, path = state, []
    for now in range(160):
        angle, speed = state.unbind(1)
        speed = speed + 0.01 * (-2 * torch.sin(angle) - 0.2 * speed)
        state = torch.stack([angle + 0.01 * speed, speed], 1)
        if now % 20 == 19:
            path.append(state)
    seen = torch.stack(path, 1) + 0.02 * torch.randn(400, 8, 2, generator=generator)
    model = NeuralODE(2, 0.2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    step = scheduled(F.mse_loss, CosineAnnealingLR(optimizer, T_max=250))
    return regression(split(start, seen, seed), seed, model, optimizer, 250, size=50, step=step)


class Hamiltonian(nn.Module):
    """An energy whose derivatives are the motion."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = perceptron(2, 48, 48, 1, activation=nn.Tanh)

    def forward(self, state: Tensor) -> Tensor:
        """The rates of change of place and momentum."""
        with torch.enable_grad():
            state = state.detach().requires_grad_()
            slope = torch.autograd.grad(self.energy(state).sum(), state, create_graph=self.training)[0]
        return torch.stack([slope[:, 1], -slope[:, 0]], 1)


@setup
def pendulum_hamiltonian(seed: int) -> Setup:
    """A Hamiltonian network of a pendulum, from measured rates of change."""
    generator = torch.Generator().manual_seed(seed)
    state = torch.rand(1500, 2, generator=generator) * 4 - 2
    rates = torch.stack([state[:, 1], -2 * torch.sin(state[:, 0])], 1)
    data = split(state, rates + 0.1 * torch.randn(1500, 2, generator=generator), seed)
    model = Hamiltonian()
    return regression(data, seed, model, torch.optim.Adam(model.parameters(), lr=3e-3), 400)


class Windows(IterableDataset):
    """Windows cut at random from the past of several series, as an iterable data set."""

    def __init__(self, series: Tensor, past: int, future: int, seed: int) -> None:
        super().__init__()
        self.series, self.past, self.future = series, past, future
        self.generator = torch.Generator().manual_seed(seed)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """What was known and what came after, for ever."""
        length = self.past + self.future
        while True:
            which = int(torch.randint(len(self.series), (1,), generator=self.generator))
            start = int(torch.randint(self.series.shape[1] - length + 1, (1,), generator=self.generator))
            window = self.series[which, start : start + length]
            yield window[: self.past], window[self.past :]


def _sales(seed: int) -> Tensor:
    """Twenty standardised series with a week, a slow wave and noise."""
    generator = torch.Generator().manual_seed(seed)
    day = torch.arange(400.0)
    phase, size = 7 * torch.rand(20, 1, generator=generator), 0.5 + torch.rand(20, 2, generator=generator)
    week = torch.sin(2 * math.pi * (day + phase) / 7) + 0.5 * torch.cos(4 * math.pi * (day + phase) / 7)
    slow = torch.sin(2 * math.pi * (day + 10 * phase) / 90)
    series = size[:, :1] * week + size[:, 1:] * slow + 0.2 * torch.randn(20, 400, generator=generator)
    return (series - series.mean(1, keepdim=True)) / series.std(1, keepdim=True)


def _forecast(seed: int, model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, step: object = None) -> Setup:
    """A week ahead from four, learned before day 300 and scored after it."""
    series = _sales(seed)
    later = series[:, 300:].unfold(1, 35, 5).reshape(-1, 35)
    return Setup(
        model=model,
        loader=DataLoader(Windows(series[:, :300], 28, 7, seed), batch_size=64),
        loss="mse",
        optimizer=optimizer,
        step=step,
        steps=steps,
        score=determination(later[:, :28], later[:, 28:]),
        trivial=0.0,
    )


class NBeats(nn.Module):
    """Doubly residual blocks, each with a backcast and a forecast."""

    def __init__(self, past: int, future: int, blocks: int = 3) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(past, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()) for _ in range(blocks)
        )
        self.backcasts = nn.ModuleList(nn.Linear(64, past) for _ in range(blocks - 1))
        self.forecasts = nn.ModuleList(nn.Linear(64, future) for _ in range(blocks))

    def forward(self, past: Tensor) -> Tensor:
        """The sum of the blocks' forecasts."""
        answer = 0.0
        for number, block in enumerate(self.blocks):
            hidden = block(past)
            answer = answer + self.forecasts[number](hidden)
            if number < len(self.backcasts):
                past = past - self.backcasts[number](hidden)
        return answer


@setup
def sales_nbeats(seed: int) -> Setup:
    """N-BEATS on windows from an iterable data set, with warm-up and then inverse square root decay."""
    model = NBeats(28, 7)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    scheduler = LambdaLR(optimizer, lambda now: min((now + 1) / 40, math.sqrt(40 / (now + 1))))
    return _forecast(seed, model, optimizer, 300, scheduled(F.mse_loss, scheduler, clip=1.0))


class TrendAndRest(nn.Module):
    """DLinear: a linear map for the moving average and one for what is left."""

    def __init__(self) -> None:
        super().__init__()
        self.smooth = nn.AvgPool1d(7, stride=1, padding=3, count_include_pad=False)
        self.trend, self.rest = nn.Linear(28, 7), nn.Linear(28, 7)

    def forward(self, past: Tensor) -> Tensor:
        """The coming week."""
        trend = self.smooth(past[:, None])[:, 0]
        return self.trend(trend) + self.rest(past - trend)


@setup
def sales_decomposed_linear(seed: int) -> Setup:
    """A linear forecast of trend and season apart."""
    model = TrendAndRest()
    return _forecast(seed, model, torch.optim.Adam(model.parameters(), lr=5e-3), 300)
