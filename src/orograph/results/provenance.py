"""Where a number comes from: options, seeds, data, precision, versions and cost."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from orograph._version import __version__


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python, orograph and the named packages; packages that are not installed are left out."""
    found = {"python": platform.python_version(), "orograph": __version__}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class Cost:
    """What a result cost. Examples are counted once for each pass of one example through the network."""

    forward: int = 0
    backward: int = 0
    recalibration: int = 0  # forward passes in which batch-norm statistics were estimated
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.forward + other.forward,
            self.backward + other.backward,
            self.recalibration + other.recalibration,
            self.cpu_seconds + other.cpu_seconds,
            self.wall_seconds + other.wall_seconds,
        )

    def __sub__(self, other: Cost) -> Cost:
        return Cost(
            self.forward - other.forward,
            self.backward - other.backward,
            self.recalibration - other.recalibration,
            self.cpu_seconds - other.cpu_seconds,
            self.wall_seconds - other.wall_seconds,
        )


@dataclass(frozen=True)
class Provenance:
    """Everything needed to repeat a measurement, and what it cost."""

    method: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    seeds: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    data: str = ""
    split: str = ""
    fingerprint: str = ""
    precision: str = "float32"
    batchnorm: dict[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    threads: int = 0
    citations: tuple[str, ...] = ()
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    versions: dict[str, str] = field(default_factory=lambda: versions("torch", "numpy"))
    cost: Cost = Cost()

    def loss_label(self, scale: str = "") -> str:
        """The title of a loss axis, ``loss (nats, scale)``; nats only where the loss is minus a log-probability."""
        unit = "nats" if self.options.get("loss", "cross_entropy") in ("cross_entropy", "abyss") else ""
        inside = ", ".join(filter(None, (unit, scale)))
        return f"loss ({inside})" if inside else "loss"

    def with_cost(self, cost: Cost) -> Provenance:
        """The same record with another cost."""
        return replace(self, cost=cost)
