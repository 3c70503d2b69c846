"""Gradient variance against a plain computation, and what it does not depend on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import orograph as og
from orograph.basics.errors import TaskError, UsageError
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
