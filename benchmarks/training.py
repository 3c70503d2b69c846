"""A training step of ``fit`` against a loop written by hand, and replicas in two processes against in one."""

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F

import orograph as og
from common import interleaved, machine, pictures, ratio
from orograph.data import Split
from orograph.execute import Task, open_executor, run_tasks
from orograph.store import Store


def network():
    return og.models.build("resnet20", classes=10, channels=3, image_size=32, seed=0)


def by_hand(images, labels, batch, precision):
    """bf16 autocast, channels_last, SGD with momentum, a cosine schedule; data are in memory as here."""
    model = network().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(images) // batch)
    held = images.contiguous(memory_format=torch.channels_last)
    order = torch.randperm(len(images))
    for start in range(0, len(images), batch):
        rows = order[start : start + batch]
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = F.cross_entropy(model(held[rows]), labels[rows])
        loss.backward()
        optimizer.step()
        schedule.step()


def fitted(images, labels, batch, precision):
    recipe = og.train.Recipe(epochs=1, batch_size=batch, lr=0.1, weight_decay=5e-4, precision=precision)
    og.train.fit(network(), Split(images, labels), recipe, seed=0, test=False)


def small_replica(context):
    """A task: train a network too small to fill two processors."""
    data = og.data.load("digits")
    model = og.models.build("convnet", data, seed=context.arguments["seed"])
    og.train.fit(model, data, og.train.Recipe(epochs=25, batch_size=64), seed=context.arguments["seed"])
    path = context.folder / "weights.safetensors"
    og.Weights.of(model).save(path)
    return {"weights": path}


def replicas(workers, folder):
    """Wall seconds for four small replicas; the processes are warm."""
    tasks = [Task(f"replica {seed}", f"{Path(__file__).resolve()}:small_replica", {"seed": seed}) for seed in range(4)]
    with Store(folder) as store:
        executor = open_executor("processes", workers=workers, threads=1)
        warm_up(executor, workers)
        began = time.perf_counter()
        run_tasks(tasks, store, lambda: executor)
        return time.perf_counter() - began


def burn(_):
    """Nothing but products of matrices that stay in cache."""
    a = torch.randn(256, 256)
    for _ in range(4000):
        a @ a


def limit(workers):
    """Wall seconds for four such loads: what two processes bring on this machine, as busy as it is."""
    executor = open_executor("processes", workers=workers, threads=1)
    warm_up(executor, workers)
    began = time.perf_counter()
    list(executor.map(burn, range(4)))
    spent = time.perf_counter() - began
    executor.shutdown()
    return spent


def warm_up(executor, workers):
    """Return when every process has loaded what it needs, and not one for all of them."""
    with tempfile.TemporaryDirectory() as folder:
        list(executor.map(warm, [(folder, workers)] * workers))


def warm(arguments):
    folder, workers = arguments
    data = og.data.load("digits")
    model = og.models.build("convnet", data, seed=0)
    og.train.fit(model, data, og.train.Recipe(epochs=0.05), seed=0)  # torch imports its compiler with the first step
    (Path(folder) / str(os.getpid())).touch()
    while len(os.listdir(folder)) < workers:
        time.sleep(0.01)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2560)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    images, labels = pictures(options.images)
    print(machine())
    print(f"ResNet-20, batch {options.batch}, {options.images // options.batch} steps, n = {options.rounds}, CPU time")
    for precision in ("bf16", "float32"):
        ways = {
            "hand": lambda p=precision: by_hand(images, labels, options.batch, p),
            "fit": lambda p=precision: fitted(images, labels, options.batch, p),
        }
        spent = interleaved(ways, options.rounds)
        print(f"{precision:7} training step, hand-written loop / fit: {ratio(spent['hand'], spent['fit'])}")
    spent, bare = {1: [], 2: []}, {1: [], 2: []}
    for _ in range(options.rounds + 2):
        for workers in spent:
            with tempfile.TemporaryDirectory() as folder:
                spent[workers].append(replicas(workers, folder))
            bare[workers].append(limit(workers))
    print(f"four small replicas, wall time, n = {len(spent[1])}; the neighbours are in it")
    print(f"one process / two processes:           {ratio(spent[1], spent[2])}")
    print(f"bare products of matrices, the limit:  {ratio(bare[1], bare[2])}")


if __name__ == "__main__":
    main()
