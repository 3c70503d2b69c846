"""A network rewritten as few kernels computes what the module computes, or is not used."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from orograph import models
from orograph.data import Split
from orograph.objective import Objective
from orograph.objective.fold import fold, trace
from orograph.objective.fuse import FusedConvolution, FusedNetwork, fuse
from orograph.weights import Weights


def images(count=40, channels=3, size=32):
    draw = torch.Generator().manual_seed(0)
    return Split(
        torch.randn(count, channels, size, size, generator=draw), torch.randint(0, 10, (count,), generator=draw)
    )


def restless(model, inputs):
    """With statistics, scales and shifts of batch norm that are neither 0 nor 1."""
    torch.manual_seed(1)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.2)
    with torch.no_grad():
        model.train()(inputs)
    return model.eval()


def measured(model, split, **settings):
    objective = Objective(model, split, batchnorm="frozen", batch_size=16, **settings)
    return objective(Weights.of(model)), objective._runner.faster


@pytest.mark.parametrize("name", ["resnet8", "resnet20", "resnet18", "vgg-a", "convnet", "wrn-16-4"])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_every_network_of_images_is_fused_and_keeps_its_heights(name, batch_norm):
    if name in ("resnet18", "wrn-16-4") and not batch_norm:
        pytest.skip("these are defined with batch norm alone")
    options = {} if name in ("resnet18", "wrn-16-4") else {"batch_norm": batch_norm}
    if name in ("vgg-a", "resnet18"):
        options["width"] = 0.25
    split = images(20)
    model = restless(models.build(name, classes=10, channels=3, image_size=32, seed=0, **options), split.inputs)
    exact, _ = measured(model, split, precision="float64", fold=False)
    found, network = measured(model, split)
    assert isinstance(network, FusedNetwork)
    assert found.loss == pytest.approx(exact.loss, rel=1e-5)
    assert found.accuracy == exact.accuracy
    rough, network = measured(model, split, precision="bf16")
    assert isinstance(network, FusedNetwork)
    assert network.dtype == torch.bfloat16
    assert rough.loss == pytest.approx(exact.loss, rel=0.02)


class Block(nn.Module):
    """A residual block; ``join`` says how the branches meet."""

    def __init__(self, join):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.norm, self.out, self.join = nn.BatchNorm2d(3), nn.Linear(3, 10), join

    def forward(self, x):
        y = self.norm(self.two(F.relu(self.one(x))))
        return self.out(self.join(self, x, y).mean((2, 3)))


def in_place(block, x, y):
    y += x
    return F.relu(y, inplace=True)


def broadcast(block, x, y):
    return F.relu(y + x.mean((2, 3), keepdim=True))


def changed(block, x, y):
    """The second convolution reads ``early`` before it changes, and a fused one would after."""
    early = block.one(x)
    late = block.two(early)
    early.relu_()
    return F.relu(late + early) + y


def kept(block, x, y):
    """A kernel's output that is added to, and needed once more afterwards: it must not be overwritten."""
    early = block.one(x)
    return F.relu(y + early) + early


JOINS = {
    "kept for later": (kept, 3),
    "added": (lambda block, x, y: F.relu(x + y), 2),
    "in place": (in_place, 2),
    "without relu": (lambda block, x, y: torch.add(y, x), 2),
    "a method": (lambda block, x, y: y.add(x).relu(), 2),
    "to itself": (lambda block, x, y: F.relu(y + y), 2),
    "scaled": (lambda block, x, y: F.relu(torch.add(x, y, alpha=0.5)), 2),
    "broadcast": (broadcast, 2),
    "a number": (lambda block, x, y: F.relu(y + 1), 2),
    "seen twice": (lambda block, x, y: F.relu(x + y) + y, 2),
    "changed meanwhile": (changed, 2),
    "two convolutions": (lambda block, x, y: F.relu(block.one(x) + y), 3),
}


@pytest.mark.parametrize(("join", "convolutions"), JOINS.values(), ids=JOINS)
def test_branches_may_meet_in_any_way(join, convolutions):
    split = images(20, size=8)
    model = restless(Block(join), split.inputs.clone())
    exact, _ = measured(model, Split(split.inputs.clone(), split.targets), precision="float64", fold=False)
    found, network = measured(model, Split(split.inputs.clone(), split.targets))
    assert found.loss == pytest.approx(exact.loss, rel=1e-5)
    if isinstance(network, FusedNetwork):
        assert len(network.convolutions) == convolutions


def test_what_is_added_and_rectified_is_one_kernel():
    model = restless(Block(JOINS["added"][0]), images(20, size=8).inputs)
    example = images(20, size=8).inputs.contiguous(memory_format=torch.channels_last)
    network = fuse(fold(model).graph, example)
    kinds = [(len(node.args), node.op) for node in network.graph.graph.nodes if node.op.startswith("call")]
    assert kinds == [(1, "call_module"), (2, "call_module"), (2, "call_method"), (1, "call_module")]
    assert sum(isinstance(part, FusedConvolution) for part in network.graph.modules()) == 2


class Strange(nn.Module):
    def __init__(self, step):
        super().__init__()
        self.conv, self.out, self.step = nn.Conv2d(3, 4, 3), nn.Linear(4, 10), step
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.out(self.step(self, self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize(
    "step", [lambda net, x: torch.sin(x), lambda net, x: x * net.scale, lambda net, x: x.softmax(1)]
)
def test_a_step_that_is_not_understood_leaves_the_network_alone(step):
    model, example = Strange(step), images(8, size=8).inputs
    assert fuse(trace(model), example.contiguous(memory_format=torch.channels_last)) is None


@pytest.mark.parametrize("options", [{"padding": "same"}, {"padding": 1, "padding_mode": "circular"}, {"groups": 3}])
def test_convolutions_of_all_kinds(options):
    split = images(20, size=8)
    model = nn.Sequential(nn.Conv2d(3, 6, 3, **options), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
    model(split.inputs)
    exact, _ = measured(model, split, precision="float64", fold=False)
    found, network = measured(model, split)
    assert isinstance(network, FusedNetwork)
    assert found.loss == pytest.approx(exact.loss, rel=1e-5)


def test_a_network_that_views_its_activations_falls_back_and_stays_right():
    class Views(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.out = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4 * 36, 10)

        def forward(self, x):
            return self.out(self.norm(self.conv(x)).view(len(x), -1))

    split = images(20, size=8)
    model = restless(Views(), split.inputs)
    exact, _ = measured(model, split, precision="float64", fold=False)
    assert measured(model, split)[0].loss == pytest.approx(exact.loss, rel=1e-5)


def test_a_moved_network_is_packed_anew():
    split = images(20)
    model = restless(models.build("resnet8", classes=10, channels=3, image_size=32, seed=0), split.inputs)
    weights = Weights.of(model)
    fast = Objective(model, split, batchnorm="recalibrate", calibration=images(30), batch_size=16)
    slow = Objective(
        model, split, batchnorm="recalibrate", calibration=images(30), batch_size=16, fold=False, precision="float64"
    )
    step = 0.1 * torch.randn(len(weights), generator=torch.Generator().manual_seed(5))
    for alpha in (0.0, 1.0, -1.0, 0.0):
        assert fast.along(weights, [(alpha, step)]).loss == pytest.approx(
            slow.along(weights, [(alpha, step)]).loss, rel=1e-5
        )
    assert fast._runner.faster is not None


def test_nan_at_the_first_point_does_not_decide_for_the_others():
    split = images(20)
    model = restless(models.build("resnet8", classes=10, channels=3, image_size=32, seed=0), split.inputs)
    objective = Objective(model, split, batchnorm="frozen")
    weights = Weights.of(model)
    lost = objective.along(weights, [(1.0, torch.full_like(weights.vector, float("nan")))])
    assert lost.loss != lost.loss
    assert objective._runner.faster is None
    objective(weights)
    assert isinstance(objective._runner.faster, FusedNetwork)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_without_the_kernels_the_folded_network_serves(monkeypatch, precision):
    """As on a processor, or with a build of torch, that cannot do this."""

    def lacking(self, dtype):
        if precision == "float32" or dtype == torch.bfloat16:
            raise NotImplementedError("no such kernel")
        refold(self, dtype)

    refold = FusedConvolution.refold
    monkeypatch.setattr(FusedConvolution, "refold", lacking)
    split = images(20)
    model = restless(models.build("resnet8", classes=10, channels=3, image_size=32, seed=0), split.inputs)
    exact, _ = measured(model, split, precision="float64", fold=False)
    found, network = measured(model, split, precision=precision)
    assert network is not None
    assert not isinstance(network, FusedNetwork)
    assert found.loss == pytest.approx(exact.loss, rel=0.02 if precision == "bf16" else 1e-5)
