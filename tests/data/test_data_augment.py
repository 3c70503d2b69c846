"""Augmentation of a batch against one image at a time."""

import pytest
import torch
from torch.nn import functional

from orograph.basics.errors import UsageError
from orograph.data import Augmentation, crop, cutout, flip

IMAGES = torch.rand(12, 3, 7, 5, generator=torch.Generator().manual_seed(0)) + 1  # no zeros of its own


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(11)


@pytest.mark.parametrize("padding", [1, 3])
def test_crop_cuts_a_window_of_each_padded_image(padding: int) -> None:
    down, right = torch.randint(0, 2 * padding + 1, (2, len(IMAGES)), generator=seeded())
    expected = []
    for image, top, left in zip(IMAGES, down.tolist(), right.tolist(), strict=True):
        padded = functional.pad(image, (padding,) * 4)
        expected.append(padded[:, top : top + 7, left : left + 5])
    assert torch.equal(crop(IMAGES, padding, seeded()), torch.stack(expected))
    assert len(set(down.tolist())) > 1


def test_flip_mirrors_half_of_the_images() -> None:
    mirrored = torch.randint(0, 2, (len(IMAGES),), generator=seeded()).tolist()
    expected = torch.stack([image.flip(-1) if yes else image for image, yes in zip(IMAGES, mirrored, strict=True)])
    assert torch.equal(flip(IMAGES, seeded()), expected)
    many = flip(IMAGES[:1].expand(4000, 3, 7, 5), seeded())
    share = (many != IMAGES[0]).flatten(1).any(1).double().mean().item()
    assert share == pytest.approx(0.5, abs=4 * 0.5 / 4000**0.5)


@pytest.mark.parametrize("size", [1, 2, 3, 20])
def test_cutout_hides_a_square_around_a_pixel(size: int) -> None:
    generator = seeded()
    rows = torch.randint(0, 7, (len(IMAGES),), generator=generator).tolist()
    columns = torch.randint(0, 5, (len(IMAGES),), generator=generator).tolist()
    expected = IMAGES.clone()
    for image, row, column in zip(expected, rows, columns, strict=True):
        top, left = row - size // 2, column - size // 2
        image[:, max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)] = 0
    assert torch.equal(cutout(IMAGES, size, seeded()), expected)


def test_augmentation_is_its_parts_in_order_and_leaves_its_input_alone() -> None:
    before = IMAGES.clone()
    generator = seeded()
    expected = cutout(flip(crop(IMAGES, 2, generator), generator), 3, generator)
    assert torch.equal(Augmentation(crop=2, flip=True, cutout=3)(IMAGES, seeded()), expected)
    assert torch.equal(IMAGES, before)


def test_no_augmentation_changes_nothing_and_draws_nothing() -> None:
    generator = seeded()
    assert Augmentation()(IMAGES, generator) is IMAGES
    assert torch.equal(generator.get_state(), seeded().get_state())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU to compare with")
def test_one_seed_augments_alike_on_every_device() -> None:
    augmentation = Augmentation(crop=2, flip=True, cutout=3)
    assert torch.equal(augmentation(IMAGES.cuda(), seeded()).cpu(), augmentation(IMAGES, seeded()))


def test_options_out_of_range_and_other_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match="crop=-1"):
        Augmentation(crop=-1)
    with pytest.raises(UsageError, match=r"\(3, 4\)"):
        Augmentation(flip=True)(torch.zeros(3, 4), seeded())
