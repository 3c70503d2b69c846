"""What an iteration of GradInit costs in plain training iterations, and how exact its derivatives are.

    python benchmarks/initialization.py            # the official code: 2.15 plain iterations

Plain iterations (forward, backward, SGD step on a batch of the same size) are timed between those of GradInit, in one
process, by processor time. ``objective`` has no constraint steps; ``as published`` has gamma = 1.
"""

from __future__ import annotations

import argparse

import torch

import orograph as og
from common import machine, middle
from orograph.initialize import gradinit, metainit
from orograph.initialize.lookahead import Lookahead
from orograph.initialize.probing import probing, twice_differentiable
from orograph.initialize.quotient import quotient, quotient_by_scale
from orograph.initialize.scales import ScaledNetwork
from orograph.initialize.written_norms import written_norms
from orograph.objective.criterion import Criterion

NETWORKS = ("resnet20", "resnet20-nobn", "vgg-a", "vgg-a-bn")


def data(examples: int) -> og.data.Data:
    """Random images of CIFAR's size: what is in them does not matter here."""
    random = torch.Generator().manual_seed(0)
    images, labels = (
        torch.randn(examples, 3, 32, 32, generator=random),
        torch.randint(10, (examples,), generator=random),
    )
    return og.data.Data.from_tensors((images, labels), (images[:10], torch.arange(10)))


def costs(rounds: int, iterations: int, batch: int) -> None:
    """Ratios for each network."""
    source = data(8 * batch)
    for name in NETWORKS:
        options = {"width": 0.25} if name.startswith("vgg") else {}
        for what, gamma in (("objective", 1e9), ("as published", 1.0)):
            ratios, shares = [], []
            for round_ in range(rounds):
                model = og.models.build(name, source, seed=round_, **options)
                found = gradinit(
                    model, source, iterations=iterations, batch_size=batch, gamma=gamma, controls=False,
                    measure=iterations, seed=round_,
                )  # fmt: skip
                ratios.append(found.measured_worth / iterations)
                shares.append(found.constraint_share)
            share = sum(shares) / len(shares)
            print(f"gradinit {name}, {what}: {middle(ratios)} plain iterations each, {share:.0%} constraint steps")
    model = og.models.build("resnet20-nobn", source, seed=0)
    found = metainit(model, source, variant="gradinit", iterations=iterations, batch_size=batch, measure=iterations)
    print(f"metainit resnet20-nobn: {found.measured_worth / iterations:.2f} plain iterations each")


def exactness() -> None:
    """Largest relative difference between a derivative by the scales and central differences, in float64."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.Softplus(),
        torch.nn.Flatten(),
        torch.nn.Linear(144, 5),
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    one, two = ((torch.randn(12, 3, 8, 8).double(), torch.randint(5, (12,))) for _ in range(2))
    network = ScaledNetwork(model, Criterion("cross_entropy", metrics=()))
    scales = [0.8 + 0.05 * k for k in range(len(network.scaled))]
    ahead = Lookahead(network, "sgd", 0.01, normalise=False)

    def differences(value: object) -> list[float]:
        found = []
        for k in range(len(scales)):
            up, down = list(scales), list(scales)
            up[k] += 1e-5
            down[k] -= 1e-5
            found.append((value(up) - value(down)) / 2e-5)  # type: ignore[operator]
        return found

    def worst(got: list[float], expected: list[float]) -> float:
        return max(abs(a - b) for a, b in zip(got, expected, strict=True)) / max(map(abs, expected))

    with probing(model), twice_differentiable(model), written_norms():
        slope = ahead.slope(scales, one, graph=True)
        step = [g.detach() for g in slope.gradients]

        def after(values: list[float]) -> float:
            with torch.no_grad():
                return float(network.loss([t - 0.01 * s for t, s in zip(network.at(values), step, strict=True)], two))

        print(f"objective step: {worst(ahead.ahead(slope, two)[1], differences(after)):.1e} (bound 1e-7)")
        norms = differences(lambda values: ahead.slope(values, one).length)
        print(f"constraint step: {worst(ahead.constraint(slope), norms):.1e} (bound 1e-7)")
        _, got, _, _ = quotient_by_scale(network, scales, one, 1e-2)
        values = differences(lambda values: float(quotient(network, network.at(values), one, 1e-2)[0].detach()))
        print(f"metainit: {worst(got, values):.1e} (bound 1e-7)")


def main() -> None:
    """Print all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=12)
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    print(machine())
    exactness()
    costs(options.rounds, options.iterations, options.batch)


if __name__ == "__main__":
    main()
