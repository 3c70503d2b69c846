"""What the benchmarks share: the same work by several ways in turn, so that the machine's moods touch all of them."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import orograph as og


def machine() -> str:
    """Processor, threads and versions in one line."""
    name = platform.processor() or platform.machine()
    try:
        rows = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(row.split(":")[1].strip() for row in rows if row.startswith("model name"))
        amx = ", AMX" if any("amx_bf16" in row for row in rows) else ""
    except (OSError, StopIteration):
        amx = ""
    return (
        f"{name}{amx}, {torch.get_num_threads()} threads, Python {platform.python_version()}, "
        f"torch {torch.__version__}, numpy {np.__version__}, orograph {og.__version__}"
    )


def interleaved(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each way in each of ``rounds``, after one that warms up."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(rounds + 1):
        for name, work in ways.items():
            began = time.process_time()
            work()
            if round_:
                spent[name].append(time.process_time() - began)
    return spent


def ratio(slow: list[float], fast: list[float], scale: float = 1.0) -> str:
    """``median (lowest to highest)`` of slow / fast, round by round."""
    return middle([scale * a / b for a, b in zip(slow, fast, strict=True)])


def middle(values: list[float]) -> str:
    """``median (lowest to highest)``."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def trained_looking(name: str, **options: object) -> torch.nn.Module:
    """A network with batch-norm statistics of its own, as after training."""
    model = og.models.build(name, classes=10, channels=3, image_size=32, seed=0, **options)
    model.train()
    with torch.no_grad():
        model(torch.randn(512, 3, 32, 32, generator=torch.Generator().manual_seed(1)))
    return model.eval()


def pictures(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random images of CIFAR's shape with random labels: speed does not look at what is in them."""
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(count, 3, 32, 32, generator=generator),
        torch.randint(0, 10, (count,), generator=generator),
    )
