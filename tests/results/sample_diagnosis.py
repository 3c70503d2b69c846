"""A diagnosis made by hand, with everything that its page and its figures show."""

from __future__ import annotations

import numpy as np

from orograph.results import (
    Cost,
    Diagnosis,
    Evidence,
    Finding,
    Histograms,
    LayerReading,
    ParameterReading,
    Provenance,
    RateRange,
    Signal,
    StageRecord,
    Trial,
)

EDGES = np.arange(-40, 21) * np.log10(2.0)
NAN = float("nan")


def histograms(layers: int, steps: int, seed: int = 0, spread: int = 30, name: str = "layer") -> Histograms:
    """Random counts in ``spread`` neighbouring bins, and some entries that are zero or not finite."""
    bins = len(EDGES) - 1
    random = np.random.default_rng(seed)
    counts = np.zeros((steps, layers, bins), dtype=np.int64)
    for k in range(layers):
        first = int(random.integers(bins - spread))
        counts[:, k, first : first + spread] = random.integers(1, 50, (steps, spread))
    special = np.zeros((steps, layers, 4), dtype=np.int64)
    special[:, :, 0] = random.integers(10, size=(steps, layers))
    special[-1, 0, 1] = 3
    return Histograms(
        names=tuple(f"{name}{k}" for k in range(layers)),
        steps=np.arange(steps) * 10,
        edges=EDGES,
        counts=counts,
        special=special,
        provenance=Provenance(),
    )


def rates(*, lr: float = 0.05, explodes: bool = True, orders: int = 2) -> RateRange:
    """Losses that stay at 2, fall to 0.5 and rise; the last rows end in numbers that would flatten all others."""
    each = np.geomspace(1e-7, 10, 80)
    losses = np.full((orders, 80), 2.0)
    losses[:, 50:60] = np.linspace(2, 0.5, 10)
    losses[:, 60:] = np.geomspace(0.5, 1e6 if explodes else 1.9, 20)
    losses[:, 75:] = NAN
    return RateRange(
        rates=each, losses=losses, lr=lr, valley=float(each[56]), steepest=float(each[54]), tenth=float(each[59] / 10),
        provenance=Provenance(),
    )  # fmt: skip


def finding(name: str = "body.0", **changes: object) -> Finding:
    """A finding with numbers, of which some have no threshold; ``name`` stands wherever the user's words may."""
    told: dict[str, object] = {
        "id": "O01",
        "title": f"the learning rate is too high for {name}",
        "severity": "critical",
        "confidence": 0.9,
        "cause": f"steps in {name} undo each other",
        "prescription": f"lower the rate of {name}",
        "where": name,
        "code": f"lr=0.067  # {name}",
        "evidence": (
            Evidence(f"change of {name} in a step", 1797.0, 0.1, "1e-3 to 2e-2"),
            Evidence("largest eigenvalue times the rate", 42.92),
        ),
        "trial": Trial("verified", "quality of the answers (1 is perfect)", -1.0, 0.983, 60),
        "limits": f"{name} is meant to be so",
        **changes,
    }
    return Finding(**told)  # type: ignore[arg-type]


def diagnosis(name: str = "body.0", **changes: object) -> Diagnosis:
    """Of a run that explodes in its fourth step."""
    told: dict[str, object] = {
        "findings": (finding(name),),
        "verdict": "does not train",
        "stages": (StageRecord("one batch", 0.02), StageRecord("proof", NAN, "no time")),
        "loss": np.array([1.4, 30.0, 1e9, NAN]),
        "layers": (LayerReading(name, "Linear", 0.1, 0.6, 0.6, 2.0, 0.0, 0.0, 0.0, 0.9, 0, 1e-3),),
        "parameters": (ParameterReading(f"{name}.bias", 64, 0.9, 0.1, NAN, 0.01, 0.0, 0, 1797.0),),
        "activations": histograms(2, 3, name=name),
        "gradients": histograms(2, 3, seed=1, name=name),
        "signals": (Signal("gradient noise scale, in batches", 1.2, "0.1 to 10", name),),
        "rates": rates(),
        "provenance": Provenance(
            method="doctor",
            model="SmallNet",
            data="digits",
            options={"loss": "cross_entropy", "optimizer": "SGD", "lr": 50.0, "steps": 60, "steps done": 4},
            cost=Cost(cpu_seconds=1.5, wall_seconds=1.6),
        ),
        **changes,
    }
    return Diagnosis(**told)  # type: ignore[arg-type]
