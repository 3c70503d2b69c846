"""CPU time of a prediction of ``Ensemble`` with 8 members, over that of the members one by one: at most 1.0, aim 0.7.

One by one means what a careful user writes: modules in evaluation mode, no autograd, the mean of their softmax outputs.
Then what the first prediction costs beyond a later one, since it makes the programs and proves them.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from torch import Tensor, nn

import orograph as og
from common import interleaved, machine, ratio
from orograph.ensemble import Ensemble

MEMBERS, ROUNDS = 8, 9
BATCHES = (1, 64, 256)
NETWORKS: dict[str, dict[str, Any]] = {
    "convnet, 8x8 digits": {"name": "convnet", "channels": 1, "image_size": 8},
    "convnet, 28x28": {"name": "convnet", "channels": 1, "image_size": 28},
    "resnet20, 32x32": {"name": "resnet20", "channels": 3, "image_size": 32},
    "mlp 784-256-256-10": {"name": "mlp", "channels": 1, "image_size": 28, "hidden": (256, 256)},
}


def networks(name: str, channels: int, image_size: int, **options: Any) -> list[nn.Module]:
    """Members with batch-norm statistics of their own, as after training."""
    found = []
    for seed in range(MEMBERS):
        model = og.models.build(name, classes=10, channels=channels, image_size=image_size, seed=seed, **options)
        with torch.no_grad():
            model.train()(inputs(channels, image_size, 128))
        found.append(model.eval())
    return found


def inputs(channels: int, image_size: int, count: int) -> Tensor:
    return torch.randn(count, channels, image_size, image_size, generator=torch.Generator().manual_seed(1))


def one_by_one(members: list[nn.Module], x: Tensor) -> Tensor:
    return torch.stack([member(x) for member in members]).softmax(-1).mean(0).log()


def measure(label: str, members: list[nn.Module], ensemble: Ensemble, x: Tensor) -> None:
    """One line of the table, about one batch."""
    began = time.process_time()
    found = ensemble(x)
    first = time.process_time() - began
    times = max(1, 128 // len(x) // (8 if "resnet" in label else 1))
    ways = {
        "ensemble": lambda: [ensemble(x) for _ in range(times)],
        "members": lambda: [one_by_one(members, x) for _ in range(times)],
    }
    spent = interleaved(ways, ROUNDS)
    alone = statistics.median(spent["members"]) / times
    apart = float((found - one_by_one(members, x)).abs().max())
    share = ratio(spent["ensemble"], spent["members"])
    once = f", first call + {first - alone:.2f} s" if len(x) == BATCHES[0] else ""
    print(f"{label:20} batch {len(x):3}: {1000 * alone:8.2f} ms, {share}, apart {apart:.0e}{once}", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    print(machine())
    print(f"{MEMBERS} members, float32; members one by one in ms, the ensemble over them; n = {ROUNDS}, median (range)")
    for label, options in NETWORKS.items():
        members = networks(**options)
        ensemble = Ensemble(members[0], members)
        with torch.inference_mode():
            for batch in BATCHES:
                measure(label, members, ensemble, inputs(options["channels"], options["image_size"], batch))


if __name__ == "__main__":
    main()
