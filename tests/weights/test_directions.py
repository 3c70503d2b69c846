"""Random directions: every filter as long as the weights' own, axes orthogonal, one seed one plane."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import nn

from orograph.weights import Weights, dot, normalize, random_direction, random_plane
from orograph.weights.directions import filters, is_vector


def network(groups: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ConvTranspose2d(8, 4 * groups, 2, groups=groups),
        nn.Linear(7, 5),
        nn.Embedding(6, 3),
    )


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), groups=st.sampled_from([1, 2, 4]))
def test_each_filter_is_as_long_as_the_weights_filter(seed, groups):
    torch.manual_seed(seed)
    weights = Weights.of(network(groups))
    first, second = random_plane(weights, seed=seed)
    for direction in (first, second):
        for slot in weights.layout.slots:
            if is_vector(slot):
                assert not direction[slot.start : slot.stop].any()
                continue
            ratio = filters(slot, direction).norm(dim=1) / filters(slot, weights.vector).norm(dim=1)
            torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=1e-5, atol=0)
    assert abs(dot(first, second)) < 1e-5 * dot(first, first)


def test_a_transposed_convolutions_filter_is_its_output_channel():
    layer = nn.ConvTranspose2d(4, 6, 2, groups=2, bias=False)
    weights = Weights.of(layer)
    rows = filters(weights.layout.slots[0], weights.vector)
    image = torch.zeros(1, 4, 1, 1)
    for channel in range(6):  # channel c of the output depends on exactly the entries of filter c
        with torch.no_grad():
            layer.weight.zero_()
            layer.weight[:, channel % 3].view(2, 2, 2, 2)[channel // 3] = 1
        image[:] = 1
        assert set(layer(image).abs().sum((0, 2, 3)).nonzero().flatten().tolist()) == {channel}
        now = filters(weights.layout.slots[0], Weights.of(layer).vector)
        assert now.abs().sum(1).nonzero().flatten().tolist() == [channel]
    assert rows.shape == (6, 8)


def test_a_zero_filter_does_not_move_and_nothing_becomes_nan():
    layer = nn.Linear(3, 4, bias=False)
    with torch.no_grad():
        layer.weight[1].zero_()
    weights = Weights.of(layer)
    direction = normalize(random_direction(weights, seed=0), weights)
    assert not direction.view(4, 3)[1].any()
    assert torch.isfinite(direction).all()


@pytest.mark.parametrize("normalization", ["layer", "tensor"])
def test_layer_normalisation_scales_whole_tensors(normalization):
    weights = Weights.of(network())
    direction = normalize(random_direction(weights, seed=1), weights, normalization=normalization)
    slot = weights.layout.slots[0]
    length, own = (v[slot.start : slot.stop].norm() for v in (direction, weights.vector))
    torch.testing.assert_close(length, own)
    rows = filters(slot, direction).norm(dim=1) / filters(slot, weights.vector).norm(dim=1)
    assert rows.std() > 0.01  # and not filter by filter


def test_one_dimensional_tensors_move_only_as_wholes_and_only_when_asked():
    weights = Weights.of(nn.Linear(3, 4))
    moved = normalize(random_direction(weights, seed=1), weights, vectors="tensor")
    bias = weights.layout.slots[1]
    part, own = (v[bias.start : bias.stop] for v in (moved, weights.vector))
    torch.testing.assert_close(part.norm(), own.norm())
    assert not torch.allclose(part.abs(), own.abs())


def test_without_normalisation_entries_are_standard_normal_and_axes_orthogonal():
    weights = Weights.of(nn.Linear(300, 100))
    first, second = random_plane(weights, seed=3, normalization="none")
    assert abs(first.mean()) < 0.03
    assert abs(first.std() - 1) < 0.03
    assert abs(dot(first, second)) < 1e-3


def test_one_seed_is_one_plane():
    weights = Weights.of(network())
    for a, b in zip(random_plane(weights, seed=5), random_plane(weights, seed=5), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(random_plane(weights, seed=5)[0], random_plane(weights, seed=6)[0])
