"""Parameter counts against the published ones, output shapes on the three usual image sizes, and tracing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from orograph.models import build, known

PUBLISHED_FOR_CIFAR10 = {
    "resnet8": 75_290,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "resnet18": 11_173_962,
    "wrn-16-4": 2_748_890,
    "wrn-28-10": 36_479_194,
    "preresnet164": 1_703_258,
    "densenet40": 1_019_722,
    "densenet100-bc": 769_162,
    "vgg-d": 15_245_130,  # VGG16 of Garipov et al. 2018
}
PUBLISHED_FOR_IMAGENET = {
    "vgg-a": 132_863_336,
    "vgg-b": 133_047_848,
    "vgg-c": 133_638_952,
    "vgg-d": 138_357_544,
    "vgg-e": 143_667_240,
}
# Counted by hand, since they are published only to three digits (27.2M) or not at all.
COUNTED = {"preresnet110": 1_146_842, "densenet100": 27_249_082}
OF_IMAGES = [name for name in known() if not name.startswith("transformer")]
SMALL = {"vgg": {"width": 0.125}, "resnet18": {"width": 0.125}, "preresnet": {"width": 0.25}, "dense": {"width": 0.25}}


def parameters(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def small(name: str, **sizes: int) -> nn.Module:
    """The network as it is used in these tests: the widest and deepest families at a part of their width."""
    options = next((options for prefix, options in SMALL.items() if name.startswith(prefix)), {})
    return build(name, seed=0, **sizes, **options).eval()


@pytest.mark.parametrize(("name", "count"), PUBLISHED_FOR_CIFAR10.items())
def test_networks_for_cifar10_have_the_published_number_of_parameters(name: str, count: int) -> None:
    with torch.device("meta"):
        assert parameters(build(name, classes=10, channels=3, image_size=32)) == count


@pytest.mark.parametrize(("name", "count"), PUBLISHED_FOR_IMAGENET.items())
def test_vgg_has_the_published_number_of_parameters_on_imagenet(name: str, count: int) -> None:
    with torch.device("meta"):
        assert parameters(build(name, classes=1000, channels=3, image_size=224)) == count


def test_known_describes_each_network_by_its_true_size() -> None:
    descriptions = known()
    assert list(descriptions)[:2] == ["mlp", "convnet"]
    for name, count in (PUBLISHED_FOR_CIFAR10 | PUBLISHED_FOR_IMAGENET | COUNTED).items():
        assert f"{count:,} parameters" in descriptions[name]
    assert "14,378 parameters on 8x8 digits" in descriptions["convnet"]
    assert "8,970 parameters on 8x8 digits" in descriptions["mlp"]


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (1, 28), (3, 32)])
@pytest.mark.parametrize(
    "name",
    [
        "mlp",
        "convnet",
        "vgg-a",
        "vgg-c-bn",
        "vgg-e",
        "resnet8",
        "resnet8-nobn",
        "resnet18",
        "preresnet110",
        "densenet40",
        "densenet100-bc",
    ],
)
def test_one_row_of_logits_per_image_and_every_parameter_takes_part(name: str, channels: int, size: int) -> None:
    network = small(name, classes=7, channels=channels, image_size=size)
    logits = network(torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    without = [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert without == []


@pytest.mark.parametrize("name", ["wrn-16-4", "preresnet110", "densenet40", "densenet100-bc"])
def test_a_step_downhill_moves_every_parameter_and_lowers_the_loss(name: str) -> None:
    network = build(name, classes=4, channels=1, image_size=8, width=0.25, seed=0)
    images = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(16) % 4
    before = {key: value.detach().clone() for key, value in network.named_parameters()}
    loss = nn.functional.cross_entropy(network(images), labels)
    loss.backward()
    torch.optim.SGD(network.parameters(), lr=1e-3).step()
    assert [key for key, value in network.named_parameters() if torch.equal(value, before[key])] == []
    with torch.no_grad():
        assert nn.functional.cross_entropy(network(images), labels) < loss


@pytest.mark.parametrize("name", OF_IMAGES)
def test_shapes_agree_for_every_name_at_every_size(name: str) -> None:
    for channels, size in ((1, 8), (1, 28), (3, 32)):
        with torch.device("meta"):
            network = build(name, classes=3, channels=channels, image_size=size).eval()
            assert network(torch.empty(2, channels, size, size)).shape == (2, 3)


def test_images_need_not_be_square() -> None:
    for name in ("mlp", "convnet", "vgg-a", "resnet8", "wrn-16-4", "preresnet110", "densenet40"):
        with torch.device("meta"):
            network = build(name, classes=3, channels=1, image_size=(8, 20)).eval()
            assert network(torch.empty(2, 1, 8, 20)).shape == (2, 3)


@pytest.mark.parametrize(
    "name",
    [
        "mlp",
        "convnet",
        "vgg-a",
        "vgg-c-bn",
        "resnet8",
        "resnet20-nobn",
        "resnet18",
        "wrn-16-4",
        "preresnet110",
        "densenet40",
        "densenet100-bc",
    ],
)
def test_symbolic_tracing_gives_the_same_function(name: str) -> None:
    network = small(name, classes=10, channels=1, image_size=8)
    traced = torch.fx.symbolic_trace(network)
    images = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(traced(images), network(images))


@pytest.mark.parametrize("name", ["vgg-c-bn", "resnet20", "resnet18", "wrn-16-4", "densenet100-bc"])
def test_a_batch_norm_behind_a_convolution_is_its_only_reader(name: str) -> None:
    """So that the pair can be folded into one convolution."""
    traced = torch.fx.symbolic_trace(small(name, classes=10, channels=1, image_size=8))
    pairs = 0
    for node in traced.graph.nodes:
        if node.op == "call_module" and isinstance(traced.get_submodule(node.target), nn.BatchNorm2d):
            source = node.args[0]
            if source.op == "call_module" and isinstance(traced.get_submodule(source.target), nn.Conv2d):
                assert list(source.users) == [node]
                pairs += 1
    assert pairs >= 7


@pytest.mark.parametrize("name", [name for name in known() if name.endswith("-nobn") or name in ("vgg-d", "convnet")])
def test_networks_without_batch_norm_have_no_norm_and_every_convolution_has_a_bias(name: str) -> None:
    with torch.device("meta"):
        layers = list(build(name, classes=10, channels=3, image_size=32).modules())
    assert not any(isinstance(layer, nn.modules.batchnorm._BatchNorm | nn.GroupNorm | nn.LayerNorm) for layer in layers)
    assert all(layer.bias is not None for layer in layers if isinstance(layer, nn.Conv2d))


NORMALISED = [name for name in known() if name.endswith("-bn") or name.startswith(("preresnet", "densenet", "wrn"))]


@pytest.mark.parametrize("name", [*NORMALISED, "resnet20", "resnet18"])
def test_a_convolution_before_batch_norm_has_no_bias(name: str) -> None:
    with torch.device("meta"):
        trunk = build(name, classes=10, channels=3, image_size=32)
        trunk = getattr(trunk, "features", trunk)
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in trunk.modules())
    assert all(layer.bias is None for layer in trunk.modules() if isinstance(layer, nn.Conv2d))


@pytest.mark.parametrize("name", OF_IMAGES)
def test_half_the_width_is_half_of_every_layer_but_the_last(name: str) -> None:
    def outputs(width: float) -> list[int]:
        with torch.device("meta"):
            network = build(name, classes=7, channels=3, image_size=32, width=width)
        return [
            value.shape[0] for key, value in network.named_parameters() if key.endswith("weight") and value.ndim > 1
        ]

    # The small convolutional network's width is a number of channels, not a multiplier.
    whole, half = (outputs(width) for width in ((16, 8) if name == "convnet" else (1, 0.5)))
    assert (whole[-1], half[-1]) == (7, 7)
    assert [2 * channels for channels in half[:-1]] == whole[:-1]


def test_width_multiplies_channels_and_never_loses_the_last_one() -> None:
    with torch.device("meta"):
        stems = [build("resnet20", width=width).conv.out_channels for width in (0.001, 0.5, 1, 2)]
        assert stems == [1, 8, 16, 32]
        half = build("vgg-d", image_size=224, width=0.5)
        assert (half.features.conv1_1.out_channels, half.head.fc7.out_channels) == (32, 2048)
        assert build("resnet18", width=1 / 64).classifier.in_features == 8
        assert build("convnet", width=4).classifier.in_features == 8 * 16
        quadrupled = parameters(build("resnet18", width=2)) / parameters(build("resnet18"))
    assert quadrupled == pytest.approx(4, rel=0.01)
