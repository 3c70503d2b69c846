"""Test protocols: against loops over single crops in float64, closed forms of ties, and a network given back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from networks import BatchNormNet, trained_statistics
from orograph.basics.errors import ModelError, UsageError
from orograph.data import BatchList, Split, rescaled
from orograph.models import MLP, VGG
from orograph.objective import Objective, evaluate_views
from orograph.objective.looks import VIEWS, Looks, log_probabilities
from orograph.objective.views import ranks_of
from orograph.results import Result, Views
from orograph.weights import Weights

CLASSES = 12


def vgg(image_size: int = 32, **options: object) -> VGG:
    torch.manual_seed(1)
    return VGG("A", CLASSES, 3, image_size, width=0.125, **options).eval()


def pictures(n: int = 9, height: int = 40, width: int = 47, dtype: torch.dtype = torch.float64) -> Split:
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(n, 3, height, width, generator=draw, dtype=torch.float64).to(dtype)
    return Split(images, torch.randint(0, CLASSES, (n,), generator=draw))


class Fixed(nn.Module):
    """Answers with the images' own first pixels: logits are given, not computed."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes, self.unused = classes, nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        return images[:, 0, 0, : self.classes]


def given(logits: list[list[float]], labels: list[int]) -> Split:
    rows = torch.tensor(logits)
    return Split(rows[:, None, None, :].repeat(1, 1, rows.shape[1], 1), torch.tensor(labels))


def crops_by_hand(image: Tensor, side: int, protocol: str) -> list[Tensor]:
    """The views of one image (channels, height, width), cut out by slices with their numbers written down."""
    _, height, width = image.shape
    down, right = height - side, width - side
    if protocol == "centre-crop":
        corners = [(down // 2, right // 2)]
    elif protocol == "ten-crop":
        corners = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    else:
        corners = [(int(down * i / 4), int(right * j / 4)) for i in range(5) for j in range(5)]
    cut = [image[:, top : top + side, left : left + side] for top, left in corners]
    return cut if protocol == "centre-crop" else [*cut, *(torch.flip(view, (2,)) for view in cut)]


def probabilities_by_hand(network: nn.Module, images: Tensor, protocol: str, side: int, scales: list[int]) -> Tensor:
    """One view of one image after the other."""
    found = torch.zeros(len(images), CLASSES, dtype=torch.float64)
    with torch.no_grad():
        for number, image in enumerate(images):
            views = [v for scale in scales for v in crops_by_hand(rescaled(image[None], scale)[0], side, protocol)]
            for view in views:
                found[number] += torch.softmax(network(view[None])[0], 0) / len(views)
    return found


@pytest.mark.parametrize("scales", [[40], [33, 40, 51]])
@pytest.mark.parametrize("protocol", ["centre-crop", "ten-crop", "multi-crop"])
def test_crops_are_averaged_as_in_a_loop_over_single_ones(protocol, scales):
    network, split = vgg().double(), pictures(4)
    looks = Looks(protocol, tuple(scales), 32)
    with torch.no_grad():
        found = log_probabilities(network, split.inputs, looks).exp()
    expected = probabilities_by_hand(network, split.inputs, protocol, 32, scales)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.sum(1), torch.ones(4, dtype=torch.float64))
    assert looks.count == len(scales) * {"centre-crop": 1, "ten-crop": 10, "multi-crop": 50}[protocol]


@pytest.mark.parametrize("protocol", ["centre-crop", "ten-crop", "multi-crop"])
def test_the_errors_are_those_of_the_averaged_probabilities(protocol):
    network, split = vgg().double(), pictures(30)
    found = evaluate_views(network, split, protocol, crop=32, scales=(36, 44), batch_size=7)
    scores = probabilities_by_hand(network, split.inputs, protocol, 32, [36, 44])
    order = scores.argsort(1, descending=True)
    places = (order == split.targets[:, None]).double().argmax(1)
    assert found.rank.tolist() == places.tolist()
    wrong = (places > 0).double().numpy()
    assert found.top1.value == pytest.approx(wrong.mean())
    assert found.top1.se == pytest.approx(np.sqrt(wrong.mean() * (1 - wrong.mean()) / 29))
    assert found.top5.value == pytest.approx(float((places >= 5).double().mean()))
    assert (found.views, found.scales, found.crop, found.classes) == (2 * VIEWS[protocol], (36, 44), 32, CLASSES)
    assert found.provenance.cost.forward == 30 * found.views
    assert found.provenance.fingerprint == split.fingerprint


def test_dense_at_the_training_size_is_the_centre_crop_and_its_mirror_image():
    network, split = vgg(64).double(), pictures(6, 64, 64)
    with torch.no_grad():
        dense = log_probabilities(network, split.inputs, Looks("dense", (64,), None)).exp()
        centre, mirrored = (
            log_probabilities(network, images, Looks("centre-crop", (64,), 64)).exp()
            for images in (split.inputs, split.inputs.flip(3))
        )
    torch.testing.assert_close(dense, (centre + mirrored) / 2, rtol=1e-12, atol=1e-14)
    symmetric = Split(split.inputs + split.inputs.flip(3), split.targets)
    assert evaluate_views(network, symmetric, "dense").rank.tolist() == evaluate_views(network, symmetric).rank.tolist()


def test_dense_averages_the_score_map_before_the_softmax_and_not_the_features_before_the_head():
    network, split = vgg(64).double(), pictures(3, 96, 128)
    with torch.no_grad():
        found = log_probabilities(network, split.inputs, Looks("dense", (96,), None)).exp()
        expected = torch.zeros_like(found)
        pooled = torch.zeros_like(found)
        for images in (split.inputs, split.inputs.flip(3)):
            trunk = network.features(images)  # 3x4 positions, under a head of 2x2
            corners = [trunk[:, :, i : i + 2, j : j + 2] for i in range(2) for j in range(3)]
            scores = torch.stack([network.head(corner)[:, :, 0, 0] for corner in corners])
            expected += torch.softmax(scores.mean(0), 1) / 2
            pooled += torch.softmax(network.head(torch.stack(corners).mean(0))[:, :, 0, 0], 1) / 2
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    assert (pooled - expected).abs().max() > 1e-4


def test_the_order_of_head_and_average_does_not_matter_on_a_map_of_one_position():
    network, images = vgg(64).double(), pictures(3, 64, 64).inputs
    with torch.no_grad():
        torch.testing.assert_close(network(images), network.head(network.features(images))[:, :, 0, 0])


def test_a_map_of_scores_is_averaged_for_the_network():
    class Maps(nn.Module):
        def __init__(self, network: VGG) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> Tensor:
            return self.network.score_map(images)

    network, split = vgg(), pictures(dtype=torch.float32)
    for protocol, options in (("dense", {"scales": 70}), ("ten-crop", {"crop": 32, "scales": (40, 50)})):
        own = evaluate_views(network, split, protocol, **options)
        assert evaluate_views(Maps(network), split, protocol, **options).rank.tolist() == own.rank.tolist()


def test_ties_count_against_the_network():
    a, b = [3.0, 1, 1, 1, 1, 1, 0], [0.0] * 7
    # the class: best alone; one of five that tie for second place; last; one of seven equal ones
    found = evaluate_views(Fixed(7), given([a, a, a, b], [0, 1, 6, 3]))
    assert found.rank.tolist() == [0, 5, 6, 6]
    assert found.top1.value == 0.75
    assert found.top5.value == 0.75  # of the five that tie for places two to six none is surely among the first five
    assert ranks_of(torch.tensor([[2.0, 1, 1, 0, 0, 0]]), torch.tensor([1])).tolist() == [2]


def test_scores_that_are_no_numbers_are_wrong_and_tiny_ones_are_told_apart():
    steep = [0.0, -2000, -4000, -6000, -8000, -10000, -12000]  # all but the first underflow as probabilities
    rows = torch.tensor([[math.nan] * 7, steep, steep])
    looks = Looks("ten-crop", (7,), 7)
    with torch.no_grad():
        scores = log_probabilities(Fixed(7), rows[:, None, None, :].repeat(1, 1, 7, 1), Looks("centre-crop", (7,), 7))
    assert ranks_of(scores, torch.tensor([0, 4, 5])).tolist() == [6, 4, 5]
    assert looks.count == 10


@pytest.mark.parametrize("classes", [2, 5])
def test_five_classes_have_no_top_5_error(classes):
    found = evaluate_views(Fixed(classes), given([[1.0] * classes, [0.0, 1, *[0.0] * (classes - 2)]], [0, 1]))
    assert math.isnan(found.top5.value)
    assert found.top1.value == 0.5
    assert f"no top-5 error of {classes} classes" in found.summary()


@pytest.mark.parametrize("protocol", list(VIEWS))
@pytest.mark.parametrize("fails", [False, True])
def test_the_network_comes_back_bit_for_bit(state, protocol, fails):
    draw = torch.Generator().manual_seed(0)
    split = Split(torch.randn(9, 1, 8, 8, generator=draw), torch.randint(0, 3, (9,), generator=draw))
    model = trained_statistics(BatchNormNet(), split.inputs).train()
    model.bn2.eval()
    model.conv1.requires_grad_(False)
    calls: list[int] = []

    def draw_and_fail(*_: object) -> None:
        torch.rand(3)
        np.random.rand(3)
        calls.append(1)
        if fails and len(calls) == 2:
            raise KeyError("the user's own")

    model.conv1.register_forward_hook(draw_and_fail)
    before = state(model)
    if fails:
        with pytest.raises(KeyError):
            evaluate_views(model, split, protocol, batch_size=4)
    else:
        evaluate_views(model, split, protocol, batch_size=4)
    assert state(model) == before
    assert len(calls) > 1


def test_a_network_without_parameters_is_one_too():
    assert evaluate_views(nn.Flatten(), pictures()).classes == 3 * 40 * 40


def test_one_view_of_the_whole_image_is_the_objectives_own_error():
    network, split = vgg(), pictures(40, 32, 32, torch.float32)
    found = evaluate_views(network, split)
    height = Objective(network, split, batchnorm="frozen")(Weights.of(network))
    assert found.top1.value == pytest.approx(height.error)
    assert (found.crop, found.scales) == (32, (32,))


def test_other_weights_are_evaluated_where_they_are_given():
    first, second, split = vgg(), vgg(), pictures(40, 32, 32, torch.float32)
    with torch.no_grad():
        second.head.fc8.weight.normal_()
    other = Weights.of(second)
    assert evaluate_views(first, split, weights=other).equals(evaluate_views(second, split))
    assert not evaluate_views(first, split).equals(evaluate_views(second, split))


def test_images_of_many_sizes_come_batch_by_batch():
    network, parts = vgg(), [pictures(3, *size, torch.float32) for size in ((40, 52), (61, 33), (32, 32))]
    batches = BatchList(tuple((part.inputs, part.targets) for part in parts))
    for protocol, crop in (("ten-crop", 32), ("dense", None)):
        found = evaluate_views(network, batches, protocol, crop=crop, scales=36)
        alone = [evaluate_views(network, part, protocol, crop=crop, scales=36).rank for part in parts]
        assert found.rank.tolist() == np.concatenate(alone).tolist()
    with pytest.raises(UsageError, match=r"need scales= and crop="):
        evaluate_views(network, batches)


def test_a_result_is_saved_compared_and_told_in_words(tmp_path):
    network, split = vgg(), pictures(40, dtype=torch.float32)
    crops = evaluate_views(network, split, "ten-crop", crop=32, scales=(36, 44), part="test")
    dense = evaluate_views(network, split, "dense", scales=40)
    back = Views.load(crops.save(tmp_path / "views"))
    assert isinstance(back, Result)
    assert back.equals(crops)
    assert back.to_dict()["top1"] == {"value": crops.top1.value, "se": crops.top1.se}
    assert crops.summary().startswith(f"ten-crop of 32 at scales 36, 44: top-1 error {crops.top1}, top-5 error")
    assert "(40 examples, 20 views of each)" in crops.summary()
    assert dense.protocol_name == "dense at scale 40"
    assert "simonyan2015" in crops.cite()
    assert crops._repr_html_() == f"<pre>{crops.summary()}</pre>"  # it has no picture
    gain = dense.better_than(crops)
    assert gain.value == pytest.approx(crops.top1.value - dense.top1.value)
    pairs = (crops.rank > 0).astype(float) - (dense.rank > 0)
    assert gain.se == pytest.approx(pairs.std(ddof=1) / 40**0.5)
    with pytest.raises(UsageError, match="same examples"):
        dense.better_than(evaluate_views(network, split.head(39), "dense"))


@pytest.mark.parametrize(
    ("network", "split", "protocol", "options", "error", "message"),
    [
        (vgg, pictures, "tencrop", {}, UsageError, "did you mean 'ten-crop'"),
        (vgg, pictures, "ten-crop", {"crop": 50}, UsageError, "50x50 pixels does not fit into images of 40x47"),
        (vgg, pictures, "dense", {"crop": 32}, UsageError, "dense looks at whole images"),
        (vgg, pictures, "dense", {"scales": ()}, UsageError, "at least one, not"),
        (vgg, pictures, "dense", {"scales": (32, 0)}, UsageError, "scales are lengths in pixels"),
        (vgg, pictures, "dense", {"batch_size": 0}, UsageError, "batch size"),
        (vgg, lambda: Split(torch.rand(3, 8), torch.arange(3)), "dense", {}, UsageError, "looked at of images"),
        (vgg, lambda: Split(torch.rand(3, 3, 32, 32)), "dense", {}, UsageError, "one label each"),
        (vgg, lambda: Split(torch.rand(3, 3, 32, 32), -torch.ones(3).long()), "dense", {}, UsageError, "one label"),
        (vgg, lambda: Split(torch.rand(1, 3, 32, 32), torch.tensor([12])), "dense", {}, ModelError, "class 12"),
        (
            lambda: MLP(CLASSES, 3, 32),
            lambda: pictures(dtype=torch.float32),
            "dense",
            {"scales": 40},
            ModelError,
            r"^the network fails on images of 40x47 pixels \(.*\); dense needs a fully convolutional network; .*$",
        ),
        (
            lambda: vgg(64),
            lambda: pictures(dtype=torch.float32),
            "centre-crop",
            {"crop": 32},
            ModelError,
            r"^the network fails on images of 32x32 pixels \(.*\); give crop= the size it was built for$",
        ),
    ],
)
def test_what_cannot_be_is_said_in_one_line(network, split, protocol, options, error, message):
    with pytest.raises(error, match=message) as caught:
        evaluate_views(network(), split(), protocol, **options)
    assert "\n" not in str(caught.value)
