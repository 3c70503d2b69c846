"""build: names, references and factories; seeds; errors that state the remedy."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from orograph.basics.errors import ModelError, UsageError
from orograph.models import MLP, ConvNet, build


@dataclass
class SomeData:
    """The part of a data set that build looks at."""

    classes: int = 4
    input_shape: tuple[int, ...] = (1, 8, 8)


def values(network: nn.Module) -> torch.Tensor:
    return torch.cat([value.detach().flatten() for value in network.parameters()])


def test_the_network_fits_the_data() -> None:
    network = build("convnet", SomeData(classes=4, input_shape=(2, 8, 16)))
    assert network(torch.zeros(3, 2, 8, 16)).shape == (3, 4)
    assert network.training


def test_what_is_said_goes_before_the_data() -> None:
    network = build("convnet", SomeData(), classes=9, image_size=28)
    assert network(torch.zeros(3, 1, 28, 28)).shape == (3, 9)


def test_vectors_go_to_the_multilayer_perceptron_only() -> None:
    data = SomeData(input_shape=(13,))
    assert build("mlp", data, hidden=(5,))(torch.zeros(3, 13)).shape == (3, 4)
    with pytest.raises(ModelError, match="vectors of 13 features; use 'mlp'"):
        build("resnet20", data)


@pytest.mark.parametrize("hidden", [(), (7,), (7, 5)])
def test_hidden_widths_of_the_perceptron(hidden: tuple[int, ...]) -> None:
    linear = [layer for layer in build("mlp", SomeData(), hidden=hidden).modules() if isinstance(layer, nn.Linear)]
    assert [layer.out_features for layer in linear] == [*hidden, 4]


def test_width_multiplies_the_hidden_layers_of_the_perceptron() -> None:
    network = build("mlp", SomeData(), hidden=(8, 3), width=2.5)
    assert [layer.out_features for layer in network.modules() if isinstance(layer, nn.Linear)] == [20, 8, 4]


@pytest.mark.parametrize("name", ["mlp", "convnet", "vgg-a", "resnet8", "wrn-16-4", "preresnet110", "densenet40"])
def test_one_seed_is_one_network_whatever_the_global_state(name: str) -> None:
    torch.manual_seed(1)
    first = build(name, SomeData(), seed=5)
    torch.manual_seed(2)
    second = build(name, SomeData(), seed=5)
    assert torch.equal(values(first), values(second))
    assert not torch.equal(values(first), values(build(name, SomeData(), seed=6)))


def test_a_seed_leaves_the_global_random_states_alone() -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    build("vgg-a", SomeData(), seed=0, width=0.1)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert np.array_equal(before[2], np.random.get_state()[1])


def test_without_a_seed_the_global_state_decides() -> None:
    torch.manual_seed(3)
    drawn = build("mlp", SomeData())
    torch.manual_seed(3)
    assert torch.equal(values(drawn), values(MLP(4, 1, 8)))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet-20", "resnet20"),
        ("vgg16", "vgg-d"),
        ("VGG-19", "vgg-e"),
        ("VGG-A", "vgg-a"),
        ("wrn-28-1", "wrn-28-10"),
        ("PreResNet-164", "preresnet164"),
        ("densenet-40", "densenet40"),
    ],
)
def test_an_unknown_name_gets_the_nearest_one(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"no network is called '{name}' \\(did you mean '{hint}'\\?\\)"):
        build(name)


def test_an_unknown_option_gets_the_nearest_one_of_that_network() -> None:
    with pytest.raises(UsageError, match="resnet20 has no option 'shortcuts' \\(did you mean 'shortcut'\\?\\)"):
        build("resnet20", shortcuts="B")
    with pytest.raises(UsageError, match="vgg-a-bn has no option 'batch_norm'"):
        build("vgg-a-bn", batch_norm=False)  # the name has chosen
    with pytest.raises(UsageError, match=r"has no option 'depth'.*; it has shortcut, batch_norm, width"):
        build("resnet20", depth=32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: build("convnet", image_size=7), ModelError, "at least 8 pixels a side, not 7x7"),
        (lambda: build("resnet20", image_size=(32, 0)), ModelError, "at least 1 pixel a side, not 32x0"),
        (lambda: build("mlp", classes=0), ModelError, "mlp needs at least 1 class, not 0"),
        (lambda: build("vgg-a", channels=0), ModelError, "vgg-a needs at least 1 input channel, not 0"),
        (
            lambda: build("vgg-a", SomeData(input_shape=(3, 4))),
            ModelError,
            "the data \\(SomeData\\) has \\(3, 4\\)",
        ),
        (lambda: build("resnet20", image_size=(3, 8, 8)), UsageError, "a side in pixels or \\(height, width\\)"),
        (lambda: build("resnet20", image_size="32"), UsageError, "a side in pixels or \\(height, width\\)"),
        (lambda: build("resnet20", object()), UsageError, "needs to know .classes, .* \\(object\\)"),
        (lambda: build("resnet20", width=0), UsageError, "width is a multiplier above 0"),
        (lambda: build("resnet20", width=float("nan")), UsageError, "width is a multiplier above 0"),
        (lambda: build("wrn-16-4", width=-1), UsageError, "width is a multiplier above 0"),
        (lambda: build("wrn-16-4", width="foo"), UsageError, "width is a number"),
        (lambda: build("mlp", width=0), UsageError, "width is a multiplier above 0"),
        (lambda: build("densenet40", growth=0), UsageError, "a whole number from 1, not 0"),
        (lambda: build("densenet40", compression=0), UsageError, "the share of maps a transition keeps, .* not 0"),
        (lambda: build("densenet40", dropout=1), UsageError, "dropout must be at least 0 and below 1, not 1"),
        (lambda: build("densenet40", image_size=3), ModelError, "densenet40 takes images of at least 4 pixels a side"),
        (lambda: build("preresnet164", channels=0), ModelError, "preresnet164 needs at least 1 input channel"),
        (lambda: build("convnet", width=0), UsageError, "a whole number from 1, not 0"),
        (lambda: build("vgg-a", dropout=1.0), UsageError, "dropout must be at least 0 and below 1, not 1.0"),
        (lambda: build("vgg-a", head=-1), UsageError, "0 for a classifier alone, not -1"),
        (lambda: build("resnet20", shortcut="C"), UsageError, "shortcut is 'A' .* or 'B' .*, not 'C'"),
        (lambda: build("mlp", hidden=(8, 0)), UsageError, "at least 1 unit each, not \\(8, 0\\)"),
    ],
)
def test_impossible_sizes_and_options_are_one_line(call: Callable[[], Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_finished_module_comes_back_as_it_is() -> None:
    network = nn.Linear(2, 2)
    assert build(network, SomeData(), seed=1) is network
    with pytest.raises(UsageError, match="'width' is an option for a factory"):
        build(network, width=2)


def test_a_factory_gets_the_arguments_that_it_names_and_no_others() -> None:
    seen: dict[str, object] = {}

    def factory(data: SomeData, classes: int, image_size: int, depth: int = 1) -> nn.Module:
        seen.update(data=data, classes=classes, image_size=image_size, depth=depth)
        return nn.Linear(image_size, classes)

    data = SomeData()
    assert isinstance(build(factory, data, depth=3), nn.Linear)
    assert seen == {"data": data, "classes": 4, "image_size": 8, "depth": 3}
    with pytest.raises(UsageError, match="has no option 'dept' \\(did you mean 'depth'\\?\\)"):
        build(factory, data, dept=3)
    with pytest.raises(UsageError, match="missing a required argument: 'data'"):
        build(factory)


def test_a_factory_with_open_keywords_gets_options_but_no_unasked_sizes() -> None:
    """As torchvision's factories, which hand their keywords on to a class that knows no ``data``."""
    seen: dict[str, object] = {}

    def factory(**options: object) -> nn.Module:
        seen.update(options)
        return nn.Identity()

    build(factory, SomeData(), num_classes=4)
    assert seen == {"num_classes": 4}


def test_a_factory_takes_data_of_any_kind_and_own_networks_ask_for_what_it_leaves_open() -> None:
    sentences = ["a", "b"]
    assert isinstance(build(lambda data: nn.Linear(len(data), 1), sentences), nn.Linear)
    assert build("mlp", sentences, classes=3, channels=2, image_size=8).layers.classifier.out_features == 3
    with pytest.raises(ModelError, match="give channels= and image_size="):
        build("mlp", sentences, classes=3)


def test_a_class_is_a_factory_and_a_seed_decides_its_values() -> None:
    first, second = (build(ConvNet, SomeData(), seed=2, width=4) for _ in range(2))
    assert torch.equal(values(first), values(second))


def test_a_reference_names_a_factory_or_a_module_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\n"
        "def network(classes, channels, image_size, hidden=3):\n"
        "    features = channels * image_size**2\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(features, hidden), nn.Linear(hidden, classes))\n"
        "def words():\n"
        "    return 'not a network'\n"
        "finished = nn.Linear(2, 2)\n"
        "number = 3\n"
    )
    network = build(f"{file}:network", SomeData(), hidden=5, seed=0)
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 4)
    assert network[1].out_features == 5
    assert build(f"{file}:finished") is build(f"{file}:finished")
    with pytest.raises(ModelError, match=r"words must return an nn\.Module, not str"):
        build(f"{file}:words")
    with pytest.raises(UsageError, match="number is not a function or class that makes a network"):
        build(f"{file}:number")
    with pytest.raises(UsageError, match="did you mean 'network'"):
        build(f"{file}:netwrk")
    assert isinstance(build("torch.nn:Identity"), nn.Identity)
