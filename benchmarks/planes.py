"""Cells of a plane: against loss-landscapes 3.0.6, a plain loop, and the network's bare convolutions.

All evaluate ResNet-20 with frozen batch-norm statistics on the same images. Ratios of CPU time per cell; above 1 means
that orograph is faster. The limit is the network's convolutions and nothing else, in channels_last, weights packed by
nobody: share 1 would mean that everything else costs nothing.
"""

import argparse
import statistics

import torch
import torch.nn.functional as F

import orograph as og
from common import interleaved, machine, pictures, ratio, trained_looking

PEER = "loss-landscapes 3.0.6"


def plain_loop(model, weights, images, labels, batch=256, precision="float32"):
    """What a user would write: copy the point into the network, then evaluate batch by batch."""
    weights.put_into(model)
    total = 0.0
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        for start in range(0, len(images), batch):
            logits = model(images[start : start + batch])
            total += F.cross_entropy(logits.float(), labels[start : start + batch], reduction="sum").item()
    return total / len(images)


def bare_convolutions(model, count, dtype, batch):
    """A function that passes ``count`` images through the convolutions of ``model``, each on inputs of its own."""
    calls = []
    hooks = [
        part.register_forward_hook(lambda part, inputs, _: calls.append((part, inputs[0].shape[1:])))
        for part in model.modules()
        if isinstance(part, torch.nn.Conv2d)
    ]
    with torch.no_grad():
        model(torch.zeros(1, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    layout = {"memory_format": torch.channels_last}
    work = [
        (torch.randn(batch, *shape).to(dtype, **layout), part.weight.detach().to(dtype, **layout), part)
        for part, shape in calls
    ]

    def run():
        with torch.inference_mode():
            for _ in range(count // batch):
                for inputs, weight, part in work:
                    F.conv2d(inputs, weight, None, part.stride, part.padding)

    return run


def peer_plane(model, others, images, labels, steps):
    """The peer's own plane through three networks, on one tensor as it wants it."""
    import loss_landscapes
    from loss_landscapes.metrics import Loss

    metric = Loss(F.cross_entropy, images, labels)

    def run():
        with torch.no_grad():
            loss_landscapes.planar_interpolation(model, *others, metric, steps=steps, deepcopy_model=True)

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="cells along each axis")
    options = parser.parse_args()
    images, labels = pictures(options.images)
    model = trained_looking("resnet20")
    others = [trained_looking("resnet20") for _ in range(2)]
    for seed, other in enumerate(others):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    points = [og.Weights.of(network) for network in (model, *others)]
    split = og.data.Split(images, labels)
    loose = trained_looking("resnet20")
    objectives = {
        precision: og.Objective(model, split, batchnorm="frozen", precision=precision)
        for precision in ("float32", "bf16")
    }
    cells = options.steps**2
    axis = torch.linspace(0, 1, options.steps).tolist()
    b, c = (point.vector - points[0].vector for point in points[1:])

    def plane(precision):
        objective = objectives[precision]
        with objective.session(points[0]):
            return [objective.along(points[0], [(u, b), (v, c)]).loss for u in axis for v in axis]

    ways = {
        "float32": lambda: plane("float32"),
        "bf16": lambda: plane("bf16"),
        "loop": lambda: plain_loop(loose, points[0], images, labels),
        "bf16 loop": lambda: plain_loop(loose, points[0], images, labels, precision="bf16"),
        "limit float32": bare_convolutions(model, options.images, torch.float32, 128),
        "limit bf16": bare_convolutions(model, options.images, torch.bfloat16, 128),
    }
    try:
        ways["peer"] = peer_plane(model, others, images, labels, options.steps)
    except ImportError:
        print(f"{PEER} is not installed (make bench installs it), so that row is left out")
    spent = interleaved(ways, options.rounds)
    print(machine())
    print(f"ResNet-20, {options.images} images 32x32, {cells} cells a plane, n = {options.rounds} rounds, CPU time")
    if "peer" in spent:
        print(f"bf16    against {PEER}:             {ratio(spent['peer'], spent['bf16'])}")
        print(f"float32 against {PEER}:             {ratio(spent['peer'], spent['float32'])}")
    print(f"float32 against a plain float32 loop:              {ratio(spent['loop'], spent['float32'], cells)}")
    print(f"bf16    against a plain float32 loop:              {ratio(spent['loop'], spent['bf16'], cells)}")
    print(f"bf16    against a plain bf16 autocast loop:        {ratio(spent['bf16 loop'], spent['bf16'], cells)}")
    print(f"share of the limit (bare bf16 convolutions):       {ratio(spent['limit bf16'], spent['bf16'], cells)}")
    print(
        f"share of the limit (bare float32 convolutions):    {ratio(spent['limit float32'], spent['float32'], cells)}"
    )
    speed = options.images * cells / statistics.median(spent["bf16"]) * torch.get_num_threads()
    print(f"for orientation, on this machine as busy as it was: {speed:,.0f} images a second in bf16")


if __name__ == "__main__":
    main()
