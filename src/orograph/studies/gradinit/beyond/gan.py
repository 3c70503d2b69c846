r"""A small GAN from two starts, each network initialised on its own loss with the other one fixed.

The losses are the non-saturating ones (Goodfellow et al. 2014), with D's answer as a logit:

.. math:: L_D = \mathrm{softplus}(-D(x)) + \mathrm{softplus}(D(G(z))), \qquad L_G = \mathrm{softplus}(-D(G(z)))

Measured is the Fréchet distance between Gaussians fitted to the pixels of test images and of as many generated ones,
:math:`|\mu - \nu|^2 + \mathrm{tr}(\Sigma + T - 2 (\Sigma T)^{1/2})`, of maps pooled to 8x8 at most. It is no measure of
how an image looks, and needs no other network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from orograph.basics.seeds import generator, isolated_randomness
from orograph.execute import TaskContext
from orograph.initialize import apply, gradinit
from orograph.results import Comparison, Cost, LearnedScales, Provenance, Series
from orograph.studies.gradinit.beyond.networks import LATENT, Decoder, Encoder
from orograph.studies.gradinit.beyond.plan import GRADINIT, KAIMING, LONGER
from orograph.studies.gradinit.starts import KAIMING as BASE
from orograph.studies.scaled_starts import chosen_scales, multiply
from orograph.studies.subject import load_data
from orograph.studies.tasks import Files, saved

QUANTITIES = ("Fréchet distance of pixels", "generator loss (nats)", "discriminator loss (nats)")
_BETAS = (0.5, 0.999)
_MOMENTS = 10  # at which it is measured
_SIDE = 8


@dataclass
class Pair:
    """Generator and discriminator, at the base initialisation drawn from ``seed``."""

    shape: tuple[int, int, int]
    seed: int

    def __post_init__(self) -> None:
        with isolated_randomness(self.seed):
            self.generator, self.discriminator = Decoder(self.shape), Encoder(self.shape, 1)
        for number, network in enumerate((self.generator, self.discriminator)):
            apply(network, BASE, seed=self.seed + number)

    def generator_loss(self, network: Any, batch: dict[str, Tensor]) -> Tensor:
        """How surely the discriminator finds the generator's images out."""
        return F.softplus(-self.discriminator(network(batch["noise"]))).mean()

    def discriminator_loss(self, network: Any, batch: dict[str, Tensor]) -> Tensor:
        """How badly it tells images from generated ones."""
        with torch.no_grad():
            made = self.generator(batch["noise"])
        return F.softplus(-network(batch["real"])).mean() + F.softplus(network(made)).mean()


class Batches:
    """An endless stream of ``{"real", "noise"}``; ``stream`` tells one from another."""

    def __init__(self, images: Tensor, size: int, seed: int, stream: str) -> None:
        self.images, self.size = images, min(size, len(images))
        self._order, self._noise = (generator(seed, stream, word) for word in ("order", "noise"))
        self._left = torch.empty(0, dtype=torch.int64)

    def __call__(self) -> dict[str, Tensor]:
        if len(self._left) < self.size:
            self._left = torch.randperm(len(self.images), generator=self._order)
        rows, self._left = self._left[: self.size], self._left[self.size :]
        noise = torch.randn(self.size, LATENT, generator=self._noise).to(self.images.device)
        return {"real": self.images[rows.to(self.images.device)], "noise": noise}


def train(context: TaskContext) -> Files:
    """Train from one start; output ``result``, a curve of each of QUANTITIES."""
    arguments = context.arguments
    data = load_data(arguments["data"], context.context)
    device, size, seed = arguments["device"], arguments["recipe"]["batch_size"], arguments["streams"]["order"]
    images, tested = (split.inputs.to(device) for split in (data.train, data.test))
    channels, height, width = data.input_shape
    pair = Pair((channels, height, width), arguments["streams"]["initial"])
    for network in (pair.generator, pair.discriminator):
        network.to(device)
    learned = [] if arguments["arm"] == KAIMING else _learn(pair, images, arguments)
    worth = float(np.mean([one.iterations_worth for one in learned])) if learned else 0.0
    if arguments["arm"] == GRADINIT:
        multiply(pair.generator, chosen_scales("learned", learned[0]))
        multiply(pair.discriminator, chosen_scales("learned", learned[1]))
    steps = max(round(arguments["epochs"] * len(images) / size), 1)
    rate = arguments["recipe"]["lr"]
    trainer = _Trainer(pair, rate)
    extra = max(round(worth), 1) if arguments["arm"] == LONGER else 0
    before, batches = Batches(images, size, seed, "before"), Batches(images, size, seed, "training")
    for _ in range(extra):
        trainer.step(before())
    noise = torch.randn(len(tested), LATENT, generator=generator(seed, "measuring")).to(device)
    rows = [(0.0, frechet(tested, pair.generator, noise), np.nan, np.nan)]
    moments = {round(steps * part / _MOMENTS) for part in range(1, _MOMENTS + 1)}
    for step in range(1, steps + 1):
        losses = trainer.step(batches())
        if step in moments:
            rows.append((step * size / len(images), frechet(tested, pair.generator, noise), *losses))
        context.progress(step, steps)
    columns = np.array(rows).T
    found = Comparison(
        across="epochs",
        quantities=QUANTITIES,
        series={arguments["arm"]: Series(columns[0], columns[1:])},
        provenance=Provenance(
            method="training",
            options={"arm": arguments["arm"], "iterations before": extra, "worth": worth, "lr": rate},
            seeds=arguments["streams"],
            device=device,
            citations=("goodfellow2014",),
            # A step passes noise through both networks twice, and images through one of them.
            cost=sum((one.provenance.cost for one in learned), start=Cost(*[3 * size * (steps + extra)] * 2)),
        ),
    )
    return saved(found, context)


def _learn(pair: Pair, images: Tensor, arguments: dict[str, Any]) -> list[LearnedScales]:
    """The scales of generator and discriminator, each learned against the other's base, which comes to no harm."""
    size, how = arguments["recipe"]["batch_size"], arguments["how"]
    draw = Batches(images, 3 * (size // 2), arguments["streams"]["order"], "initialisation")
    batches = [draw() for _ in range(how["iterations"])]
    shared: dict[str, Any] = {
        "optimizer": "adam", "lr": arguments["recipe"]["lr"], "batch_size": size, "controls": False,
        "seed": arguments["streams"]["order"], "dry_run": True, **how,
    }  # fmt: skip
    of_generator = gradinit(pair.generator, batches, loss=pair.generator_loss, **shared)
    return [of_generator, gradinit(pair.discriminator, batches, loss=pair.discriminator_loss, **shared)]


class _Trainer:
    """One step of the discriminator, then one of the generator, by Adam."""

    def __init__(self, pair: Pair, lr: float) -> None:
        self.pair = pair
        self.by_generator, self.by_discriminator = (
            torch.optim.Adam(network.parameters(), lr=lr, betas=_BETAS)
            for network in (pair.generator, pair.discriminator)
        )

    def step(self, batch: dict[str, Tensor]) -> tuple[float, float]:
        """The losses of the generator and of the discriminator, each before its step."""
        pair, found = self.pair, []
        for optimizer, loss_of, network in (
            (self.by_discriminator, pair.discriminator_loss, pair.discriminator),
            (self.by_generator, pair.generator_loss, pair.generator),
        ):
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(network, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            found.append(float(loss.detach()))
        return found[1], found[0]


@torch.no_grad()
def frechet(images: Tensor, network: nn.Module, noise: Tensor) -> float:
    """Between ``images`` and what ``network`` makes of ``noise``."""
    return frechet_distance(*(_pixels(pictures) for pictures in (images, network(noise))))


def frechet_distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Between Gaussians of the means and covariances of two sets of vectors (n, d) and (m, d)."""
    means = [found.mean(0) for found in (one, other)]
    first, second = (np.atleast_2d(np.cov(found, rowvar=False)) for found in (one, other))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    crossed = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second @ root), 0, None)).sum()
    return float(np.square(means[0] - means[1]).sum() + np.trace(first) + np.trace(second) - 2 * crossed)


def _pixels(images: Tensor) -> NDArray[np.float64]:
    small = images if max(images.shape[2:]) <= _SIDE else F.adaptive_avg_pool2d(images, _SIDE)
    return np.asarray(small.flatten(1).double().cpu().numpy())
