"""Gradient variance against a plain computation, and what it does not depend on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import orograph as og
from orograph.basics.errors import ModelError, TaskError, UsageError
from orograph.initialize import gradient_variance
from orograph.results import GradientVariance, load


def _batches(count: int, seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    random = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(16, 1, 8, 8, generator=random), torch.randint(10, (16,), generator=random)) for _ in range(count)
    ]


def test_it_is_the_variance_of_the_gradients() -> None:
    network, batches = og.models.build("mlp", classes=10, channels=1, image_size=8).double(), _batches(7)
    batches = [(x.double(), y) for x, y in batches]
    found = gradient_variance(network, batches)
    rows: list[list[np.ndarray]] = []
    for inputs, labels in batches:
        network.zero_grad()
        nn.functional.cross_entropy(network(inputs), labels).backward()
        rows.append([p.grad.reshape(-1).numpy().copy() for p in network.parameters()])
    for t, columns in enumerate(zip(*rows, strict=True)):
        gradients = np.stack(columns)
        np.testing.assert_allclose(found.variance[t], gradients.var(0, ddof=1).sum(), rtol=1e-9)
        np.testing.assert_allclose(found.signal[t], np.square(gradients.mean(0)).sum(), rtol=1e-9)
    assert found.provenance.cost.backward == 7 * 16


def test_scaling_a_weight_before_batch_norm_changes_only_the_raw_variance() -> None:
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 12, bias=False), nn.BatchNorm1d(12, eps=1e-12), nn.Linear(12, 10)
    )
    network.double()
    batches = [(x.double(), y) for x, y in _batches(10)]
    before = gradient_variance(network, batches)
    with torch.no_grad():
        network[1].weight.mul_(4.0)
    after = gradient_variance(network, batches)
    np.testing.assert_allclose(after.variance[0], before.variance[0] / 16, rtol=1e-6)
    np.testing.assert_allclose(after.scale_free, before.scale_free, rtol=1e-6)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Gradients that are normal with unit variance in 30 coordinates: V = 30."""
    random = np.random.default_rng(0)
    inside = 0
    for _ in range(100):
        rows = random.standard_normal((40, 30)) + 0.3
        inner = (rows @ rows.T)[None]
        found = GradientVariance(tensors=("w",), inner=inner, weight_norm=np.ones(1), loss=np.zeros(40), **_NOWHERE)
        low, high = found.interval()[:, 0]
        inside += low <= 30 <= high
    assert 86 <= inside <= 99


def test_batches_of_unequal_size_count_by_their_examples() -> None:
    """Examples' gradients are normal with unit variance in 30 coordinates, so batches of the mean size, 19, have
    V = 30 / 19; were every batch worth the same, it would come out as 5.7."""
    random, sizes = np.random.default_rng(0), np.array([4, 4, 4, 64])
    variances, signals = [], []
    for _ in range(400):
        rows = np.stack([(random.standard_normal((size, 30)) + 0.3).mean(0) for size in sizes])
        inner = (rows @ rows.T)[None]
        found = GradientVariance(
            tensors=("w",), inner=inner, weight_norm=np.ones(1), loss=np.zeros(4), sizes=sizes, **_NOWHERE
        )
        variances.append(found.variance[0])
        whole = (sizes[:, None] * rows).sum(0) / sizes.sum()
        signals.append(found.signal[0] - np.square(whole).sum())
        norm, along, across = found.tests
        assert norm**2 == pytest.approx(along**2 + across**2, rel=1e-6)
    assert np.mean(variances) == pytest.approx(30 / 19, rel=0.05)
    np.testing.assert_allclose(signals, 0, atol=1e-9)
    low, high = found.interval()[:, 0]
    assert low < high


def test_a_last_batch_that_is_shorter_and_sparse_gradients_are_taken() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double()
    whole = [(x.double(), y) for x, y in _batches(3)]
    data = torch.utils.data.TensorDataset(torch.cat([x for x, _ in whole]), torch.cat([y for _, y in whole]))
    found = gradient_variance(network, torch.utils.data.DataLoader(data, batch_size=20))
    assert found.sizes.tolist() == [20, 20, 8]
    network.zero_grad()
    nn.functional.cross_entropy(network(data.tensors[0]), data.tensors[1]).backward()
    # Whatever the batches, the mean gradient is that of all examples.
    wanted = [float(p.grad.square().sum()) for p in network.parameters()]
    np.testing.assert_allclose(found.signal, wanted, rtol=1e-9)
    assert not len(gradient_variance(network, whole).sizes)

    class Bag(nn.Module):
        def __init__(self, sparse: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.bag = nn.Embedding(9, 4, sparse=sparse)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.bag(tokens).sum(1)
            return found

    words = [(torch.randint(9, (6, 5)), torch.randint(4, (6,))) for _ in range(3)]
    np.testing.assert_allclose(
        gradient_variance(Bag(True), words).inner, gradient_variance(Bag(False), words).inner, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("batches", "loss", "error", "words"),
    [
        (2, lambda m, b: 1.0, UsageError, "has no gradient"),
        (2, lambda m, b: m(b[0]).detach().mean(), UsageError, "has no gradient"),
        (2, lambda m, b: nn.functional.cross_entropy(m(b[0]), b[1]) * float("nan"), TaskError, "batch 0 is not finite"),
        (2, nn.CrossEntropyLoss, UsageError, "give an instance"),
        (2, nn.MSELoss(reduction="none"), ModelError, "one value per example"),
        (torch.zeros(4, 3), "cross_entropy", UsageError, "a list of batches or a loader"),
        (None, "cross_entropy", UsageError, "a list of batches or a loader"),
    ],
)
def test_what_has_no_gradients_is_told_in_a_line(batches, loss, error, words) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    if isinstance(batches, int):
        batches = _batches(batches)
    if isinstance(loss, nn.MSELoss):
        batches = [(x, torch.zeros(16, 10)) for x, _ in batches]
    with pytest.raises(error, match=words) as told:
        gradient_variance(network, batches, loss=loss)
    assert "\n" not in str(told.value)
    with pytest.raises(UsageError, match=r"nn\.Module, not a str"):
        gradient_variance("network", _batches(2))


def test_a_loss_module_gives_the_gradients_of_its_name() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    named = gradient_variance(network, _batches(3))
    for loss in (nn.CrossEntropyLoss(), nn.functional.cross_entropy, lambda a, b: nn.functional.cross_entropy(a, b)):
        np.testing.assert_allclose(gradient_variance(network, _batches(3), loss=loss).inner, named.inner, rtol=1e-5)


def test_the_network_comes_back_and_dropout_is_off_unless_asked_for(state) -> None:
    network = og.models.build("vgg-a-bn", classes=10, channels=1, image_size=8, width=0.125).eval()
    batches = _batches(3)
    before, buffers = state(network), {n: b.clone() for n, b in network.named_buffers()}
    first = gradient_variance(network, batches)
    after = state(network)
    for key in ("bits", "identity", "mode", "grad", "torch", "python", "numpy"):
        assert before[key] == after[key]
    assert all(torch.equal(buffers[n], b) for n, b in network.named_buffers())
    assert first.equals(gradient_variance(network, batches, seed=5))
    noisy = gradient_variance(network, batches, dropout=True, seed=5)
    assert not np.allclose(noisy.inner, first.inner)
    assert noisy.equals(gradient_variance(network, batches, dropout=True, seed=5))


def test_results_come_back_and_bad_input_is_told(tmp_path) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    found = gradient_variance(network, _batches(4))
    assert load(found.save(tmp_path / "variance")).equals(found)
    assert "gradients of 4 batches" in found.summary()
    with pytest.raises(UsageError, match="two batches"):
        gradient_variance(network, _batches(1))
    with pytest.raises(TaskError, match="batch 1 is not finite"):
        gradient_variance(network, [*_batches(1), (torch.full((4, 1, 8, 8), float("inf")), torch.zeros(4).long())])
    with pytest.raises(UsageError, match="requires_grad"):
        gradient_variance(network.requires_grad_(False), _batches(2))


_NOWHERE = {"provenance": og.results.Provenance()}
