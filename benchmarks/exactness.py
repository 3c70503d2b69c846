"""How far the fast ways are from the truth: float32 against a plain float64 loop, bf16 against float32, on a plane."""

import argparse

import numpy as np
import torch
import torch.nn.functional as F

import orograph as og
from common import machine, pictures, trained_looking


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--steps", type=int, default=11)
    options = parser.parse_args()
    images, labels = pictures(options.images)
    model = trained_looking("resnet20")
    center = og.Weights.of(model)
    first, second = og.weights.random_plane(center, seed=0)
    split = og.data.Split(images, labels)
    axis = np.linspace(-1, 1, options.steps)
    found = {}
    for precision in ("float32", "bf16"):
        objective = og.Objective(model, split, batchnorm="frozen", precision=precision)
        with objective.session(center):
            steps = [[(u, first), (v, second)] for u in axis for v in axis]
            found[precision] = np.array([objective.along(center, step).loss for step in steps])
    few = np.linspace(0, len(steps) - 1, 7).astype(int)
    exact = []
    twin = trained_looking("resnet20").double()
    for index in few:
        vector = center.vector + sum(np.float32(coefficient) * direction for coefficient, direction in steps[index])
        center.with_vector(vector).put_into(twin)
        with torch.no_grad():
            exact.append(float(F.cross_entropy(twin(images.double()), labels)))
    plain = np.abs(found["float32"][few] / np.array(exact) - 1)
    rough = np.abs(found["bf16"] / found["float32"] - 1)
    print(machine())
    print(f"ResNet-20, {options.images} images, {options.steps} x {options.steps} cells, filter-normalised directions")
    print(f"float32 against a plain float64 loop, {len(few)} cells: relative deviation at most {plain.max():.1e}")
    print(f"bf16 against float32, {len(rough)} cells: 95th percentile {100 * np.quantile(rough, 0.95):.3f} %")


if __name__ == "__main__":
    main()
