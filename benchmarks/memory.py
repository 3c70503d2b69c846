"""How many weight vectors a plane holds at its peak, beyond the networks it is given, the data and one batch.

A wide network on few images, so that vectors outweigh everything else. The peak is the process's own (its resident
set), from a reading when all that is given lies in memory and one batch has passed through the network. The row
"no holes" lets the C library give each large block back at once: what is in use, without the holes it keeps between.
"""

import argparse
import os
import resource
import subprocess
import sys
import threading
import time

import torch

import orograph as og
from common import machine, middle


def resident() -> int:
    """Bytes of this process in memory now."""
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * resource.getpagesize()


def peak_during(work) -> int:
    """The largest resident set while ``work`` runs, sampled a thousand times a second."""
    highest, ended = resident(), threading.Event()

    def watch() -> None:
        nonlocal highest
        while not ended.is_set():
            highest = max(highest, resident())
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        ended.set()
        watcher.join()
    return highest


def vectors_at_the_peak(precision: str, frame: str) -> float:
    """A plane of 3 x 3 cells through three networks."""
    model = og.models.build("wrn-28-10", classes=10, channels=3, image_size=32, seed=0)
    split = og.data.Split(torch.randn(8, 3, 32, 32), torch.randint(0, 10, (8,)))
    a = og.Weights.of(model)
    b, c = (a.with_vector(a.vector + 0.01 * torch.randn(len(a))) for _ in range(2))
    model.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        model(split.inputs)
    vector = a.vector.numel() * a.vector.element_size()
    before = resident()
    objective = og.Objective(model, split, precision=precision, batch_size=8)
    peak = peak_during(lambda: og.landscape.plane(objective, a, b, c, frame=frame, resolution=3))
    return (peak - before) / vector


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs=2, metavar=("PRECISION", "FRAME"), help="this one alone, in this process")
    options = parser.parse_args()
    if options.only:
        print(vectors_at_the_peak(*options.only))
        return
    print(machine())
    print(f"wrn-28-10, 139 MiB a vector, 8 images, n = {options.rounds}: weight vectors at the peak")
    no_holes = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    ways = [
        ("float32", "oblique", ""),
        ("bf16", "oblique", ""),
        ("float32", "orthonormal", ""),
        ("float32", "oblique", ", no holes"),
    ]
    for precision, frame, note in ways:
        # in a process each, since memory that was freed may be used again
        command = [sys.executable, __file__, "--only", precision, frame]
        variables = no_holes if note else os.environ
        found = [
            float(subprocess.run(command, check=True, env=variables, capture_output=True, text=True).stdout)
            for _ in range(options.rounds)
        ]
        print(f"{precision:8} {frame}{note}: {middle(found)}", flush=True)


if __name__ == "__main__":
    main()
