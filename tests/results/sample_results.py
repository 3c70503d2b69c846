"""Synthetic results that look like real ones: a smooth landscape with three summits, and everything measured on it."""

from __future__ import annotations

import numpy as np
from sample_laws import evaluation, law, memory_split, power_law, predictions  # noqa: F401  all samples in one place
from sample_paths import alignment, path, polyline, profile, routes, wall  # noqa: F401
from sample_provenance import PROVENANCE

from orograph.results import (
    Anchor,
    Barrier,
    Checkpoint,
    Claim,
    Distances,
    Line,
    Panel,
    ProjectedPath,
    Run,
    Section,
    StudyResult,
    Surface,
    Table,
    Trajectory,
    random_walk_shares,
)


def hills(x, y, summits, width=0.28, floor=0.1, top=0.93):
    """Accuracy of a plain at ``floor`` with a hill at each summit."""
    rise = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * width**2)) for a, b in summits)
    return floor + (top - floor) * np.tanh(rise) / np.tanh(1.0)


def as_loss(accuracy):
    """A loss that falls where the accuracy rises, between about 0.2 and 5 nats."""
    return 0.12 + 4.6 * (1 - accuracy) ** 1.4


def surface(*, resolution=41, frame="oblique", names=("A", "B", "C"), labels=True, paths=True, **changes):
    axis = np.linspace(-0.5, 1.5, resolution)
    x, y = np.meshgrid(axis, axis)
    places = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]
    value = hills(x, y, places)
    loss = as_loss(value)
    own = [float(hills(np.array(a), np.array(b), places)) for a, b in places]
    anchors = tuple(
        Anchor(name, place, float(as_loss(v)), float(as_loss(v)) * 1.02, v, v - 0.002)
        for name, place, v in zip(names, places, own, strict=False)
    )
    walks = []
    for k, (a, b) in enumerate(places[: len(names)]):
        t = np.linspace(0, 1, 7)[:, None]
        start = np.array([0.62 + 0.1 * k, 0.7 - 0.05 * k])
        coordinates = start * (1 - t) + np.array([a, b]) * t + 0.06 * np.sin(3 * np.pi * t) * np.array([1, -1])
        walks.append(
            ProjectedPath(names[k], np.linspace(0, 30, 7), coordinates, 40 * (1 - t[:, 0]), 2.3 * np.exp(-3 * t[:, 0]))
        )
    shape = loss.shape
    fields = {
        "provenance": PROVENANCE,
        "alpha": axis,
        "beta": axis.copy(),
        "loss": loss,
        "loss_se": np.zeros(shape),
        "accuracy": value if labels else None,
        "accuracy_se": np.zeros(shape) if labels else None,
        "n_examples": np.full(shape, 500),
        "computed": np.ones(shape, dtype=bool),
        "norm_alpha": 43.08,
        "norm_beta": 42.74,
        "cosine": 0.497,
        "frame": frame,
        "normalization": "none",
        "anchors": anchors,
        "batchnorm": "recalibrate",
        "precision": "float32",
        "tolerance": 0.0,
        "paths": tuple(walks) if paths else (),
    }
    return Surface(**{**fields, **changes})


def orthonormal(resolution=41):
    """The same country in true lengths."""
    x = np.linspace(-20, 64, resolution)
    y = np.linspace(-18, 56, resolution)
    places = [(0.0, 0.0), (43.1, 0.0), (21.3, 37.1)]
    xs, ys = np.meshgrid(x, y)
    value = hills(xs, ys, places, width=10.5)
    anchors = tuple(
        Anchor(name, place, 0.31, 0.32, float(hills(np.array(place[0]), np.array(place[1]), places, width=10.5)), 0.91)
        for name, place in zip("ABC", places, strict=True)
    )
    return surface(
        resolution=resolution,
        paths=False,
        frame="orthonormal",
        alpha=x,
        beta=y,
        loss=as_loss(value),
        accuracy=value,
        anchors=anchors,
        norm_alpha=1.0,
        norm_beta=1.0,
        cosine=0.0,
    )


def neighbourhood(resolution=31):
    """A filter-normalised basin with four cells that overflowed and three rows not computed yet."""
    axis = np.linspace(-1, 1, resolution)
    x, y = np.meshgrid(axis, axis)
    loss = 0.08 * np.exp(4.6 * (x**2 + 0.6 * y**2 + 0.3 * x * y)) + 0.02 * np.cos(5 * x) * np.sin(4 * y) + 0.03
    loss[-5:-3, -4:-2] = [[np.nan, np.inf], [np.nan, np.nan]]
    computed = np.ones(loss.shape, dtype=bool)
    computed[:3, :] = False
    return surface(
        resolution=resolution,
        paths=False,
        frame="directions",
        normalization="filter",
        alpha=axis,
        beta=axis.copy(),
        loss=loss,
        loss_se=np.full(loss.shape, 0.004),
        accuracy=None,
        accuracy_se=None,
        computed=computed,
        anchors=(Anchor("resnet20 after 30 epochs", (0.0, 0.0), 0.11, 0.112),),
        norm_alpha=18.2,
        norm_beta=18.2,
        cosine=0.003,
    )


def line(name="B", height=1.9, *, points=61, low=-1.0, high=2.0, resolved=True, **changes):
    t = np.linspace(low, high, points)
    loss = 0.3 + height * np.exp(-((t - 0.47) ** 2) / 0.05) + 0.9 * np.clip(np.abs(t - 0.5) - 0.5, 0, None) ** 1.5
    accuracy = np.clip(0.93 - 0.34 * (loss - 0.3), 0.1, 1)
    barrier = Barrier(height, 0.471, 0.3 + height, 0.3, 0.3, 0.031, resolved, height * 0.99, 0.45, 500, 0.55, 0.47, 9)
    fields = {
        "provenance": PROVENANCE,
        "alphas": t,
        "loss": loss,
        "loss_se": np.full(points, 0.02 + 0.04 * height),
        "accuracy": accuracy,
        "accuracy_se": np.full(points, 0.01),
        "n_examples": np.full(points, 500),
        "computed": np.ones(points, dtype=bool),
        "length": 42.9,
        "names": ("A", name),
        "anchors": (Anchor("A", (0.0,), 0.3, 0.3, 0.93, 0.93), Anchor(name, (1.0,), 0.3, 0.31, 0.93, 0.929)),
        "frame": "models",
        "normalization": "none",
        "batchnorm": "recalibrate",
        "precision": "float32",
        "tolerance": 0.0,
        "barrier": barrier,
    }
    return Line(**{**fields, **changes})


def distances(names=("A", "B", "C", "D"), mean=42.8, seed=0):
    n = len(names)
    rng = np.random.default_rng(seed)
    upper = np.triu(mean + rng.normal(0, 0.2, (n, n)), 1)
    matrix = upper + upper.T
    cosine = np.eye(n) + np.triu(rng.normal(0.06, 0.01, (n, n)), 1)
    cosine = np.triu(cosine) + np.triu(cosine, 1).T
    return Distances(
        provenance=PROVENANCE,
        names=tuple(names),
        matrix=matrix,
        cosine=cosine,
        norms=30 + rng.random(n),
        tensors=("conv.weight", "norm.weight"),
        squared_by_tensor=np.stack([0.9 * matrix**2, 0.1 * matrix**2]),
        norm_layer_share=np.full((n, n), 0.1),
        parameters=272_474,
    )


def trajectory(with_surface=True):
    t = np.linspace(0, 1, 16)
    way = np.stack([-52 * (1 - t) ** 1.7, 13 * np.sin(np.pi * t) * (1 - 0.3 * t)], axis=1)
    x, y = np.linspace(-58, 12, 33), np.linspace(-14, 26, 25)
    xs, ys = np.meshgrid(x, y)
    loss = 0.05 + 0.0009 * (xs + 2) ** 2 + 0.0026 * (ys - 0.12 * np.abs(xs)) ** 2
    plane = surface(
        resolution=33,
        paths=False,
        frame="orthonormal",
        alpha=x,
        beta=y,
        loss=loss,
        loss_se=np.zeros(loss.shape),
        accuracy=None,
        accuracy_se=None,
        n_examples=np.full(loss.shape, 500),
        computed=np.ones(loss.shape, dtype=bool),
        anchors=(),
        norm_alpha=1.0,
        norm_beta=1.0,
        cosine=0.0,
    )
    return Trajectory(
        provenance=PROVENANCE,
        name="A",
        epochs=np.round(30 * t, 1),
        steps=np.arange(16) * 22,
        coordinates=way,
        off_plane=6 * np.sin(np.pi * t),
        loss=2.3 * np.exp(-4 * t) + 0.05,
        loss_projected=2.1 * np.exp(-3.5 * t) + 0.06,
        accuracy=0.1 + 0.85 * (1 - np.exp(-4 * t)),
        explained=np.array([0.78, 0.11, 0.05]),
        explained_random_walk=random_walk_shares(3),
        reference="final",
        even=True,
        batchnorm="recalibrate",
        precision="float32",
        surface=plane if with_surface else None,
    )


def run(name="A", epochs=30):
    e = np.arange(epochs + 1.0)
    train = 2.3 * np.exp(-e / 6) + 0.02
    train[0] = np.nan
    learned = 1 - np.exp(-e / 5)
    train_accuracy = 0.1 + 0.895 * learned
    train_accuracy[0] = np.nan
    return Run(
        provenance=PROVENANCE,
        name=name,
        recipe={"epochs": epochs, "lr": 0.1, "schedule": "cosine"},
        seeds={"initial": 0, "order": 1},
        epochs=e,
        steps=(e * 11).astype(np.int64),
        train_loss=train,
        train_accuracy=train_accuracy,
        test_loss=2.3 * np.exp(-e / 5) + 0.14 + 0.001 * e,
        test_accuracy=0.1 + 0.83 * learned,
        learning_rate=0.05 * (1 + np.cos(np.pi * e / epochs)),
        gradient_norm=np.exp(-e / 12),
        weight_norm=31 - 0.1 * e,
        distance_from_start=53 * learned,
        checkpoints=(Checkpoint(0.0, 0, "A-0.safetensors", 0.1), Checkpoint(30.0, 330, None, 0.93)),
    )


def study(names=("A", "B", "C", "D"), title="Different initial values"):
    """A whole study with mixed verdicts; ``names`` and ``title`` may be hostile."""
    a, b, c, d = names
    claims = (
        Claim(
            "altitude",
            "Networks trained from different initial values reach the same altitude.",
            "test accuracy 0.914 to 0.919 (8 ResNet-18, CIFAR-10)",
            0.0061,
            (0.0032, 0.0094),
            "spread of test accuracy",
            "reproduced if the 95 % interval of the spread lies below 0.02",
            "reproduced",
        ),
        Claim(
            "distance",
            "At the end of training they are still far apart, at nearly equal distances.",
            "42.6 to 43.2 (coefficient of variation 0.4 %)",
            42.81,
            (42.74, 42.89),
            "weight-space length",
            "reproduced if the coefficient of variation is below 2 % and the smallest distance exceeds half the mean",
            "reproduced",
        ),
        Claim(
            "mountains",
            "Each run climbs its own mountain: a barrier lies between any two.",
            "accuracy falls to about 0.1 halfway",
            1.904,
            (1.771, 2.05),
            "nats",
            "reproduced if every barrier exceeds two standard errors and their mean exceeds 0.5 nats",
            "reproduced",
        ),
        Claim(
            "shared",
            "Runs that start from a common point at accuracy 0.339 stay on one mountain.",
            "no valley after 0.2 and 1 epoch",
            0.42,
            (0.11, 0.73),
            "nats",
            "reproduced if the interval of the mean barrier lies below 0.1 nats, not reproduced if it lies above",
            "not reproduced",
            "The common start on digits is earlier in training than the one on CIFAR-10.",
        ),
        Claim(
            "abyss",
            "Training for the lowest accuracy finds separate abysses as well.",
            "accuracy below 0.01 at the ends",
            None,
            None,
            "",
            "reproduced if every barrier of the inverted loss exceeds two standard errors",
            "inconclusive",
            "Not measured: run with --abyss to train the inverted networks (about 4 minutes).",
        ),
    )
    runs = (
        (a, 0.9312, 31.2, 53.28, 0.0),
        (b, 0.9334, 30.9, 53.27, 1.904),
        (c, 0.9298, 31.1, 53.29, 2.231),
        (d, 0.9305, float("nan"), 52.96, None),
    )
    sections = (
        Section(
            "How far apart are the networks?",
            "Four networks differ only in their initial values and in the order of the data.\n\n"
            "All of them reach nearly the same accuracy, and every pair ends up at nearly the same distance.",
            (
                Panel("distances-end", "Distances at the end of training", "Each cell is one pair of networks."),
                Panel("run-a", f"Training of {a}", "The curves flatten where the learning rate has decayed."),
            ),
            (
                Table(
                    "The four runs",
                    ("run", "test accuracy", "norm", "distance from start", f"barrier to {a}"),
                    runs,
                    "One row for each run.",
                ),
            ),
        ),
        Section(
            "Is there a valley between them?",
            "Along the straight line between two solutions the loss rises well above both ends.",
            (
                Panel("line-ab", f"From {a} to {b}", "A hump between 0 and 1 is a barrier: two separate mountains."),
                Panel("line-ac", f"From {a} to {c}", "Here the hump is lower, yet beyond its standard error."),
            ),
        ),
        Section(
            "The country around three solutions",
            "The plane through three solutions, in the published frame and in true lengths.",
            (
                Panel("plane", "Plane through three networks", "Three bright islands in a dark plain are separate."),
                Panel("plane-true", "The same plane in true lengths", "Equal aspect: distances are right here."),
                Panel("neighbourhood", "Around one solution", "A round bowl means no direction is much steeper."),
                Panel("trajectory", f"The path of {a}", "Shares near those of a random walk would mean little."),
                Panel("forgotten", "A figure that was not kept", "Nothing to read."),
            ),
        ),
    )
    return StudyResult(
        provenance=PROVENANCE,
        study=title,
        headline="Four runs climbed four separate mountains of the same height; a common start did not keep them "
        "together on this data.",
        claims=claims,
        sections=sections,
        results={
            "distances-end": distances(names),
            "run-a": run(a),
            "line-ab": line(b),
            "line-ac": line(c, 0.7),
            "plane": surface(names=names[:3]),
            "plane-true": orthonormal(),
            "neighbourhood": neighbourhood(),
            "trajectory": trajectory(),
        },
        notes=("Digits are 8 x 8 images; distances are not comparable with those of CIFAR-10 networks.",),
    )


# Each newer kind of result with a name that would be markup, a template or a formula, wherever users choose names.
HOSTILE = {
    "path": lambda name: path((name, "B")),
    "routes": lambda name: routes((name, "B"), (name, "other way")),
    "polyline": lambda name: polyline((name, "B", name + "C")),
    "alignment": lambda name: alignment((name, "B")),
    "alignment by groups": lambda name: alignment((name, "B"), (name, name + "2", "fc.weight"), barriers={}),
    "predictions": lambda name: predictions(6, names=[name, *"bcdef"], broken=[3], collapsed=[0], part=name),
    "evaluation": lambda name: evaluation((name, "b", "c"), part=name),
    "power law": lambda name: power_law((name,), name),
    "memory split": lambda name: memory_split((name,)),
}
