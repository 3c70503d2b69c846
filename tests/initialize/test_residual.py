"""Residual branches: found in any network, begun as zero, and Fixup's factors."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import orograph as og
from networks import TinyTransformer
from orograph.basics.errors import ModelError, UsageError
from orograph.initialize.branches import anatomy_of

IMAGES = torch.randn(2, 3, 16, 16)


class Residual(nn.Module):
    """``depth`` blocks written without modules for the additions, in place, with a projection in the middle."""

    def __init__(self, layers: int = 3) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.first = nn.ModuleList(nn.Linear(8, 8) for _ in range(layers))
        self.narrow, self.wide, self.project = nn.Linear(8, 4), nn.Linear(4, 12), nn.Linear(8, 12)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x) + 1
        branch = x
        for layer in self.first:
            branch = torch.relu(layer(branch))
        x += branch
        x = self.project(x) + self.wide(torch.relu(self.narrow(x)))
        logits: Tensor = self.head(torch.relu(x))
        return logits


def test_branches_of_a_network_that_adds_in_place() -> None:
    found = anatomy_of(Residual(), torch.randn(4, 6))
    assert [[slot.name for slot in branch.kernels] for branch in found.branches] == [
        ["first.0.weight", "first.1.weight", "first.2.weight"],
        ["narrow.weight", "wide.weight"],
    ]
    assert found.last is not None
    assert found.last.name == "head.weight"


@pytest.mark.parametrize(
    ("name", "branches", "depth", "last"),
    [
        ("resnet20", 9, 2, "bn2.weight"),
        ("resnet20-nobn", 9, 2, "conv2.weight"),
        ("resnet20-fixup", 9, 2, "conv2.weight"),
        ("preresnet110", 36, 3, "conv3.weight"),
        ("wrn-16-4", 6, 2, "conv2.weight"),
    ],
)
def test_branches_of_our_own(name: str, branches: int, depth: int, last: str) -> None:
    found = anatomy_of(og.models.build(name), IMAGES)
    assert len(found.branches) == branches
    assert {branch.depth for branch in found.branches} == {depth}
    assert all(branch.last.name.endswith(last) for branch in found.branches)


def test_attention_counts_as_four_layers() -> None:
    model = nn.Transformer(16, 2, 2, 2, 32, batch_first=True)
    found = anatomy_of(model, (torch.randn(2, 5, 16), torch.randn(2, 4, 16)))
    assert [branch.depth for branch in found.branches] == [4, 2, 4, 2, 4, 4, 2, 4, 4, 2]


@pytest.mark.parametrize("name", ["vgg-a", "densenet40", "convnet"])
def test_networks_without_branches_have_none(name: str) -> None:
    model = og.models.build(name)
    assert not anatomy_of(model, torch.randn(2, 3, 32, 32)).branches
    with pytest.raises(UsageError, match="no residual branch"):
        og.initialize.apply(model, "fixup", example=torch.randn(2, 3, 32, 32))


@pytest.mark.parametrize("name", ["resnet20", "resnet20-nobn", "preresnet110", "resnet18"])
def test_zero_branches_make_blocks_their_shortcuts(name: str) -> None:
    """With every branch zero, what is inside a branch has no influence, and only the ends of branches were touched."""
    model = og.models.build(name, seed=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    anatomy = anatomy_of(model, IMAGES)
    found = og.initialize.apply(model, "zero-branches", example=IMAGES)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert {branch.last.name for branch in anatomy.branches} <= changed
    assert all(not value.any() for key, value in model.state_dict().items() if key in changed)
    assert len(found.left_alone) == len(found.settings) - len([s for s in found.settings if s.scheme])
    model.eval()
    expected = model(IMAGES)
    with torch.no_grad():
        for branch in anatomy.branches:
            for slot in branch.kernels:
                if slot is not branch.last:
                    slot.parameter.mul_(3.0)
    torch.testing.assert_close(model(IMAGES), expected)


def test_fixup_is_what_the_fixup_network_begins_with() -> None:
    """The model's own start, and the rule applied to it, have the same standard deviations everywhere."""
    model = og.models.build("resnet56-fixup", seed=0)
    before = {name: float(value.detach().std()) for name, value in model.named_parameters() if value.dim() > 1}
    found = og.initialize.apply(model, "fixup", example=IMAGES, seed=1)
    assert found.scheme == "fixup"
    for name, value in model.named_parameters():
        if value.dim() > 1:
            spread = 5 * before[name] / math.sqrt(2 * value.numel())
            assert float(value.detach().std()) == pytest.approx(before[name], abs=2 * spread), name
    with torch.no_grad():
        assert not model(IMAGES).any()


def test_fixup_factors() -> None:
    """L = 2 branches; m = 3 layers: L^(-1/4); m = 2: L^(-1/2). The last kernels and the classifier are zero."""
    model = Residual()
    found = og.initialize.apply(model, "fixup", example=torch.randn(4, 6))
    asked = {setting.parameter: setting.asked for setting in found.settings}
    he = {name: math.sqrt(2 / value.shape[0]) for name, value in model.named_parameters() if value.dim() > 1}
    assert asked["stem.weight"] == pytest.approx(he["stem.weight"])
    assert asked["first.0.weight"] == pytest.approx(he["first.0.weight"] * 2**-0.25)
    assert asked["narrow.weight"] == pytest.approx(he["narrow.weight"] * 2**-0.5)
    assert asked["first.2.weight"] == asked["wide.weight"] == asked["head.weight"] == 0
    assert "initialisation only" in found.scheme


def test_a_tied_output_is_not_zeroed() -> None:
    model = TinyTransformer()
    og.initialize.apply(model, "fixup", example={"input_ids": torch.randint(11, (2, 8))})
    assert model.tokens.weight.abs().sum() > 0
    assert not model.mlp[2].weight.any()
    assert not model.attention.out_proj.weight.any()


def test_the_network_is_untouched_by_the_search() -> None:
    model = og.models.build("resnet20", seed=0)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    anatomy_of(model, IMAGES)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_is_missing_is_said() -> None:
    with pytest.raises(UsageError, match="give example="):
        og.initialize.apply(og.models.build("resnet20"), "zero-branches")
    with pytest.raises(ModelError, match="does not run on the example"):
        og.initialize.apply(og.models.build("resnet20"), "fixup", example=torch.randn(2, 5, 8, 8))
