"""Images are laid out pixel by pixel where the network can take it, which changes nothing but rounding and speed."""

import copy

import pytest
import torch
from torch import nn

from orograph.data import Split
from orograph.train import Recipe, fit
from orograph.train.batches import Batches, takes_pixels
from orograph.train.streams import Streams
from orograph.weights import Weights

CPU = torch.device("cpu")


def images(channels=3, count=50):
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, channels, 8, 8, generator=draw)
    return Split(inputs, torch.randint(0, 4, (count,), generator=draw))


class Small(nn.Module):
    def __init__(self, channels=3, view=False):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.out = nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.Linear(4 * 36, 4)
        self.view = view
        self.formats = []

    def forward(self, x):
        self.formats.append(x.stride(1) == 1)
        y = self.norm(self.conv(x)).relu()
        return self.out(y.view(len(y), -1) if self.view else y.flatten(1))


@pytest.mark.parametrize(("channels", "view", "takes"), [(3, False, True), (1, False, True), (3, True, False)])
def test_training_lays_images_out_as_the_network_can_take_them(channels, view, takes):
    model = Small(channels, view)
    fit(model, images(channels), Recipe(epochs=2, batch_size=16, lr=0.1), seed=0, test=False)
    assert set(model.formats[1:]) == {takes}  # the first call is the question


def test_asking_leaves_no_trace():
    model = Small().train()
    model.norm.eval()
    before = copy.deepcopy(model.state_dict())
    random = torch.get_rng_state()
    assert takes_pixels(model, images(), CPU)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (model.training, model.norm.training, model.conv.weight.grad) == (True, False, None)
    assert torch.equal(torch.get_rng_state(), random)


def test_vectors_words_and_networks_without_convolutions_are_left_alone():
    assert not takes_pixels(nn.Linear(4, 2), Split(torch.randn(9, 4), torch.zeros(9, dtype=torch.long)), CPU)
    assert not takes_pixels(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), images(), CPU)
    assert not takes_pixels(Small(), Split(torch.zeros(9, 3, 8, 8, dtype=torch.uint8)), CPU)


def test_the_layout_changes_the_result_by_rounding_alone():
    recipe = Recipe(epochs=1, batch_size=16, lr=0.01)
    ends = []
    for view in (False, True):  # the second network cannot take pixels, and computes the same
        model = Small(view=view)
        fit(model, images(), recipe, seed=0, test=False)
        ends.append(Weights.of(model).vector)
    assert torch.allclose(*ends, atol=1e-5)


@pytest.mark.parametrize("recipe", [Recipe(batch_size=16), Recipe(batch_size=16, crop=1, flip=True, cutout=3)])
def test_the_batches_hold_the_same_numbers(recipe):
    split, streams = images(), Streams.of(3)
    plain, pixels = (Batches(split, recipe, streams, CPU, by_pixel=laid) for laid in (False, True))
    for step in range(5):
        (a, labels), (b, same) = plain(step), pixels(step)
        assert torch.equal(a, b)
        assert torch.equal(labels, same)
        assert b.is_contiguous(memory_format=torch.channels_last)
