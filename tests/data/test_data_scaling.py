"""Scales and windows: where they lie, against closed forms and one image at a time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from orograph.basics.errors import UsageError
from orograph.data import Augmentation, Split, centre_crops, colour_axes, crop, flip, jitter, rescaled, shift_colours
from orograph.data.scaling import grid_places, rescaled_size, window

SIDES = st.integers(1, 600)


def seeded(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramp(n: int, height: int, width: int) -> torch.Tensor:
    """Images whose two channels are the row and the column of a pixel, so that a window tells where it was."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns]).float().expand(n, 2, height, width).clone()


@given(height=SIDES, width=SIDES, scale=SIDES)
def test_the_shorter_side_becomes_the_scale_and_the_proportion_stays(height, width, scale):
    tall, wide = rescaled_size(height, width, scale)
    assert min(tall, wide) == scale
    assert (tall <= wide) == (height <= width) or tall == wide
    exact = scale * max(height, width) / min(height, width)
    assert abs(max(tall, wide) - exact) <= 0.5


@given(height=SIDES, width=SIDES, data=st.data(), steps=st.integers(1, 7))
def test_every_window_lies_inside_and_the_corners_are_exact(height, width, data, steps):
    side = data.draw(st.integers(1, min(height, width)))
    places = grid_places(height, width, side, steps)
    assert len(places) == steps**2
    assert all(0 <= top <= height - side and 0 <= left <= width - side for top, left in places)
    if steps > 1:
        corners = {places[0], places[steps - 1], places[-steps], places[-1]}
        assert corners == {(0, 0), (0, width - side), (height - side, 0), (height - side, width - side)}
    if steps % 2:
        (middle,) = grid_places(height, width, side, 1)
        assert places[len(places) // 2] == middle
        assert (height - side - 2 * middle[0], width - side - 2 * middle[1]) == (
            (height - side) % 2,
            (width - side) % 2,
        )


def test_a_window_that_does_not_fit_is_refused():
    with pytest.raises(UsageError, match=r"33x33 pixels does not fit into images of 40x32"):
        grid_places(40, 32, 33, 1)
    with pytest.raises(UsageError, match="at least 1, not 0"):
        rescaled(ramp(1, 4, 4), 0)


def test_rescaling_keeps_a_constant_and_halves_by_a_symmetric_filter():
    images = torch.rand(3, 2, 12, 20, dtype=torch.float64, generator=seeded())
    assert rescaled(images, 12) is images
    assert torch.allclose(rescaled(torch.full((1, 1, 12, 20), 0.7), 5), torch.tensor(0.7))
    # At half the size the triangle reaches over four pixels: (1, 3, 3, 1) / 8, cut off and made whole at the rim.
    kernel = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
    weight = torch.outer(kernel, kernel)[None, None]
    inner = functional.conv2d(images.flatten(0, 1)[:, None, 1:-1, 1:-1], weight, stride=2)
    torch.testing.assert_close(rescaled(images, 6)[:, :, 1:-1, 1:-1].flatten(0, 1), inner[:, 0])


def test_centre_crops_are_the_middles_of_the_rescaled_images():
    split = Split(torch.rand(7, 3, 20, 31, generator=seeded()), torch.arange(7))
    found = centre_crops(split, 8, 10, batch_size=3)
    assert torch.equal(found.inputs, rescaled(split.inputs, 10)[:, :, 1:9, 4:12])  # 10x16 pixels
    assert torch.equal(centre_crops(split, 20).inputs, split.inputs[:, :, :, 5:25])
    assert found.targets is split.targets
    with pytest.raises(UsageError, match="floats of shape"):
        centre_crops(Split(torch.zeros(3, 1, 4, 4, dtype=torch.uint8), torch.arange(3)), 2)


def test_a_jittered_image_is_a_window_of_one_of_its_scales():
    images = torch.rand(40, 3, 14, 18, generator=seeded(0))
    found = jitter(images, (9, 13), 8, seeded())
    assert found.shape == (40, 3, 8, 8)
    scales, places = set(), set()
    for image, cut in zip(images, found, strict=True):
        candidates = {}
        for scale in range(9, 14):
            larger = rescaled(image[None], scale)
            for top in range(larger.shape[2] - 7):
                for left in range(larger.shape[3] - 7):
                    candidates[scale, top, left] = (window(larger, (top, left), 8)[0] - cut).abs().max().item()
        nearest = min(candidates, key=candidates.__getitem__)
        assert candidates[nearest] < 1e-6
        scales.add(nearest[0])
        places.add(nearest[1:])
    assert scales == {9, 10, 11, 12, 13}
    assert len(places) > 10


def test_jitter_is_a_function_of_the_generator_and_leaves_its_input_alone():
    images = torch.rand(20, 3, 14, 18, generator=seeded(0))
    before = images.clone()
    once, again = jitter(images, (9, 13), 8, seeded()), jitter(images, (9, 13), 8, seeded())
    other = jitter(images, (9, 13), 8, seeded(6))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert torch.equal(images, before)


def test_an_image_is_jittered_alike_whatever_company_it_is_in():
    """Images of one scale are resampled together, which must not show."""
    images = torch.rand(30, 2, 12, 12, generator=seeded(0))
    found = jitter(images, (10, 14), 9, seeded())
    alone = images.clone()
    alone[1:] = 0
    assert torch.equal(jitter(alone, (10, 14), 9, seeded())[0], found[0])


def test_without_a_scale_windows_are_uniform_over_all_places():
    found = jitter(ramp(6000, 5, 6), None, 3, seeded())
    places = found[:, :, 0, 0].long()
    counts = torch.zeros(3, 4).index_put_((places[:, 0], places[:, 1]), torch.ones(6000), accumulate=True)
    expected = 6000 / 12
    assert float(((counts - expected) ** 2 / expected).sum()) < 31.3  # the 99.9 % point of chi-squared, 11 degrees
    assert torch.equal(found - found[:, :, :1, :1], ramp(6000, 3, 3))


def test_colours_are_shifted_by_the_covariance_of_the_data():
    mixing = torch.tensor([[0.5, 0.1, 0.0], [0.2, 0.4, 0.1], [0.1, 0.0, 0.02]], dtype=torch.float64)
    pixels = mixing @ torch.randn(3, 50 * 36, dtype=torch.float64, generator=seeded()) + 3
    images = pixels.reshape(3, 50, 6, 6).transpose(0, 1)
    axes = colour_axes(images)
    covariance = torch.cov(pixels, correction=0)
    torch.testing.assert_close(axes @ axes, covariance)
    torch.testing.assert_close(axes, axes.T)
    many = images[:1].expand(40_000, 3, 6, 6)
    added = shift_colours(many, 0.1, axes, seeded()) - many
    assert torch.allclose(added, added[:, :, :1, :1].expand_as(added))
    spread = torch.cov(added[:, :, 0, 0].T)
    # A variance from n normal values is known to within sqrt(2/n) of itself; five of those.
    assert (spread - 0.01 * covariance).abs().max() < 5 * (2 / 40_000) ** 0.5 * 0.01 * covariance.diag().max()


def test_colours_of_grey_pictures_in_colour_stay_grey():
    grey = torch.rand(20, 1, 4, 4, generator=seeded()).expand(20, 3, 4, 4)
    shifted = shift_colours(grey, 0.5, colour_axes(grey), seeded())
    assert torch.allclose(shifted[:, :1].expand_as(shifted), shifted, atol=1e-6)
    assert not torch.allclose(shifted, grey)


def test_the_parts_come_in_order_and_the_old_ones_draw_as_before():
    images = torch.rand(12, 3, 10, 10, generator=seeded(0))
    axes, generator = colour_axes(images), seeded()
    expected = shift_colours(flip(jitter(images, (8, 11), 7, generator), generator), 0.1, axes, generator)
    found = Augmentation(flip=True, scale=(8, 11), crop_to=7, colour=0.1, axes=axes)(images, seeded())
    assert torch.equal(found, expected)
    generator = seeded()
    expected = flip(crop(images, 2, generator), generator)
    assert torch.equal(Augmentation(crop=2, flip=True)(images, seeded()), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": (8, 11)}, "scale needs crop_to"),
        ({"scale": (11, 8), "crop_to": 4}, "two lengths in pixels that rise"),
        ({"scale": (0, 8), "crop_to": 4}, "two lengths"),
        ({"scale": (8,), "crop_to": 4}, "two lengths"),
        ({"scale": (8, 9), "crop_to": 9}, "crop_to=9 does not fit into images of scale 8"),
        ({"crop": 2, "crop_to": 4}, "exclude each other"),
        ({"crop_to": -1}, "crop_to=-1"),
        ({"colour": 0.1}, "colour needs axes"),
    ],
)
def test_options_that_cannot_be_right(options, message):
    with pytest.raises(UsageError, match=message):
        Augmentation(**options)
