"""What ``tolerance=`` saves, and whether its standard errors are true: a plane read in part against the whole plane.

10,000 images are made of the embedded digits, made noisy; the network is trained on others.
"""

import argparse
import math
import time

import numpy as np
import torch

import orograph as og
from common import machine


def images(split, count, seed):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(0, len(split), (count,), generator=generator)
    noise = torch.randn(count, *split.inputs.shape[1:], generator=generator)
    return og.data.Split(split.inputs[rows] + 0.3 * noise, split.targets[rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=41)
    parser.add_argument("--tolerance", type=float, default=0.01)
    options = parser.parse_args()
    digits = og.data.load("digits")
    data = og.data.Data(images(digits.train, 4000, 0), images(digits.test, options.images, 1), name="noisy digits")
    model = og.models.build("convnet", classes=10, channels=1, image_size=8, seed=0)
    og.train.fit(model, data, og.train.Recipe(epochs=10, batch_size=64, lr=0.05), seed=0)
    center = og.Weights.of(model)

    def drawn(**sampling):
        began = time.process_time()
        objective = og.Objective(model, data.test, **sampling)
        return og.landscape.neighbourhood(objective, center, resolution=options.steps, seed=0), (
            time.process_time() - began
        )

    exact, spent = drawn()
    print(machine())
    print(f"convnet on noisy digits, {options.images} images, {exact.loss.size} cells, tolerance {options.tolerance:g}")
    print(f"loss from {exact.loss.min():.3g} to {exact.loss.max():.3g}, {math.log(10):.3g} is a guess's")
    print(f"{'':14}{'examples':>10}{'CPU time':>10}  true value within 2 standard errors")
    for cap in (None, math.log(10)):
        sampled, cost = drawn(tolerance=options.tolerance, cap=cap)
        saved = exact.n_examples.sum() / sampled.n_examples.sum()
        inside = np.abs(sampled.loss - exact.loss) <= 2 * sampled.loss_se + 1e-12
        part = sampled.n_examples < options.images
        print(
            f"{'no cap' if cap is None else f'cap {cap:.3g}':14}{saved:9.1f}x{spent / cost:9.1f}x  "
            f"{inside.mean():.1%} of all cells, {inside[part].mean():.1%} of the {part.mean():.0%} read in part"
        )


if __name__ == "__main__":
    main()
