"""Training a curve against plain training, a path's profile against a plain loop, and alignment: time, reach, proof."""

import argparse
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import orograph as og
from common import interleaved, machine, middle, pictures, ratio, trained_looking
from orograph.connect import Curve, align, find_groups
from orograph.connect.profile import Ground, measure_profile
from orograph.connect.training import train_curve
from orograph.data import Split
from orograph.train import Recipe, fit
from orograph.weights import Weights


def deep_mlp(width, layers=12):
    """Twelve linear layers, each with LayerNorm, on vectors: little work for each coordinate."""
    blocks = [part for _ in range(layers) for part in (nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU())]
    return nn.Sequential(*blocks, nn.Linear(width, 10))


def networks():
    images, labels = pictures(1024)
    vectors = torch.randn(16384, 256, generator=torch.Generator().manual_seed(0))
    many = torch.randint(0, 10, (16384,), generator=torch.Generator().manual_seed(1))
    sizes = {"classes": 10, "channels": 3, "image_size": 32}
    return {
        "CNN (ResNet-20, no batch norm)": (og.models.build("resnet20-nobn", **sizes, seed=0), Split(images, labels)),
        "CNN with batch norm (ResNet-20)": (og.models.build("resnet20", **sizes, seed=0), Split(images, labels)),
        "12-layer LayerNorm MLP, 128 wide": (deep_mlp(128), Split(vectors[:, :128], many)),
        "12-layer LayerNorm MLP, 256 wide": (deep_mlp(256), Split(vectors, many)),
    }


def steps(rounds):
    """A training step on a curve against one of the network alone; the same loop, batches and optimiser."""
    print(f"curve-training step / plain training step, batch 128, CPU time, n = {rounds}")
    for name, (model, examples) in networks().items():
        a = Weights.of(model)
        b = a.with_vector(a.vector + 0.1 * torch.randn(len(a), generator=torch.Generator().manual_seed(2)))
        curve = Curve.straight([a, b])
        recipe = Recipe(epochs=1, batch_size=128, lr=1e-3, schedule="constant", weight_decay=5e-4)

        def plain(model=model, examples=examples, recipe=recipe, a=a):
            fit(model, examples, recipe, seed=0, start=a, test=False)

        def curved(model=model, examples=examples, recipe=recipe, curve=curve):
            train_curve(model, curve, examples, recipe, seed=0)

        spent = interleaved({"curve": curved, "plain": plain}, rounds)
        print(f"  {name:34} {ratio(spent['curve'], spent['plain'])}")


def plain_profile(model, a, b, bend, train, test, statistics_on, ts):
    """What a careful script does: set the weights, re-estimate batch norm, pass over both data sets in float32."""
    for t in ts:
        point = a.with_vector((1 - t) ** 2 * a.vector + 2 * t * (1 - t) * bend.vector + t**2 * b.vector)
        point.put_into(model)
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        if norms:
            model.train()
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None
            with torch.no_grad():
                for batch in statistics_on.split(256):
                    model(batch)
        model.eval()
        with torch.no_grad():
            for images, labels in (train, test):
                for start in range(0, len(images), 256):
                    logits = model(images[start : start + 256])
                    F.cross_entropy(logits, labels[start : start + 256], reduction="sum").item()
                    (logits.argmax(1) != labels[start : start + 256]).sum().item()


def profiles(rounds, points, examples):
    """Loss and error on train and test at every point, batch norm re-estimated on the same 2,048 examples."""
    images, labels = pictures(2 * examples)
    train, test = (images[:examples], labels[:examples]), (images[examples:], labels[examples:])
    print(
        f"path at {points} points, {examples} train and as many test images; CPU time, plain loop / ours, n = {rounds}"
    )
    ts = np.linspace(0, 1, points)
    for name in ("resnet20", "resnet20-nobn"):
        model = trained_looking(name)
        a = Weights.of(model)
        others = [a.with_vector(a.vector + 0.01 * torch.randn(len(a))) for _ in range(2)]
        curve = Curve("bezier", (a, others[1], others[0]))
        ways = {"plain": lambda m=model, a=a, o=others: plain_profile(m, a, *o, train, test, train[0][:2048], ts)}
        for precision in ("float32", "bf16"):
            objective = og.Objective(model, Split(*test), calibration=Split(*train), precision=precision)
            ground = Ground.of(objective, Split(*train), a, 5e-4, pair=False)
            ground = Ground(ground.test, ground.train, ground.decay, None, False)  # the loop has no stale figures
            ways[precision] = lambda g=ground, c=curve: measure_profile(g, c, ts, barriers=False)
        spent = interleaved(ways, rounds)
        for precision in ("float32", "bf16"):
            print(f"  {name:14} {precision:8} {ratio(spent['plain'], spent[precision])}")


def alignments(rounds):
    """Tracing, proof, matching and the check of the result, wall and CPU; and how far the groups reach."""
    model, other = (
        trained_looking("resnet20"),
        og.models.build("resnet20", classes=10, channels=3, image_size=32, seed=7),
    )
    images, _ = pictures(8)
    a, b = Weights.of(model), Weights.of(other)
    align(model, a, b, example=images)
    wall, cpu = [], []
    for _ in range(rounds):
        began, spent = time.perf_counter(), time.process_time()
        align(model, a, b, example=images)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - spent)
    print(
        f"alignment of two ResNet-20s, with tracing and proof, n = {rounds}: wall {middle(wall)} s, CPU {middle(cpu)} s"
    )
    sizes = {"classes": 10, "channels": 3, "image_size": 32}
    tokens = torch.randint(0, 1000, (4, 32))
    reach = {
        "MLP": (og.models.build("mlp", **sizes), images),
        "VGG-16": (og.models.build("vgg-d", **sizes), images),
        "ResNet-20": (model, images),
        "transformer (6 layers, 256 wide)": (Language(), tokens),
        "DenseNet-40": (og.models.build("densenet40", **sizes), images[:4]),
    }
    print(
        "share of the parameters in a group; largest change under a random permutation, of the largest output, float64"
    )
    for name, (network, example) in reach.items():
        weights = Weights.of(network)
        proof = find_groups(network, weights, example)
        print(f"  {name:34} {proof.groups.coverage(weights):.5f}   {proof.largest_change:.1e}")


class Language(nn.Module):
    """A pre-norm transformer with attention heads over a vocabulary of 1,000."""

    def __init__(self, width=256, heads=4, layers=6):
        super().__init__()
        self.tokens, self.places = nn.Embedding(1000, width), nn.Embedding(32, width)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, 1000)

    def forward(self, x):
        return self.head(self.layers(self.tokens(x) + self.places.weight[: x.shape[1]]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--points", type=int, default=61)
    parser.add_argument("--examples", type=int, default=1024)
    parser.add_argument("--part", choices=("steps", "profiles", "alignments"), action="append")
    options = parser.parse_args()
    parts = options.part or ["steps", "profiles", "alignments"]
    print(machine())
    if "steps" in parts:
        steps(options.rounds)
    if "alignments" in parts:
        alignments(options.rounds)
    if "profiles" in parts:
        profiles(max(options.rounds // 2, 1), options.points, options.examples)


if __name__ == "__main__":
    main()
