"""VGG as a fully convolutional network: exact at the training size, a map of scores on larger images."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from orograph.basics.errors import UsageError
from orograph.models import VGG


def vgg(image_size: int, **options: object) -> VGG:
    torch.manual_seed(1)
    return VGG("A", 5, 3, image_size, width=0.125, **options).eval()


def images(rows: int, columns: int | None = None) -> torch.Tensor:
    return torch.randn(2, 3, rows, columns or rows, generator=torch.Generator().manual_seed(0))


def with_linear_head(network: VGG, inputs: torch.Tensor) -> torch.Tensor:
    """The head as the paper trains it: the map flattened, then linear layers with the same weights."""
    signal = network.features(inputs).flatten(1)
    for layer in network.head:
        if isinstance(layer, nn.Conv2d):
            signal = functional.linear(signal, layer.weight.flatten(1), layer.bias)
        else:
            signal = layer(signal)
    return signal


@pytest.mark.parametrize("image_size", [32, 64, 224])
@pytest.mark.parametrize("head", [None, 0, 64])
def test_at_the_training_size_the_head_is_three_linear_layers(image_size: int, head: int | None) -> None:
    network = vgg(image_size, head=head).double()
    inputs = images(image_size).double()
    with torch.no_grad():
        torch.testing.assert_close(network(inputs), with_linear_head(network, inputs), rtol=1e-10, atol=1e-10)


def test_on_a_larger_image_the_output_is_the_mean_of_the_score_map() -> None:
    network, inputs = vgg(64), images(96, 128)
    with torch.no_grad():
        scores = network.score_map(inputs)  # 3x4 maps under a 2x2 kernel
        assert scores.shape == (2, 5, 2, 3)
        torch.testing.assert_close(network(inputs), scores.flatten(2).mean(2))
        corner = network.features(inputs)[:, :, :2, :2]
        torch.testing.assert_close(scores[:, :, 0, 0], network.head(corner)[:, :, 0, 0])


def test_poolings_that_find_a_single_pixel_are_left_out() -> None:
    poolings = {
        size: [name for name, _ in vgg(size).features.named_children() if name.startswith("pool")]
        for size in (224, 32, 28, 8, 1)
    }
    assert [len(names) for names in poolings.values()] == [5, 5, 4, 3, 0]
    kernels = [vgg(size).head.fc6.kernel_size for size in (224, 64, 32, 28, 8)]
    assert kernels == [(7, 7), (2, 2), (1, 1), (1, 1), (1, 1)]


def test_the_head_is_4096_wide_for_large_images_and_512_for_small_ones() -> None:
    with torch.device("meta"):
        assert [VGG("D", 10, 3, size).head.fc6.out_channels for size in (32, 64, 224)] == [512, 512, 4096]
        assert VGG("D", 10, 3, 32, head=100).head.fc6.out_channels == 100
        assert [name for name, _ in VGG("D", 10, 3, 32, head=0).head.named_children()] == ["fc8"]


def test_configurations_have_the_layers_of_the_papers_table() -> None:
    with torch.device("meta"):
        for letter, layers in zip("ABCDE", (11, 13, 16, 16, 19), strict=True):
            convolutions = [layer for layer in VGG(letter).modules() if isinstance(layer, nn.Conv2d)]
            assert len(convolutions) == layers
        names = [f"conv{stage}_3" for stage in (3, 4, 5)]
        assert [getattr(VGG("C").features, name).kernel_size for name in names] == [(1, 1)] * 3
        assert [getattr(VGG("D").features, name).kernel_size for name in names] == [(3, 3)] * 3


def test_dropout_sits_in_the_head_and_acts_only_in_training() -> None:
    network, inputs = vgg(32), images(32)
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.5, 0.5]
    assert torch.equal(network(inputs), network(inputs))
    network.train()
    assert not torch.equal(network(inputs), network(inputs))
    without = vgg(32, dropout=0.0)
    assert not any(isinstance(layer, nn.Dropout) for layer in without.modules())
    assert without.state_dict().keys() == network.state_dict().keys()


def test_without_batch_norm_the_initial_values_are_he_normal_with_fan_out() -> None:
    torch.manual_seed(0)
    network = VGG("D", 10, 3, 32)
    for name, fan_out in (("conv2_1", 128 * 9), ("conv4_2", 512 * 9), ("conv5_3", 512 * 9)):
        weight = getattr(network.features, name).weight.detach()
        # The variance of n normal values is known to within sqrt(2/n); four of those.
        assert float(weight.var()) == pytest.approx(2 / fan_out, rel=4 * (2 / weight.numel()) ** 0.5)
    assert float(network.head.fc6.weight.detach().var()) == pytest.approx(2 / 512, rel=0.02)
    assert not any(value.any() for name, value in network.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("letter", ["A", "D", "E"])
@pytest.mark.parametrize("size", [8, 28, 32])
def test_the_signal_reaches_the_end_of_the_deepest_plain_network(letter: str, size: int) -> None:
    """PyTorch's default lets it die: 1e-6 of the input's spread after 16 layers."""
    torch.manual_seed(0)
    network = VGG(letter, 10, 3, size, width=0.5).eval()
    with torch.no_grad():
        spread = network(torch.randn(64, 3, size, size)).std(0).mean()
    assert 0.02 < float(spread) < 5


def test_with_batch_norm_the_initial_values_are_pytorchs() -> None:
    torch.manual_seed(0)
    network = VGG("A", 10, 3, 32, batch_norm=True)
    weight = network.features.conv3_1.weight.detach()
    assert float(weight.var()) == pytest.approx(1 / (3 * 128 * 9), rel=0.02)
    assert float(weight.abs().max()) <= (128 * 9) ** -0.5


def test_a_wrong_configuration_is_named() -> None:
    with pytest.raises(UsageError, match="configurations A, B, C, D, E, not 'F'"):
        VGG("F")
    with pytest.raises(UsageError, match="did you mean 'D'"):
        VGG("d")
