"""The tests that the doctor takes on copies, each against a closed form or a construction whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from patients import cnn, examine, loader, mlp, sgd
from torch import Tensor, nn

from orograph.diagnose.loading import gather
from orograph.diagnose.losses import Loss
from orograph.diagnose.patient import Patient
from orograph.diagnose.rates import range_test
from orograph.diagnose.sharpness import edge_of_stability
from orograph.diagnose.steadiness import cliffs, descent, oscillation
from orograph.results import GradientVariance, Provenance, load


def patient_of(model: nn.Module, optimizer: torch.optim.Optimizer, loss: object = "cross_entropy") -> Patient:
    """With the digits in float64 where the network is."""
    first = next(model.parameters())
    batches, epoch = gather(loader(), 180, first.device, first.dtype, seed=0, size=64)
    return Patient(model, batches, Loss(loss), optimizer, None, epoch)


def small() -> nn.Sequential:
    """A smooth network of few enough weights for a dense Hessian."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Tanh(), nn.Linear(3, 10)).double()


def dense(model: nn.Sequential, x: Tensor, y: Tensor) -> Tensor:
    """The Hessian of the mean cross-entropy."""
    names, values = zip(*model.named_parameters(), strict=True)
    sizes = [value.numel() for value in values]

    def loss(flat: Tensor) -> Tensor:
        parts = [p.view_as(v) for p, v in zip(flat.split(sizes), values, strict=True)]
        outputs = torch.func.functional_call(model, dict(zip(names, parts, strict=True)), (x,))
        return nn.functional.cross_entropy(outputs, y)

    flat = torch.cat([value.detach().reshape(-1) for value in values])
    return torch.func.hessian(loss)(flat)  # type: ignore[no-any-return]


def test_the_eigenvalue_is_the_dense_hessians():
    model = small()
    patient = patient_of(model, sgd(model, lr=0.3))
    found = edge_of_stability(patient)
    x, y = patient.batches[0]
    exact = float(torch.linalg.eigvalsh(dense(model, x[:32], y[:32]))[-1])
    assert found.converged
    assert found.eigenvalue == pytest.approx(exact, rel=0.03)
    assert found.product == pytest.approx(0.3 * found.eigenvalue)
    assert found.limit == pytest.approx(2 * 1.9)


def test_for_adam_the_hessian_is_preconditioned():
    model = small()
    made = torch.optim.Adam(model.parameters(), lr=1e-2)
    patient = patient_of(model, made)
    found = edge_of_stability(patient)
    twin, steps = small(), patient.batches[:10]
    optimizer = torch.optim.Adam(twin.parameters(), lr=1e-2)
    for x, y in steps:
        optimizer.zero_grad()
        nn.functional.cross_entropy(twin(x), y).backward()
        optimizer.step()
    second = torch.cat([(optimizer.state[p]["exp_avg_sq"] / (1 - 0.999**10)).reshape(-1) for p in twin.parameters()])
    root = (second.sqrt() + 1e-8).rsqrt()
    exact = float(
        torch.linalg.eigvalsh(root[:, None] * dense(twin, *(part[:32] for part in patient.batches[0])) * root)[-1]
    )
    assert found.eigenvalue == pytest.approx(exact, rel=0.05)
    assert found.limit == pytest.approx(38.0)


@pytest.mark.parametrize("curvature", [10.0, 200.0])
def test_the_range_ends_at_the_edge_of_a_quadratic(curvature: float):
    """Steps on c w^2 / 2 shrink w below the rate 2 / c and blow it up above: what is suggested lies below."""

    class Bowl(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.weight.expand(len(x), 3)

    model = Bowl()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    data = [(torch.zeros(4, 1), torch.zeros(4, 3))] * 3
    loss = Loss(lambda outputs, targets: 0.5 * curvature * (outputs - targets).square().sum(1).mean())
    found = range_test(Patient(model, data, loss, optimizer, None), orders=2)
    assert not found.flat
    for suggestion in (found.steepest, found.valley, found.tenth):
        assert 0.01 / curvature < suggestion < 2 / curvature
    assert found.lr == 0.01
    assert bool((model.weight == 1).all())
    assert optimizer.param_groups[0]["lr"] == 0.01


def test_a_loss_that_nothing_lowers_is_flat():
    model = mlp()
    patient = patient_of(model, sgd(model), loss=lambda outputs, targets: 0.0 * outputs.sum() + 1.0)
    found = range_test(patient)
    assert found.flat
    assert "no learning rate" in found.summary()


def test_groups_keep_the_ratio_of_their_rates():
    model = mlp()
    optimizer = torch.optim.SGD(
        [{"params": model[1].parameters(), "lr": 0.1}, {"params": model[5].parameters(), "lr": 0.001}]
    )

    class Seen:  # what a step reaches is put back afterwards, but for classes
        rates: list[tuple[float, float]] = []  # noqa: RUF012

    def step(model: nn.Module, batch: object, optimizer: torch.optim.Optimizer) -> float:
        optimizer.step()
        Seen.rates.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[1]["lr"]))
        return 1.0

    patient = patient_of(model, optimizer)
    patient.step = step
    range_test(patient, steps=10, orders=1)
    np.testing.assert_allclose([a / b for a, b in Seen.rates], 100.0)
    assert Seen.rates[0][0] == pytest.approx(1e-7)
    assert Seen.rates[-1][0] == pytest.approx(10.0)


@given(st.integers(2, 6), st.integers(1, 5), st.integers(0, 1000))
def test_noise_tests_follow_their_definitions(batches: int, size: int, seed: int):
    g = np.random.default_rng(seed).standard_normal((batches, size)) + 0.7
    found = GradientVariance(
        tensors=("w",), inner=(g @ g.T)[None], weight_norm=np.ones(1), loss=np.zeros(batches), provenance=Provenance()
    )
    mean = g.mean(0)
    along, square = g @ mean, float(mean @ mean)
    across = g - np.outer(along / square, mean)
    norm = math.sqrt(((g - mean) ** 2).sum() / (batches - 1) / square)
    np.testing.assert_allclose(found.tests[0], norm, rtol=1e-6)
    np.testing.assert_allclose(found.tests[1], along.std(ddof=1) / square, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(
        found.tests[2], math.sqrt((across**2).sum() / (batches - 1) / square), rtol=1e-5, atol=1e-6
    )
    total = ((g - mean) ** 2).sum() / (batches - 1)
    signal = square - total / batches
    expected = total / signal if signal > 0 else math.inf
    assert found.noise_scale == pytest.approx(expected, rel=1e-6)


def test_descent_and_swing():
    flat = [2.3 + 0.01 * (-1) ** t for t in range(20)]
    assert descent(flat) is None
    falling = [*flat, *(2.3 - 0.1 * t for t in range(20))]
    begin = descent(falling)
    assert begin is not None
    assert 20 < begin < 26
    assert oscillation(flat) == pytest.approx(0.02 / 2.3, rel=0.02)
    assert math.isnan(oscillation([1.0, 2.0]))


@pytest.mark.parametrize(("after", "back"), [([1.0] * 15, 1), ([9.0] * 4 + [1.0] * 11, 5), ([9.0] * 25, None)])
def test_a_cliff_is_a_jump_after_a_long_step(after: list[float], back: int | None):
    losses = [*([1.0, 1.1] * 10), 9.0, *after]
    changes = [0.01] * len(losses)
    assert cliffs(losses, changes, 2.3) == []
    changes[20] = 0.5
    (found,) = cliffs(losses, changes, 2.3)
    assert (found.step, found.back) == (20, back)
    assert found.height == pytest.approx(9 - 1.05)


def test_everything_is_measured_on_request_and_saved(tmp_path):
    model = cnn(norm=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = examine(model, thorough=True)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    told = " ".join(signal.what for signal in found.signals)
    for part in ("noise scale", "norm test", "eigenvalue", "range test", "by heart", "swing"):
        assert part in told
    again = load(found.save(tmp_path / "found.npz"))
    assert again.signals == found.signals
    np.testing.assert_array_equal(again.rates.losses, found.rates.losses)
    assert found.healthy
    assert "\n" not in found.summary()


def test_without_a_request_a_healthy_network_costs_no_further_runs():
    found = examine(mlp())
    assert found.rates is None
    assert not any("eigenvalue" in signal.what for signal in found.signals)


def test_dropout_that_hinders_shows_in_the_overfit_test():
    model = nn.Sequential(*mlp()[:5], nn.Dropout(0.98), nn.Linear(64, 10))
    found = examine(model, thorough=True)
    shares = [signal.value for signal in found.signals if "by heart" in signal.what]
    assert len(shares) >= 2
    assert shares[1] < 0.2 < 0.5 < shares[0]


def test_a_rate_past_the_edge_is_evidence():
    found = examine(mlp(), lr=5.0)
    first = found.findings[0]
    assert first.id == "O01"
    assert any("eigenvalue" in one.what and one.value > one.threshold for one in first.evidence)
    assert found.rates is not None
    assert found.rates.tenth < 1.0


def test_a_network_without_second_derivatives_is_examined_all_the_same():
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            if torch.is_grad_enabled():
                raise RuntimeError("this kernel has no second derivative")
            return gradient

    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return Once.apply(x)

    found = examine(nn.Sequential(*mlp()[:3], Odd(), nn.Linear(64, 10)), thorough=True)
    assert found.verdict == "trains"
    assert not any("eigenvalue" in signal.what for signal in found.signals)


def test_the_figure_of_a_range():
    found = examine(mlp(), thorough=True).rates
    assert found is not None
    names = [trace.name for trace in found.figure().data]
    assert names[:2] == ["order 1", "order 2"]
    assert "in use" in names
    assert found.figure().layout.xaxis.type == "log"
    assert found.plot() is not None
