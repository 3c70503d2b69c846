"""Residual networks: shortcuts against hand-written ones, and the distance between two initialisations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from orograph.basics.errors import UsageError
from orograph.models import CifarResNet, PreResNet, WideResNet, build
from orograph.models.preresnet import PreBottleneck
from orograph.models.resnet_cifar import BasicBlock, ZeroPaddedShortcut


def shifted_norms(block: nn.Module) -> nn.Module:
    """The block in evaluation mode, its batch norms away from the identity, so that each one counts."""
    for layer in block.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
    return block.eval()


def normalised(layer: nn.BatchNorm2d, signal: torch.Tensor) -> torch.Tensor:
    scale = layer.weight / (layer.running_var + layer.eps).sqrt()
    return (signal - layer.running_mean[:, None, None]) * scale[:, None, None] + layer.bias[:, None, None]


def test_option_a_keeps_every_second_pixel_and_appends_zero_channels() -> None:
    maps = torch.randn(2, 3, 7, 8, generator=torch.Generator().manual_seed(0))
    oracle = torch.zeros(2, 6, 4, 4)
    for row in range(4):
        for column in range(4):
            oracle[:, :3, row, column] = maps[:, :, 2 * row, 2 * column]
    shortcut = ZeroPaddedShortcut(3, stride=2)
    assert torch.equal(shortcut(maps), oracle)
    assert list(shortcut.parameters()) == []


@pytest.mark.parametrize(("option", "extra"), [("A", 0), ("B", 4 * 8 + 2 * 8)])
def test_a_block_is_its_two_convolutions_plus_its_shortcut(option: str, extra: int) -> None:
    torch.manual_seed(0)
    block = shifted_norms(BasicBlock(4, 8, 2, shortcut=option, batch_norm=True))
    assert sum(value.numel() for value in block.parameters()) == 9 * (4 * 8 + 8 * 8) + 4 * 8 + extra
    maps = torch.randn(2, 4, 6, 6)
    inner = normalised(block.bn1, functional.conv2d(maps, block.conv1.weight, stride=2, padding=1)).clamp(min=0)
    outer = normalised(block.bn2, functional.conv2d(inner, block.conv2.weight, padding=1))
    kept = maps[:, :, ::2, ::2]
    if option == "A":
        around = torch.cat([kept, torch.zeros(2, 4, 3, 3)], dim=1)
    else:
        around = normalised(
            block.shortcut.bn, torch.einsum("oi,nirc->norc", block.shortcut.conv.weight[..., 0, 0], kept)
        )
    torch.testing.assert_close(block(maps), (outer + around).clamp(min=0), rtol=1e-4, atol=1e-5)


def test_option_b_costs_two_projections_with_their_norms() -> None:
    with torch.device("meta"):
        a, b = (sum(value.numel() for value in CifarResNet(20, shortcut=option).parameters()) for option in "AB")
    assert b - a == (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)


def test_a_wide_block_activates_before_it_convolves() -> None:
    """With all convolutions of the branches zero, identity blocks pass their input through unchanged."""
    network = WideResNet(16, 1, 10, 1, 8).eval()
    block = network.stage1[1]
    nn.init.zeros_(block.conv2.weight)
    maps = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(maps), maps)
    first = network.stage2[0]
    nn.init.zeros_(first.conv2.weight)
    activated = first.bn1(maps).clamp(min=0)
    oracle = torch.einsum("oi,nirc->norc", first.projection.weight[..., 0, 0], activated[:, :, ::2, ::2])
    torch.testing.assert_close(first(maps), oracle, rtol=1e-4, atol=1e-6)


def test_dropout_of_a_wide_network_acts_between_the_convolutions_in_training_only() -> None:
    network = build("wrn-16-4", classes=10, channels=1, image_size=8, dropout=0.3, seed=0).eval()
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.3] * 6
    images = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network(images), network(images))
    network.train()
    assert not torch.equal(network(images), network(images))


@pytest.mark.parametrize(("inputs", "inner", "stride"), [(8, 2, 1), (8, 3, 2), (4, 4, 1)])
def test_a_pre_activated_block_is_three_convolutions_of_what_was_normalised(
    inputs: int, inner: int, stride: int
) -> None:
    torch.manual_seed(0)
    block = shifted_norms(PreBottleneck(inputs, inner, stride))
    maps = torch.randn(2, inputs, 6, 6)

    def mixed(layer: nn.Conv2d, signal: torch.Tensor) -> torch.Tensor:
        return torch.einsum("oi,nirc->norc", layer.weight[..., 0, 0], signal)

    branch = mixed(block.conv1, normalised(block.bn1, maps).clamp(min=0))
    branch = normalised(block.bn2, branch).clamp(min=0)
    branch = functional.conv2d(branch, block.conv2.weight, stride=stride, padding=1)
    branch = mixed(block.conv3, normalised(block.bn3, branch).clamp(min=0))
    identity = inputs == 4 * inner and stride == 1
    around = maps if identity else mixed(block.shortcut, maps[:, :, ::stride, ::stride])
    torch.testing.assert_close(block(maps), around + branch, rtol=1e-4, atol=1e-5)


def test_a_pre_activated_stage_passes_negative_values_on() -> None:
    """With silent branches a stage is its first shortcut: no ReLU stands after a sum."""
    network = PreResNet(29, 10, 1, 8, width=0.25).eval()
    for block in network.stage2:
        nn.init.zeros_(block.conv3.weight)
    maps = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    outputs = network.stage2(maps)
    assert torch.equal(outputs, network.stage2[0].shortcut(maps))
    assert bool((outputs < 0).any())


@pytest.mark.parametrize("depth", [11, 110, 164])
def test_a_pre_activated_network_has_its_layers_and_a_few_projections(depth: int) -> None:
    with torch.device("meta"):
        network = PreResNet(depth)
    convolutions = {key for key, layer in network.named_modules() if isinstance(layer, nn.Conv2d)}
    projections = {f"stage{stage}.0.shortcut" for stage in (1, 2, 3)}
    assert projections < convolutions
    assert len(convolutions - projections) + 1 == depth  # and the classifier


def test_a_depth_that_stages_cannot_share_is_named() -> None:
    with pytest.raises(UsageError, match=r"9n \+ 2 layers .*, not 100"):
        PreResNet(100)


def test_two_initialisations_of_resnet18_are_as_far_apart_as_the_closed_form_says() -> None:
    """``E d² = 2 Σ Var(w)`` with ``Var = 1 / (3 fan_in)``; batch norm starts the same in both."""
    first, second = (build("resnet18", seed=seed) for seed in (0, 1))
    variance = 0.0
    for layer in first.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_in = layer.weight[0].numel()
            biases = 0 if layer.bias is None else layer.bias.numel()
            variance += (layer.weight.numel() + biases) / (3 * fan_in)
    closed_form = math.sqrt(2 * variance)
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    measured = math.sqrt(sum(float((a.detach().double() - b.detach().double()).square().sum()) for a, b in pairs))
    assert closed_form == pytest.approx(56.6, abs=0.05)
    assert measured == pytest.approx(closed_form, rel=0.01)
