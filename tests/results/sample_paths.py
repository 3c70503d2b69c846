"""Synthetic paths: a bent way through a valley, straight lines over the mountain beside it, and an alignment."""

from __future__ import annotations

import numpy as np
from sample_provenance import PROVENANCE

from orograph.results import Alignment, Anchor, Barrier, FrozenAxis, Path, Polyline, Profile, Routes

REASON = "aten.view with a size of its own"


def wall(height, at=0.5, **changes):
    """A barrier of this height between two networks of train loss 0.02."""
    fields = {
        "height": height,
        "at": at,
        "loss_at": 0.02 + height,
        "loss_start": 0.02,
        "loss_end": 0.02,
        "se": 0.03 * height,
        "resolved": height > 0.01,
        "grid_height": height,
        "grid_at": at,
        "n_examples": 500,
    }
    return Barrier(**{**fields, **changes})


def profile(height=0.01, *, points=33, length=60.0, pair=False, humps=1, **changes):
    """Losses along a way with ``humps`` equal hills of this height in train loss."""
    t = np.linspace(0, 1, points)
    hill = np.abs(np.sin(np.pi * humps * t)) ** 1.5
    train = 0.02 + height * hill
    fields = {
        "t": t,
        "steps": np.full(points - 1, length / (points - 1)),
        "norm": 30 - 4 * hill,
        "train_loss": train,
        "train_regularized": train + 0.11,
        "test_loss": 0.24 + 1.1 * height * hill + 0.01 * np.cos(9 * t),
        "train_error": 0.3 * np.tanh(height) * hill,
        "test_error": 0.061 + 0.5 * np.tanh(height) * hill + 0.002 * np.cos(11 * t),
        "pair_loss": 0.22 + 0.02 * np.exp(-t / 0.1) + 0.3 * height * hill if pair else None,
        "pair_error": 0.052 + 0.009 * np.exp(-t / 0.1) + 0.1 * np.tanh(height) * hill if pair else None,
        "train_barrier": wall(height),
        "test_barrier": wall(1.1 * height),
    }
    return Profile(**{**fields, **changes})


def path(names=("A", "B"), **changes):
    """A Bezier curve with one bend, the line after alignment and the one before."""
    fields = {
        "provenance": PROVENANCE,
        "kind": "bezier",
        "bends": 1,
        "segments": 1,
        "names": names,
        "anchors": (Anchor(names[0], (0.0,), 0.02, 0.021), Anchor(names[1], (1.0,), 0.02, 0.02)),
        "profile": profile(0.02, pair=True, test_loss_stale=np.linspace(0.24, 1.9, 33)),
        "line": profile(1.4, length=43.0, pair=True),
        "naive_line": profile(2.2, length=52.0),
        "legs": (31.0, 30.5),
        "chord": 43.0,
        "decay": 5e-4,
        "control": np.arange(12.0).reshape(3, 4),
        "alignment": alignment(names),
        "batchnorm": "recalibrate",
        "goal": 0.05,
    }
    return Path(**{**fields, **changes})


def routes(names=("A", "B"), kinds=("bezier", "polychain of 3 bends"), **changes):
    """Two trained ways and the straight one."""
    found = {kind: profile(0.02 + 0.2 * index, length=60.0 + index) for index, kind in enumerate(kinds)}
    found["straight line"] = profile(2.2, length=43.0)
    return Routes(**{"provenance": PROVENANCE, "names": names, "profiles": found, **changes})


def polyline(names=("A", "B", "C", "D"), **changes):
    """Straight legs with a hill on each."""
    legs, points = len(names) - 1, 16
    fields = {
        "provenance": PROVENANCE,
        "names": tuple(names),
        "corners": np.arange(legs + 1) * points,
        "profile": profile(1.4, points=legs * points + 1, length=43.0 * legs, humps=legs),
        "train_barriers": tuple(wall(1.4) for _ in range(legs)),
        "test_barriers": tuple(wall(1.54) for _ in range(legs)),
        "batchnorm": "recalibrate",
    }
    return Polyline(**{**fields, **changes})


def alignment(names=("A", "B"), groups=("conv1.weight", "layer1.0.conv1.weight", "layer2.0.conv1.weight"), **changes):
    """What two networks gain from one order of their units; without ``barriers`` only the scores are drawn."""
    chance = np.random.default_rng(0)
    sizes = 16 * 2 ** np.arange(len(groups))
    barriers = {"naive": 2.2, "aligned": 1.4, "aligned, batch norm re-estimated": 0.9, "aligned, repaired": 0.71}
    fields = {
        "provenance": PROVENANCE,
        "names": names,
        "method": "activations",
        "groups": tuple(groups),
        "sizes": sizes,
        "moved": sizes - 1,
        "score_before": 0.02 * sizes,
        "score_after": 0.61 * sizes,
        "permutations": {group: chance.permutation(size) for group, size in zip(groups, sizes, strict=True)},
        "distance_before": 52.0,
        "distance_after": 43.0,
        "coverage": 0.993,
        "parameters": 272_474,
        "frozen": (FrozenAxis("fc.weight", 0, 10, REASON), FrozenAxis("fc.bias", 0, 10, REASON)),
        "largest_change": 3.1e-15,
        "unproven": groups[:1],
        "sweeps": 4,
        "attempts": 2,
        "examples": 512,
        "barriers": {name: wall(height) for name, height in barriers.items()},
    }
    return Alignment(**{**fields, **changes})
