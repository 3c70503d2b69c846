"""Losses against closed forms."""

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import nn

from orograph.objective import Criterion, abyss


@settings(max_examples=50)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 10), classes=st.integers(2, 12))
def test_the_abyss_loss_is_minus_log_of_one_minus_p(seed, scale, classes):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(7, classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, classes, (7,), generator=generator)
    # 1 - p_y as the sum of the others: subtracting from 1 would lose the digits that the stable form keeps.
    others = torch.softmax(logits, 1).scatter(1, labels.unsqueeze(1), 0.0).sum(1)
    torch.testing.assert_close(abyss(logits, labels), -torch.log(others), rtol=1e-9, atol=1e-12)


def test_the_abyss_loss_stays_finite_where_the_published_form_does_not():
    # log(1 - softmax) as in the issue thread gives -inf here, and a NaN gradient.
    logits = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    labels = torch.tensor([0])
    value = abyss(logits, labels)
    value.sum().backward()
    assert value.item() == pytest.approx(200 - torch.log(torch.tensor(2.0)).item())
    assert torch.isfinite(logits.grad).all()
    published = -torch.log(-(torch.softmax(logits.detach(), 1) - 1.0))[0, 0]
    assert torch.isinf(published)


def test_pictures_of_labels_and_sequences_of_labels_average_over_positions():
    x, y = torch.randn(4, 2, 5, 5), torch.randint(0, 3, (4, 5, 5))
    network = nn.Conv2d(2, 3, 1)
    terms = Criterion()(network, (x, y))
    torch.testing.assert_close(terms.losses.mean(), F.cross_entropy(network(x), y))
    assert terms.losses.shape == (4,)
    torch.testing.assert_close(terms.metrics["accuracy"].mean(), (network(x).argmax(1) == y).float().mean())


def test_mean_squared_error_is_per_example():
    x = torch.randn(6, 4)
    terms = Criterion("mse")(nn.Identity(), (x, torch.zeros(6, 4)))
    torch.testing.assert_close(terms.losses, x.square().mean(1))
    single = Criterion("mse")(nn.Flatten(0), (x[:, :1], torch.ones(6)))
    torch.testing.assert_close(single.losses, (x[:, 0] - 1) ** 2)


def test_label_smoothing_and_top5_follow_their_definitions():
    logits, labels = torch.randn(20, 8), torch.randint(0, 8, (20,))
    smooth = Criterion(label_smoothing=0.2)(nn.Identity(), (logits, labels))
    torch.testing.assert_close(smooth.losses.mean(), F.cross_entropy(logits, labels, label_smoothing=0.2))
    top5 = Criterion(metrics=["top5"])(nn.Identity(), (logits, labels)).metrics["top5"]
    ranks = (logits > logits[torch.arange(20), labels].unsqueeze(1)).sum(1)
    assert torch.equal(top5, (ranks < 5).float())
