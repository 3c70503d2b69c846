"""Permutation groups found in networks: the function stays, the coverage is high, what is not understood is frozen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from stories import PreNorm, digits, shaken
from torch import Tensor, nn

import orograph as og
from orograph.basics.errors import ModelError, OrographError, UsageError
from orograph.connect import find_groups, permuted_copy
from orograph.connect.groups import Group, Groups, groups_of
from orograph.connect.proof import prove
from orograph.connect.tracing import trace_network
from orograph.models.mlp import MLP
from orograph.weights import Weights

_IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def _published(name: str, **options: object) -> tuple[nn.Module, Tensor]:
    return shaken(og.models.build(name, classes=10, channels=3, image_size=16, **options)), _IMAGES


class Grouped(nn.Module):
    """Grouped and depthwise convolutions, group norm, a gate, a mean over places."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 12, 3), nn.GroupNorm(3, 12)
        self.grouped, self.depthwise = nn.Conv2d(12, 24, 3, groups=3), nn.Conv2d(24, 24, 3, groups=24)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(F.relu(self.grouped(F.relu(self.norm(self.stem(x))))))
        return self.head(F.glu(x, 1).mean((2, 3)))


class Encoder(nn.Module):
    """torch's own encoder layers, whose attention has a fused short cut."""

    def __init__(self) -> None:
        super().__init__()
        self.inlet, self.outlet = nn.Linear(3, 16), nn.Linear(16, 4)
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, dropout=0.1)
        self.layers = nn.TransformerEncoder(layer, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.outlet(self.layers(self.inlet(x)).amax(1))


class Shuffled(nn.Module):
    """Control flow, padding of channels, a transposed convolution, and channels in two halves that are swapped."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(3, 6, 3, padding=1)
        self.up, self.out = nn.ConvTranspose2d(16, 8, 2), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([self.one(x), self.two(x)], 1)
        for _ in range(2):
            left, right = y.chunk(2, 1)
            y = torch.cat([torch.relu(right), left], 1) if len(x) > 0 else y
        return self.out(self.up(F.pad(y, (0, 0, 0, 0, 2, 2))).mean((-1, -2)))


_NETWORKS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "mlp": lambda: _published("mlp"),
    "vgg": lambda: _published("vgg-a", width=0.25),
    "vgg with batch norm": lambda: _published("vgg-a-bn", width=0.25),
    "resnet, padded shortcuts": lambda: _published("resnet20"),
    "resnet, projected shortcuts": lambda: _published("resnet18", width=0.25),
    "wide resnet": lambda: _published("wrn-16-4", width=0.25),
    "densenet": lambda: _published("densenet40"),
    "pre-norm transformer": lambda: (shaken(PreNorm()), torch.randint(12, (4, 6))),
    "torch's encoder": lambda: (shaken(Encoder()), torch.randn(4, 5, 3)),
    "grouped": lambda: (shaken(Grouped()), _IMAGES),
    "shuffled": lambda: (shaken(Shuffled()), _IMAGES),
    "weight norm": lambda: (
        shaken(nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 8)), nn.ReLU(), nn.Linear(8, 3))),
        torch.randn(4, 6),
    ),
}
_COVERED = {"mlp", "vgg", "vgg with batch norm", "resnet, padded shortcuts", "resnet, projected shortcuts",
            "wide resnet", "densenet", "pre-norm transformer", "torch's encoder"}  # fmt: skip


@pytest.mark.parametrize("name", _NETWORKS)
def test_a_permuted_network_computes_the_same_function(name: str) -> None:
    network, inputs = _NETWORKS[name]()
    weights = Weights.of(network)
    proof = find_groups(network, weights, inputs)
    moved = proof.groups.permuted(weights, proof.groups.random(5))
    assert weights.distance(moved) > 0.1 * weights.norm()
    network.double().eval()
    with torch.no_grad():
        weights.put_into(network)
        before = network(inputs.double() if inputs.is_floating_point() else inputs)
        moved.put_into(network)
        after = network(inputs.double() if inputs.is_floating_point() else inputs)
    assert float((before - after).abs().max()) < 1e-12 * float(before.abs().max())
    assert proof.largest_change < 1e-12
    assert not proof.unproven
    assert proof.groups.coverage(weights) > (0.99 if name in _COVERED else 0.5)


def test_heads_permute_and_so_do_the_entries_inside_them() -> None:
    network, tokens = _NETWORKS["pre-norm transformer"]()
    groups = find_groups(network, Weights.of(network), tokens).groups
    sizes = sorted(group.size for group in groups.groups)
    # Residual stream, two hidden layers, and for each of two blocks: heads, entries of queries and keys, of values.
    assert sizes == [4, 4, 4, 4, 4, 4, 16, 64, 64]


def test_concatenated_channels_are_groups_of_their_own() -> None:
    network, images = _NETWORKS["densenet"]()
    groups = find_groups(network, Weights.of(network), images).groups
    assert sum(group.size == 12 for group in groups.groups) == 36  # one for each layer's new features


@given(st.integers(0, 10_000))
@settings(max_examples=10)
def test_permutations_undo_each_other(seed: int) -> None:
    network, tokens = _NETWORKS["pre-norm transformer"]()
    weights = Weights.of(network)
    groups = find_groups(network, weights, tokens).groups
    permutations = groups.random(seed)
    inverse = {name: np.argsort(order) for name, order in permutations.items()}
    back = groups.permuted(groups.permuted(weights, permutations), inverse)
    assert back.fingerprint() == weights.fingerprint()


def test_running_statistics_move_with_their_units() -> None:
    network, images = _NETWORKS["vgg with batch norm"]()
    groups = find_groups(network, Weights.of(network), images).groups
    first = next(group for group in groups.groups if group.name.endswith("conv1_1.weight") or "0" in group.name)
    members = {member.tensor.rpartition(".")[2] for member in first.members}
    assert {"running_mean", "running_var", "weight", "bias"} <= members


class Sorting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.relu(self.b(self.a(x).sort(-1).values)))


class Smuggling(nn.Module):
    """Looks at its units through NumPy, which no operator sees."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.a(x))
        y = y + float(y.detach().numpy()[:, 0].sum())
        return self.c(torch.relu(self.b(y)))


def test_what_has_no_rule_is_frozen_and_named() -> None:
    network = shaken(Sorting())
    groups = find_groups(network, Weights.of(network), torch.randn(4, 5)).groups
    assert [group.name for group in groups.groups] == ["b.weight"]
    assert any(axis.reason == "sort" and axis.tensor == "a.weight" for axis in groups.frozen)


def test_what_is_hidden_from_the_trace_does_not_pass_the_proof() -> None:
    network = shaken(Smuggling())
    proof = find_groups(network, Weights.of(network), torch.rand(4, 5))
    assert [group.name for group in proof.groups.groups] == ["b.weight"]
    assert any("the proof" in axis.reason for axis in proof.groups.frozen)


def test_a_wrong_group_by_hand_is_refused() -> None:
    network = shaken(MLP(3, 6, None, hidden=(8,)))
    weights = Weights.of(network)
    right = {"hidden": [("layers.linear1.weight", 0), ("layers.linear1.bias", 0), ("layers.classifier.weight", 1)]}
    assert len(find_groups(network, weights, torch.randn(4, 6), groups=right).groups) == 1
    wrong = {"hidden": right["hidden"][:2]}
    assert not find_groups(network, weights, torch.randn(4, 6), groups=wrong).groups.groups
    for given_groups, message in (
        ({"h": [("nowhere", 0)]}, "no tensor 'nowhere'"),
        ({"h": [("layers.linear1.weight", 5)]}, "2 axes"),
        ({"h": [("layers.linear1.weight", 0), ("layers.linear1.weight", 1)]}, "equally long"),
    ):
        with pytest.raises(UsageError, match=message):
            find_groups(network, weights, torch.randn(4, 6), groups=given_groups)


def test_dead_units_are_reported_as_unproven() -> None:
    network = shaken(MLP(3, 6, None, hidden=(8, 8)))
    with torch.no_grad():
        network.layers.linear1.weight.zero_()
        network.layers.linear1.bias.fill_(-1.0)
    proof = find_groups(network, Weights.of(network), torch.randn(4, 6))
    assert "layers.linear1.weight" in proof.unproven


class Failing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(5, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) @ x


def test_a_network_that_does_not_run_is_named_with_its_operation() -> None:
    with pytest.raises(ModelError, match=r"operation \d+ failed \(RuntimeError"):
        permuted_copy(Failing(), Weights.of(Failing()), torch.randn(4, 5))


def test_without_hidden_units_there_is_nothing_to_permute() -> None:
    network = nn.Linear(5, 3)
    a, b = (Weights.of(shaken(nn.Linear(5, 3), seed)) for seed in (0, 1))
    with pytest.raises(UsageError, match="no units of this network can be permuted"):
        og.connect.align(network, a, b, example=torch.randn(4, 5))


def test_the_module_comes_back_bit_for_bit(state: Callable[[nn.Module], object]) -> None:
    network = og.models.build("resnet20", digits(), width=0.25)
    before = state(network)
    find_groups(network, Weights.of(network), digits().train)
    assert state(network) == before
    with pytest.raises(OrographError):
        find_groups(network, Weights.of(network), torch.full((4, 1, 8, 8), float("nan")))
    assert state(network) == before


def test_a_group_that_fails_alone_is_frozen_and_the_others_stand() -> None:
    network, images = _NETWORKS["vgg"]()
    weights = Weights.of(network)
    groups = groups_of(trace_network(network.eval(), images))
    first = groups.groups[0]
    spoilt = Groups((*groups.groups[1:], Group("wrong", first.size, first.members[:1])))
    proof = prove(network, spoilt, weights, images)
    assert {group.name for group in proof.groups.groups} == {group.name for group in groups.groups[1:]}
