"""Generative models: autoencoders, variational ones, flows, diffusion and autoregression.

A density is scored by how much of the gap it closes between the log-likelihood of a fitted Gaussian and one of a known
good model; a sampler by how well its samples match held-out data.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from sklearn import datasets
from torch import Tensor, nn

from .data import batches, determination, digits, explained, perceptron, predict, split
from .setup import Setup, setup


def moons(seed: int, count: int = 2000, noise: float = 0.08) -> tuple[Tensor, Tensor]:
    """Points on two moons, standardised, to train on and held out."""
    points = torch.tensor(datasets.make_moons(count, noise=noise, random_state=seed)[0], dtype=torch.float32)
    points = (points - points.mean(0)) / points.std(0)
    return points[: count * 3 // 4], points[count * 3 // 4 :]


def gaussian_bits(train: Tensor, held: Tensor) -> float:
    """The mean log-likelihood of held-out points under the Gaussian fitted to the others."""
    normal = torch.distributions.MultivariateNormal(train.mean(0), torch.cov(train.T))
    return normal.log_prob(held).mean().item()


def nearness(samples: Tensor, held: Tensor, train: Tensor) -> float:
    """How well samples match: one minus their energy distance over that of a Gaussian of the same moments."""

    def distance(one: Tensor, other: Tensor) -> float:
        cross = torch.cdist(one, other).mean()
        return (2 * cross - torch.cdist(one, one).mean() - torch.cdist(other, other).mean()).item()

    generator = torch.Generator().manual_seed(0)
    plain = train.mean(0) + train.std(0) * torch.randn(len(held), held.shape[1], generator=generator)
    return 1 - distance(samples, held) / distance(plain, held)


@setup
def digits_autoencoder(seed: int) -> Setup:
    """A deep autoencoder of digits with a bottleneck of twelve."""
    data = digits(seed, flat=True)
    model = nn.Sequential(perceptron(64, 96, 12), perceptron(12, 96, 64))

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        return F.mse_loss(model(batch[0]), batch[0])

    return Setup(
        model=model,
        loader=batches(data.x, seed=seed),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=2e-3),
        steps=500,
        score=determination(data.test_x, data.test_x),
        trivial=0.0,
    )


@setup
def digits_convolutional_autoencoder(seed: int) -> Setup:
    """A convolutional autoencoder with strides down and transposed convolutions up."""
    data = digits(seed)
    encoder = nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 24, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(96, 16)
    )
    decoder = nn.Sequential(
        nn.Linear(16, 96),
        nn.ReLU(),
        nn.Unflatten(1, (24, 2, 2)),
        nn.ConvTranspose2d(24, 16, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 1, 4, 2, 1),
    )
    model = nn.Sequential(encoder, decoder)
    return Setup(
        model=model,
        loader=batches(data.x, data.x, seed=seed),
        loss="mse",
        optimizer=torch.optim.Adam(model.parameters(), lr=3e-3),
        steps=400,
        score=determination(data.test_x, data.test_x),
        trivial=0.0,
    )


class Variational(nn.Module):
    """A variational autoencoder of black and white pictures."""

    def __init__(self, latent: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 96), nn.ReLU())
        self.mean, self.logvar = nn.Linear(96, latent), nn.Linear(96, latent)
        self.decoder = perceptron(latent, 96, 64)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The logits of the picture again, and the mean and log-variance of its code."""
        hidden = self.encoder(pictures)
        mean, logvar = self.mean(hidden), self.logvar(hidden)
        code = mean + torch.randn_like(mean) * (0.5 * logvar).exp() if self.training else mean
        return self.decoder(code), mean, logvar


@setup
def digits_vae(seed: int) -> Setup:
    """The variational autoencoder of the tutorials on pixels from 0 to 1: cross-entropy and divergence, summed."""
    pixels = torch.tensor(datasets.load_digits().data, dtype=torch.float32) / 16
    data = split(pixels, pixels, seed)

    def loss(outputs: tuple[Tensor, Tensor, Tensor], pictures: Tensor) -> Tensor:
        logits, mean, logvar = outputs
        likeness = F.binary_cross_entropy_with_logits(logits, pictures, reduction="sum")
        divergence = -0.5 * torch.sum(1 + logvar - mean.square() - logvar.exp())
        return (likeness + divergence) / len(pictures)

    model = Variational()
    return Setup(
        model=model,
        loader=batches(data.x, data.x, seed=seed),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=3e-3),
        steps=600,
        score=lambda model: explained(predict(model, data.test_x)[0].sigmoid(), data.test_x),
        trivial=0.0,
    )


class Quantised(nn.Module):
    """An autoencoder whose code is four entries of a learned book."""

    def __init__(self, entries: int = 32, width: int = 8, places: int = 4) -> None:
        super().__init__()
        self.places, self.width = places, width
        self.encoder = perceptron(64, 96, places * width)
        self.decoder = perceptron(places * width, 96, 64)
        self.book = nn.Parameter(torch.randn(entries, width) * 0.3)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The picture again, the codes, and the entries nearest to them."""
        codes = self.encoder(pictures).unflatten(1, (self.places, self.width))
        nearest = self.book[torch.cdist(codes, self.book[None]).argmin(2)]
        through = codes + (nearest - codes).detach()
        return self.decoder(through.flatten(1)), codes, nearest


@setup
def digits_vector_quantised(seed: int) -> Setup:
    """A vector-quantised autoencoder with the straight-through gradient, codebook and commitment losses."""
    data = digits(seed, flat=True)

    def loss(outputs: tuple[Tensor, Tensor, Tensor], pictures: Tensor) -> Tensor:
        pictures_again, codes, nearest = outputs
        likeness = F.mse_loss(pictures_again, pictures)
        return likeness + F.mse_loss(nearest, codes.detach()) + 0.25 * F.mse_loss(codes, nearest.detach())

    model = Quantised()
    return Setup(
        model=model,
        loader=batches(data.x, data.x, seed=seed),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=3e-3),
        steps=800,
        score=lambda model: explained(predict(model, data.test_x)[0], data.test_x),
        trivial=0.0,
        best=0.85,
    )


class Coupling(nn.Module):
    """An affine coupling flow of the plane; it returns codes and the logarithm of the volume change."""

    def __init__(self, layers: int = 8) -> None:
        super().__init__()
        self.nets = nn.ModuleList(perceptron(1, 32, 32, 2, activation=nn.Tanh) for _ in range(layers))

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """The codes of points, and the log-determinant."""
        volume = points.new_zeros(len(points))
        for net in self.nets:
            kept, moved = points[:, :1], points[:, 1:]
            scale, shift = net(kept).chunk(2, 1)
            scale = torch.tanh(scale) * 1.5
            points = torch.cat([moved * scale.exp() + shift, kept], 1)
            volume = volume + scale.squeeze(1)
        return points, volume

    def log_prob(self, points: Tensor) -> Tensor:
        """The log-density of points."""
        codes, volume = self(points)
        return volume - 0.5 * codes.square().sum(1) - math.log(2 * math.pi)


@setup
def moons_coupling_flow(seed: int) -> Setup:
    """A normalising flow of affine couplings on the moons by maximum likelihood."""
    train, held = moons(seed)

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        return -model.log_prob(batch[0]).mean()

    def score(model: nn.Module) -> float:
        with torch.no_grad():
            return model.log_prob(held).mean().item()

    model = Coupling()
    floor = gaussian_bits(train, held)
    return Setup(
        model=model,
        loader=batches(train, seed=seed, size=128),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=3e-3),
        steps=600,
        score=score,
        trivial=floor,
        best=floor + 1.3,
    )


class MixtureDensity(nn.Module):
    """A network that gives the weights, means and widths of a mixture of Gaussians."""

    def __init__(self, parts: int = 5) -> None:
        super().__init__()
        self.body = perceptron(1, 48, 48, 3 * parts, activation=nn.Tanh)

    def forward(self, x: Tensor) -> torch.distributions.Distribution:
        """The distribution of y given x."""
        weights, means, widths = self.body(x).chunk(3, 1)
        parts = torch.distributions.Normal(means, F.softplus(widths) + 1e-2)
        return torch.distributions.MixtureSameFamily(torch.distributions.Categorical(logits=weights), parts)


@setup
def mixture_density(seed: int) -> Setup:
    """A mixture density network on Bishop's inverse problem, whose outputs are a distribution."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.rand(2000, generator=generator)
    x = y + 0.3 * torch.sin(2 * math.pi * y) + 0.1 * (torch.rand(2000, generator=generator) - 0.5)
    x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    data = split(x[:, None], y, seed)
    floor = torch.distributions.Normal(data.y.mean(), data.y.std()).log_prob(data.test_y).mean().item()
    model = MixtureDensity()
    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed),
        loss=lambda density, targets: -density.log_prob(targets).mean(),
        optimizer=torch.optim.Adam(model.parameters(), lr=5e-3),
        steps=700,
        score=lambda model: predict(model, data.test_x).log_prob(data.test_y).mean().item(),
        trivial=floor,
        best=floor + 1.3,
    )


class Denoiser(nn.Module):
    """Predicts the noise in points at a given time."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rates", 2.0 ** torch.arange(6))
        self.body = perceptron(14, 96, 96, 2, activation=nn.SiLU)

    def forward(self, points: Tensor, time: Tensor) -> Tensor:
        """The answer for points at times from 0 to 1."""
        turns = time[:, None] * self.rates * math.pi / 2
        return self.body(torch.cat([points, turns.sin(), turns.cos()], 1))


class Noised(NamedTuple):
    """How much of the data and of the noise is in a point at each time."""

    signal: Tensor
    noise: Tensor


def cosine_noise(time: Tensor) -> Noised:
    """The cosine schedule."""
    return Noised(torch.cos(time * math.pi / 2)[:, None], torch.sin(time * math.pi / 2)[:, None])


@setup
def moons_diffusion(seed: int) -> Setup:
    """A denoising diffusion model of the moons that predicts the noise, sampled deterministically."""
    train, held = moons(seed)

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        points = batch[0]
        time, noise = torch.rand(len(points)) * 0.98 + 0.01, torch.randn_like(points)
        level = cosine_noise(time)
        return F.mse_loss(model(level.signal * points + level.noise * noise, time), noise)

    def score(model: nn.Module) -> float:
        points = torch.randn(500, 2, generator=torch.Generator().manual_seed(1))
        times = torch.linspace(0.99, 0.01, 50)
        for now, later in itertools.pairwise(times):
            level, following = cosine_noise(now.expand(500)), cosine_noise(later.expand(500))
            noise = predict(model, points, now.expand(500))
            clean = ((points - level.noise * noise) / level.signal).clamp(-2.5, 2.5)
            points = following.signal * clean + following.noise * noise
        return nearness(points, held, train)

    model = Denoiser()
    return Setup(
        model=model,
        loader=batches(train, seed=seed, size=256),
        loss=loss,
        optimizer=torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-3),
        steps=1500,
        score=score,
        trivial=0.0,
    )


@setup
def moons_flow_matching(seed: int) -> Setup:
    """Flow matching on straight paths, integrated by Euler's method for samples."""
    train, held = moons(seed)

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        points = batch[0]
        noise, time = torch.randn_like(points), torch.rand(len(points))
        mixed = time[:, None] * points + (1 - time[:, None]) * noise
        return (model(mixed, time) - (points - noise)).pow(2).mean()

    def score(model: nn.Module) -> float:
        points = torch.randn(500, 2, generator=torch.Generator().manual_seed(1))
        for moment in torch.arange(50) / 50:
            points = points + predict(model, points, moment.expand(500)) / 50
        return nearness(points, held, train)

    model = Denoiser()
    return Setup(
        model=model,
        loader=batches(train, seed=seed, size=128),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=3e-3),
        steps=1000,
        score=score,
        trivial=0.0,
    )


class Masked(nn.Module):
    """An autoregressive linear stack: every pixel depends only on those before it."""

    def __init__(self, pixels: int = 64, copies: int = 3) -> None:
        super().__init__()
        place = torch.arange(pixels)
        hidden = place.repeat(copies)
        self.first, self.second = nn.Linear(pixels, pixels * copies), nn.Linear(pixels * copies, pixels)
        self.register_buffer("enter", (hidden[:, None] >= place[None] + 1).float())
        self.register_buffer("leave", (place[:, None] >= hidden[None]).float())

    def forward(self, pixels: Tensor) -> Tensor:
        """The logit of each pixel from the pixels before it."""
        hidden = F.relu(F.linear(pixels, self.first.weight * self.enter, self.first.bias))
        return F.linear(hidden, self.second.weight * self.leave, self.second.bias)


@setup
def digits_masked_autoregression(seed: int) -> Setup:
    """A masked autoregressive network of binary digits, scored against pixels that are independent."""
    binary = (torch.tensor(datasets.load_digits().data) > 7).float()
    data = split(binary, binary, seed)
    rates = (data.x.mean(0) * 0.99 + 0.005).expand(len(data.test_x), -1)
    floor = -F.binary_cross_entropy(rates, data.test_x).item()
    model = Masked()
    return Setup(
        model=model,
        loader=batches(data.x, data.x, seed=seed),
        loss=nn.BCEWithLogitsLoss(),
        optimizer=torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01),
        steps=500,
        score=lambda model: -F.binary_cross_entropy_with_logits(predict(model, data.test_x), data.test_x).item(),
        trivial=floor,
        best=0.6 * floor,
    )


@setup
def moons_score_matching(seed: int) -> Setup:
    """A score network by denoising score matching at one noise level, scored by the noise it explains."""
    train, held = moons(seed)
    model = perceptron(2, 96, 96, 2, activation=nn.SiLU)
    spread = 0.3

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        noise = torch.randn_like(batch[0])
        return (spread * model(batch[0] + spread * noise) + noise).square().sum(1).mean()

    noise = torch.randn(held.shape, generator=torch.Generator().manual_seed(1))
    return Setup(
        model=model,
        loader=batches(train, seed=seed, size=128),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=3e-3),
        steps=1500,
        score=lambda model: explained(-spread * predict(model, held + spread * noise), noise),
        trivial=0.0,
        best=0.4,
    )
