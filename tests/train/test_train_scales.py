"""Training on crops of rescaled images: what the network sees, and what it is measured on."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from training_samples import blobs, dense

from orograph.basics.errors import UsageError
from orograph.data import Data, Split, centre_crops, colour_axes, jitter, shift_colours
from orograph.objective import Objective
from orograph.studies import plan
from orograph.train import Recipe, fit
from orograph.train.batches import Batches, takes_pixels
from orograph.train.streams import Streams
from orograph.weights import Weights

CPU = torch.device("cpu")
JITTER = Recipe(epochs=2, batch_size=16, lr=0.02, scale=(10, 14), crop_to=8, flip=True, colour=0.1)


def pictures(side: int = 12, test_side: int = 12) -> Data:
    draw = torch.Generator().manual_seed(0)
    return Data.from_tensors(
        (torch.randn(50, 3, side, side, generator=draw), torch.arange(50) % 4),
        (torch.randn(20, 3, test_side, test_side, generator=draw), torch.arange(20) % 4),
    )


def network() -> nn.Module:
    """For images of 8x8 and no others."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 4))


def test_a_batch_is_the_augmentation_of_its_step():
    data, streams = pictures(), Streams.of(3)
    recipe = Recipe(batch_size=16, scale=(10, 14), crop_to=8, colour=0.1)
    batches = Batches(data.train, recipe, streams, CPU)
    axes = colour_axes(data.train.inputs)
    for step in (0, 1, 5):
        epoch, index = divmod(step, batches.per_epoch)
        rows = streams.permutation(50, epoch)[16 * index : 16 * index + 16]
        generator = streams.augmenter(epoch, index)
        expected = shift_colours(jitter(data.train.inputs[rows], (10, 14), 8, generator), 0.1, axes, generator)
        inputs, targets = batches(step)
        assert torch.equal(inputs, expected)
        assert torch.equal(targets, data.train.targets[rows])


def test_a_network_of_the_crops_size_is_trained_and_measured_at_the_middle_scale():
    data, model = pictures(), network()
    run = fit(model, data, JITTER, seed=1)
    middles = centre_crops(data.test, 8, 12)
    found = Objective(model, middles, batchnorm="frozen")(Weights.of(model))
    assert run.test_loss[-1] == pytest.approx(found.loss, rel=1e-6)
    again = network()
    assert fit(again, data, JITTER, seed=1).equals(run)
    assert torch.equal(Weights.of(again).vector, Weights.of(model).vector)


def test_prepared_test_images_stay_as_they_are():
    data, model = pictures(test_side=8), network()
    run = fit(model, data, JITTER, seed=1)
    found = Objective(model, data.test, batchnorm="frozen")(Weights.of(model))
    assert run.test_loss[-1] == pytest.approx(found.loss, rel=1e-6)


def test_small_images_are_enlarged_for_measuring_as_for_training():
    data, model = pictures(side=8, test_side=8), network()
    run = fit(model, data, JITTER, seed=1)
    found = Objective(model, centre_crops(data.test, 8, 12), batchnorm="frozen")(Weights.of(model))
    assert run.test_loss[-1] == pytest.approx(found.loss, rel=1e-6)


def test_whether_a_network_takes_pixels_is_asked_at_the_crops_size():
    model, formats = network(), []
    model[0].register_forward_pre_hook(lambda _, inputs: formats.append(inputs[0].stride(1) == 1))
    assert not takes_pixels(model, pictures().train, CPU)  # 12x12 pixels are too many for it
    formats.clear()
    fit(model, pictures(), JITTER, seed=0, test=False)
    assert len(formats) > 1
    assert all(formats)


def test_without_the_options_a_recipe_says_and_draws_what_it_did():
    images, streams = Split(torch.randn(20, 3, 8, 8), torch.arange(20) % 4), Streams.of(0)
    assert (Recipe().augments, Recipe().middle_scale) == (False, None)
    assert torch.equal(
        Batches(images, Recipe(batch_size=20), streams, CPU)(0)[0], images.inputs[streams.permutation(20, 0)]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": (8, 11)}, "scale needs crop_to"),
        ({"scale": (11, 8), "crop_to": 4}, "two lengths in pixels that rise"),
        ({"scale": (8, 9), "crop_to": 9}, "crop_to=9 does not fit"),
        ({"crop": 2, "crop_to": 4}, "exclude each other"),
        ({"crop_to": 2.5}, "crop_to must be a whole number"),
        ({"colour": -0.1}, "colour must be at least 0"),
    ],
)
def test_options_that_cannot_be_right(options, message):
    with pytest.raises(UsageError, match=message):
        Recipe(**options)


def test_crops_need_images_and_studies_keep_theirs():
    with pytest.raises(UsageError, match="crop_to needs images"):
        fit(dense(), blobs(), Recipe(crop_to=2))
    with pytest.raises(UsageError, match="does not fit into images of 12x12"):
        fit(network(), pictures(), Recipe(crop_to=13))
    with pytest.raises(UsageError, match=r"--train\.crop-to 0"):
        plan("initial-values", data="digits", **{"train.crop_to": 4})
