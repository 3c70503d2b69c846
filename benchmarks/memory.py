"""How many weight vectors a plane holds at its peak, beyond the networks it is given, the data and one batch.

A wide network on few images, so that vectors outweigh everything else. The peak is the process's own (its resident
set), from a reading when all that is given lies in memory and one batch has passed through the network.
"""

import argparse
import resource
import subprocess
import sys
import threading
import time

import torch

import orograph as og
from common import machine


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


def vectors_at_the_peak(precision: str) -> str:
    """A plane of 5 x 5 cells through three networks."""
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
    peak = peak_during(lambda: og.landscape.plane(objective, a, b, c, resolution=5))
    return f"wrn-28-10, {vector / 2**20:.0f} MiB a vector, {precision}: {(peak - before) / vector:.1f} vectors"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", choices=("float32", "bf16"), help="this one alone, in this process")
    chosen = parser.parse_args().precision
    if chosen:
        print(vectors_at_the_peak(chosen))
        return
    print(machine())
    for precision in ("float32", "bf16"):  # in a process each, since memory that was freed may be used again
        subprocess.run([sys.executable, __file__, "--precision", precision], check=True)


if __name__ == "__main__":
    main()
