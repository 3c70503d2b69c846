"""Cells of a plane per second of CPU time, against the loop a user would write: python benchmarks/planes.py

Both evaluate ResNet-20 with frozen batch-norm statistics on the same images, interleaved, so that a change in the
machine's speed touches both. Prints ratios (loop / orograph; above 1 means orograph is faster), never seconds.
"""

import argparse
import platform
import statistics
import time

import torch
import torch.nn.functional as F

import orograph as og


def plain_loop(model, weights, images, labels):
    """Copy the point into the network, then evaluate batch by batch."""
    weights.put_into(model)
    model.eval()
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(images), 256):
            logits = model(images[start : start + 256])
            total += F.cross_entropy(logits, labels[start : start + 256], reduction="sum").item()
    return total / len(images)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(options.images, 3, 32, 32, generator=generator)
    labels = torch.randint(0, 10, (options.images,), generator=generator)
    model = og.models.build("resnet20", classes=10, channels=3, image_size=32, seed=0)
    model.train()
    with torch.no_grad():
        model(images[:512])
    a = og.Weights.of(model)
    b = og.Weights.of(og.models.build("resnet20", classes=10, channels=3, image_size=32, seed=1))
    split = og.data.Split(images, labels)
    objectives = {
        precision: og.Objective(model, split, batchnorm="frozen", precision=precision)
        for precision in ("float32", "bf16")
    }
    ratios = {precision: [] for precision in objectives}
    for round_ in range(options.rounds + 1):
        point = a + 0.01 * round_ * (b - a)
        began = time.process_time()
        expected = plain_loop(model, point, images, labels)
        loop = time.process_time() - began
        for precision, objective in objectives.items():
            began = time.process_time()
            found = objective(point).loss
            spent = time.process_time() - began
            if round_:  # the first round warms up
                ratios[precision].append(loop / spent)
            assert abs(found - expected) < (1e-4 if precision == "float32" else 2e-2) * expected
    print(
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"ResNet-20, {options.images} images, n = {options.rounds} rounds, CPU time"
    )
    for precision, values in ratios.items():
        spread = f"{min(values):.2f} to {max(values):.2f}"
        print(f"{precision:8} against a plain float32 loop: {statistics.median(values):.2f}x ({spread})")


if __name__ == "__main__":
    main()
