"""What a Monitor costs a training loop, and how long the doctor takes, on a ResNet-20 with images of CIFAR's size.

    python benchmarks/monitor.py

The same loop runs with and without a monitor in turns, in one process, by processor time.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
import torch.nn.functional as F

import orograph as og
from common import machine, middle


def made(name: str, seed: int = 0) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A network and its optimiser."""
    model = og.models.build(name, classes=10, channels=3, image_size=32, seed=seed)
    return model, torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def loop(model: Any, optimizer: Any, batch: Any, steps: int, monitor: Any = None) -> None:
    """An ordinary training loop."""
    for _ in range(steps):
        loss = F.cross_entropy(model(batch[0]), batch[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if monitor is not None:
            monitor.log(loss)


def shares(name: str, rounds: int, steps: int, batch_size: int) -> None:
    """The monitor's share of the time of training."""
    batch = torch.randn(batch_size, 3, 32, 32), torch.randint(10, (batch_size,))
    plain, watched = made(name), made(name)
    found = []
    with og.diagnose.Monitor(*watched, every=10) as monitor:
        for round_ in range(rounds + 1):
            spent = []
            for pair, on in ((plain, None), (watched, monitor)):
                began = time.process_time()
                loop(*pair, batch, steps, on)
                spent.append(time.process_time() - began)
            if round_:
                found.append((spent[1] - spent[0]) / spent[1])
    print(f"monitor every 10 steps, {name}, batch {batch_size}: {middle(found)} of the time")


def doctor(seeds: int) -> None:
    """Wall time of all stages on a healthy and on a sick network."""
    random = torch.Generator().manual_seed(0)
    classes = torch.randint(10, (2000,), generator=random)
    patterns = torch.randn(10, 3, 32, 32, generator=random)
    images = patterns[classes] + 1.5 * torch.randn(2000, 3, 32, 32, generator=random)
    for what, lr in (("healthy", 0.05), ("rate 1000 times too high", 50.0)):
        times = []
        for seed in range(seeds):
            model = og.models.build("resnet20", classes=10, channels=3, image_size=32, seed=seed)
            optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
            began = time.perf_counter()
            found = og.diagnose.doctor(model, (images, classes), optimizer=optimizer, batch_size=128, seed=seed)
            times.append(time.perf_counter() - began)
        print(f"doctor on a ResNet-20, {what}: {middle(times)} s; {[f.id for f in found.findings]}")


def main() -> None:
    """Print all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    print(machine())
    shares("resnet20", options.rounds, 20, 128)
    shares("convnet", options.rounds, 100, 128)
    doctor(options.seeds)


if __name__ == "__main__":
    main()
