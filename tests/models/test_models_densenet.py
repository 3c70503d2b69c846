"""Dense networks: the growth of a block by hand, the paper's table of sizes, and where dropout sits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from orograph.basics.errors import UsageError
from orograph.models import DenseNet, build
from orograph.models.densenet import DenseBlock, dense_layer, transition


def images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


# Table 2 of Huang et al. 2017: depth, growth rate, bottleneck and compression, millions of parameters.
PUBLISHED = [
    (40, 12, False, 1.0),
    (100, 12, False, 7.0),
    (100, 24, False, 27.2),
    (100, 12, True, 0.8),
    (250, 24, True, 15.3),
    (190, 40, True, 25.6),
]


@pytest.mark.parametrize(("depth", "growth", "compressed", "millions"), PUBLISHED)
def test_sizes_are_those_of_the_papers_table(depth: int, growth: int, compressed: bool, millions: float) -> None:
    compression = 0.5 if compressed else 1.0
    with torch.device("meta"):
        network = DenseNet(depth, growth=growth, bottleneck=compressed, compression=compression)
    assert sum(value.numel() for value in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) + 1 == depth  # and the classifier


def test_the_number_of_parameters_is_the_closed_form() -> None:
    """A layer that sees c maps has 2c for its batch norm and 9ck for its convolution; a transition 2c + c²."""
    growth, layers, maps = 24, 32, 16
    count = 9 * 3 * maps
    for block in range(3):
        for _ in range(layers):
            count += 2 * maps + 9 * maps * growth
            maps += growth
        count += 2 * maps + (maps**2 if block < 2 else 10 * maps + 10)
    with torch.device("meta"):
        assert sum(value.numel() for value in build("densenet100").parameters()) == count == 27_249_082


def test_a_name_sets_the_growth_rate_and_leaves_it_to_choose() -> None:
    with torch.device("meta"):
        rates = [build(name).block1.layers[0].conv.out_channels for name in ("densenet40", "densenet100")]
        assert rates == [12, 24]
        assert build("densenet100", growth=12).block1.layers[0].conv.out_channels == 12
        assert build("densenet100-bc").block1.layers[0].grow.conv.out_channels == 12


@pytest.mark.parametrize("bottleneck", [False, True])
def test_a_layers_input_is_everything_before_it_in_order(bottleneck: bool) -> None:
    torch.manual_seed(0)
    block = DenseBlock(5, 3, 4, bottleneck=bottleneck, dropout=0.0)
    seen: list[torch.Tensor] = []
    added: list[torch.Tensor] = []

    def note(_: nn.Module, given: tuple[torch.Tensor], output: torch.Tensor) -> None:
        seen.append(given[0])
        added.append(output)

    for layer in block.layers:
        layer.register_forward_hook(note)
    start = images(2, 5, 6, 6)
    end = block(start)
    assert [given.shape[1] for given in seen] == [5, 8, 11, 14]
    for number, given in enumerate(seen):
        assert torch.equal(given, torch.cat([start, *added[:number]], dim=1))
    assert torch.equal(end, torch.cat([start, *added], dim=1))
    assert end.shape[1] == block.outputs == 17


def test_layers_that_add_up_what_they_see_double_it() -> None:
    """One positive map x, every layer the sum of its inputs: x, then x, 2x, 4x, 8x."""
    block = DenseBlock(1, 1, 4, bottleneck=False, dropout=0.0).eval()
    for layer in block.layers:
        layer.bn.eps = 0.0
        nn.init.zeros_(layer.conv.weight)
        nn.init.ones_(layer.conv.weight[:, :, 1, 1])
    start = images(1, 1, 3, 3).abs()
    assert torch.allclose(block(start)[0], torch.tensor([1.0, 1, 2, 4, 8])[:, None, None] * start[0])


def test_a_bottleneck_is_four_growth_rates_wide() -> None:
    layer = dense_layer(50, 3, bottleneck=True, dropout=0.0)
    assert (layer.narrow.conv.out_channels, layer.narrow.conv.kernel_size) == (12, (1, 1))
    assert (layer.grow.conv.out_channels, layer.grow.conv.kernel_size) == (3, (3, 3))


def test_a_transition_mixes_maps_and_averages_four_pixels() -> None:
    between = transition(2, 1, dropout=0.0).eval()
    between.mix.bn.eps = 0.0
    between.mix.conv.weight.data = torch.tensor([1.0, 10.0])[None, :, None, None]
    maps = torch.tensor([[[1.0, -2], [3, 4]], [[0, 1], [-1, 2]]])[None]
    assert between(maps).flatten().tolist() == [pytest.approx((1 + 0 + 3 + 4) / 4 + 10 * (0 + 1 + 0 + 2) / 4)]


def test_compression_rounds_down_and_keeps_a_map() -> None:
    with torch.device("meta"):
        network = DenseNet(10, growth=3, bottleneck=True, compression=0.5)
        assert network.transition1.mix.conv.out_channels == 4  # of 6 + 3
        assert DenseNet(7, growth=1, compression=0.001).transition1.mix.conv.out_channels == 1


@pytest.mark.parametrize("name", ["densenet40", "densenet100-bc"])
def test_dropout_follows_every_convolution_but_the_stem_in_training_only(name: str) -> None:
    network = build(name, classes=10, channels=1, image_size=8, width=0.25, dropout=0.2, seed=0).eval()
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.2] * (len(convolutions) - 1)
    inputs = images(2, 1, 8, 8)
    assert torch.equal(network(inputs), network(inputs))
    network.train()
    assert not torch.equal(network(inputs), network(inputs))
    without = build(name, classes=10, channels=1, image_size=8, width=0.25)
    assert not any(isinstance(layer, nn.Dropout) for layer in without.modules())
    assert without.state_dict().keys() == network.state_dict().keys()


def test_impossible_networks_are_explained() -> None:
    with pytest.raises(UsageError, match=r"a DenseNet has 3n \+ 4 layers \(40, .*\), not 41"):
        DenseNet(41)
    with pytest.raises(UsageError, match=r"with a bottleneck has 6n \+ 4 layers .*, not 43"):
        DenseNet(43, bottleneck=True)
