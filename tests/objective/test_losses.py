"""Losses against closed forms."""

import functools

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import nn

import orograph as og
from orograph.basics.errors import ModelError, StoreError, UsageError
from orograph.objective import Criterion, Objective, abyss
from orograph.objective.identity import function_identities
from orograph.train import Recipe, fit


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


class _OfModel(nn.Module):
    """A loss module that calls the network itself."""

    def forward(self, network, batch):
        return F.cross_entropy(network(batch[0]), batch[1])


def _of_outputs(outputs, targets):
    return F.cross_entropy(outputs, targets)


def _of_model(model, batch):
    return F.cross_entropy(model(batch[0]), batch[1])


FORMS = {
    "a module": nn.CrossEntropyLoss(),
    "a module, each": nn.CrossEntropyLoss(reduction="none"),
    "a module of the model": _OfModel(),
    "a function of torch's": F.cross_entropy,
    "a function in part": functools.partial(F.cross_entropy, reduction="mean"),
    "of outputs, by name": _of_outputs,
    "of outputs, by trial": lambda a, b: F.cross_entropy(a, b),
    "of the model, by name": _of_model,
    "of the model, by trial": lambda a, b: F.cross_entropy(a(b[0]), b[1]),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_loss_of_any_form_is_the_same_height_and_the_same_training(form):
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(48, 6, generator=random), torch.randint(0, 3, (48,), generator=random)
    network = nn.Linear(6, 3)
    first = {name: parameter.clone() for name, parameter in network.named_parameters()}

    def trained(loss):
        network.load_state_dict(first)
        height = Objective(network, og.data.Split(x, y), loss=loss, batch_size=16)
        before = height(og.Weights.of(network))
        fit(network, og.data.Split(x, y), Recipe(epochs=1, batch_size=16), loss=loss, test=False)
        return before, og.Weights.of(network)

    wanted, end = trained("cross_entropy")
    before, found = trained(FORMS[form])
    assert before.loss == pytest.approx(wanted.loss, rel=1e-6)
    assert before.n_examples == 48
    assert found.distance(end) < 1e-5
    # Only a loss of every example is known example by example.
    each = Objective(network, og.data.Split(x, y), loss=FORMS[form])(og.Weights.of(network), keep_examples=True)
    assert (each.losses is not None) == (form == "a module, each")


def test_inputs_and_targets_are_found_in_batches_of_every_structure():
    class Two(nn.Module):
        def forward(self, one, other):
            return one + other

    x, y = torch.randn(8, 3), torch.randint(0, 3, (8,))
    wanted = F.cross_entropy(2 * x, y)
    for batch in ((x, x, y), ((x, x), y), {"one": x, "other": x, "labels": y}):
        terms = Criterion(nn.CrossEntropyLoss())(Two(), batch)
        torch.testing.assert_close(terms.losses, wanted)
        assert terms.examples == 8
    distance = Criterion("mse", [nn.L1Loss()])(nn.Identity(), (x, x + 1)).metrics
    assert distance["L1Loss"].item() == pytest.approx(1)


def test_what_is_no_loss_is_refused_in_a_line():
    for wrong, words in (
        (nn.CrossEntropyLoss, r"is a class; give an instance: CrossEntropyLoss\(\)"),
        (3, "a name or a callable, not a int"),
        ("cross_entopy", "did you mean 'cross_entropy'"),
        (nn.MSELoss(reduction="sum"), "reduction='mean' or 'none'"),
    ):
        with pytest.raises(UsageError, match=words):
            Criterion(wrong)
    with pytest.raises(UsageError, match="the metric is a class"):
        Criterion("mse", [nn.L1Loss])
    x, y = torch.randn(8, 3), torch.randint(0, 3, (8,))
    with pytest.raises(ModelError, match=r"shape \(8, 3\) for 8 examples"):
        Criterion(nn.MSELoss(reduction="none"))(nn.Identity(), (x, x))
    # The error that counts is told: of a function of the model its own, not that it met a tensor in a model's place.
    with pytest.raises(AttributeError, match="missing"):
        Criterion(lambda a, b: a(b[0]).missing)(nn.Identity(), (x, y))
    with pytest.raises(AttributeError, match="missing"):
        Criterion(lambda a, b: F.cross_entropy(a, b).missing)(nn.Identity(), (x, y))


@pytest.mark.parametrize("loss", [lambda model, batch: 1.0, lambda outputs, targets: outputs.detach().mean()])
def test_a_loss_without_a_gradient_is_measured_and_not_trained_by(loss):
    data, network = og.data.Split(torch.randn(8, 3), torch.zeros(8).long()), nn.Linear(3, 2)
    assert Objective(network, data, loss=loss)(og.Weights.of(network)).n_examples == 8
    with pytest.raises(UsageError, match="has no gradient"):
        fit(network, data, Recipe(epochs=1, batch_size=4), loss=loss, test=False)


def test_losses_that_differ_in_their_settings_are_told_apart(tmp_path):
    weights = [torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0])]
    losses = [
        nn.CrossEntropyLoss(),
        nn.CrossEntropyLoss(label_smoothing=0.1),
        *(nn.CrossEntropyLoss(weight=w) for w in weights),
        functools.partial(F.cross_entropy, label_smoothing=0.1),
        functools.partial(F.cross_entropy, label_smoothing=0.2),
    ]
    assert len(set(function_identities(losses))) == len(losses)
    assert function_identities([nn.CrossEntropyLoss()]) == function_identities([nn.CrossEntropyLoss()])
    data = og.data.Split(torch.randn(8, 3), torch.zeros(8).long())
    network = nn.Linear(3, 2)
    same = {"recipe": Recipe(epochs=1, batch_size=4), "test": False, "start": og.Weights.of(network), "out": tmp_path}
    run = fit(network, data, loss=losses[0], **same)
    assert fit(network, data, loss=nn.CrossEntropyLoss(), **same).equals(run)
    with pytest.raises(StoreError, match="loss settings"):
        fit(network, data, loss=losses[1], **same)
