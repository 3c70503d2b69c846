"""The regression estimator of sampled heights: against its textbook form, and against the truth it estimates."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from networks import TupleNet
from orograph.basics.errors import UsageError
from orograph.data import Split
from orograph.objective import Controls, Objective
from orograph.objective.controls import Regression, calibrate
from orograph.weights import Weights


def population(seed, size=2000, noise=0.3):
    """Losses of ``size`` examples at three known points, and at a new one that mostly follows from them."""
    chance = np.random.default_rng(seed)
    known = chance.exponential(1.0, (3, size))
    return known, np.array([0.5, 0.8, -0.2]) @ known + 1 + noise * chance.standard_normal(size)


def regression_estimate(values, controls):
    estimator = Regression(controls)
    for batch in np.array_split(values, 3):
        estimator.add(batch)
    return estimator.estimate()


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), n=st.integers(96, 1999))
def test_the_estimate_is_that_of_a_least_squares_fit_with_an_intercept(seed, n):
    known, new = population(seed)
    design = np.column_stack([np.ones(n), known[:, :n].T])
    fit, squares, *_ = np.linalg.lstsq(design, new[:n], rcond=None)
    mean, error = regression_estimate(new[:n], known)
    assert mean == pytest.approx(fit @ [1, *known.mean(1)], rel=1e-9)
    assert error == pytest.approx(np.sqrt(squares[0] / (n - 4) / n * (1 - n / 2000)), rel=1e-6)


def test_what_follows_from_the_known_points_needs_no_more_examples():
    known, new = population(0, noise=0.0)
    mean, error = regression_estimate(new[:100], known)
    assert mean == pytest.approx(new.mean(), rel=1e-9)
    assert error < 1e-8
    assert np.std(new[:100]) / 10 > 0.05  # the plain standard error


def test_the_truth_lies_inside_two_standard_errors_as_often_as_it_should():
    inside = 0
    for seed in range(200):
        known, new = population(seed)
        mean, error = regression_estimate(new[:128], known)
        inside += abs(mean - new.mean()) < 2 * error
    assert inside >= 180


def test_controls_that_say_nothing_change_nothing():
    _, new = population(1)
    plain = new[:64].std(ddof=1) / 8 * np.sqrt(1 - 64 / 2000)
    for nothing in (np.zeros((2, 2000)), np.ones((1, 2000))):
        mean, error = regression_estimate(new[:64], nothing)
        assert mean == pytest.approx(new[:64].mean())
        assert error == pytest.approx(plain)
    few, error = regression_estimate(new[:10], np.stack([new]))  # too few for any control
    assert few == pytest.approx(new[:10].mean())
    assert error > 0


@pytest.fixture
def model():
    torch.manual_seed(0)
    return TupleNet()


def clouds(n):
    generator = torch.Generator().manual_seed(3)
    return Split(torch.randn(n, 6, generator=generator), torch.randint(0, 3, (n,), generator=generator))


def test_a_point_beside_thorough_ones_needs_fewer_examples(model):
    split = clouds(4000)
    start = Weights.of(model)
    step = 0.2 * torch.randn(len(start), generator=torch.Generator().manual_seed(0))
    sampled = Objective(model, split, tolerance=0.005, batch_size=100)
    near = [sampled.along(start, [(t, step)], keep_examples=True, thorough=True) for t in (0.0, 1.0)]
    assert [point.n_examples for point in near] == [4000, 4000]
    assert all(point.exact and not point.loss_se for point in near)
    exact = Objective(model, split).along(start, [(0.5, step)])
    alone = sampled.along(start, [(0.5, step)])
    leaning = sampled.along(start, [(0.5, step)], controls=Controls.of(near))
    assert leaning.n_examples < alone.n_examples / 2
    assert leaning.loss_se < 0.005
    assert abs(leaning.loss - exact.loss) < 3 * leaning.loss_se
    assert 0 <= leaning.accuracy <= 1
    assert abs(leaning.accuracy - exact.accuracy) < 4 * leaning.accuracy_se


def test_points_that_are_not_finite_are_no_controls(model):
    split = clouds(400)
    sampled = Objective(model, split, tolerance=0.1, batch_size=50)
    start = Weights.of(model)
    good = sampled(start, keep_examples=True, thorough=True)
    bad = sampled(start.with_vector(start.vector * float("nan")), keep_examples=True, thorough=True)
    assert bad.n_examples == 400  # thorough is thorough
    chosen = Controls.of([bad, good])
    assert chosen.losses.shape == (1, 400)
    assert Controls.of([bad]) is None


def test_a_point_above_the_cap_is_known_no_better(model):
    split = clouds(4000)
    far = Weights.of(model).with_vector(30 * Weights.of(model).vector)
    options = {"tolerance": 0.01, "batch_size": 100}
    exact = Objective(model, split)(far).loss
    free = Objective(model, split, **options)(far)
    capped = Objective(model, split, cap=1.5, **options)(far)
    assert exact > 1.5
    assert capped.n_examples < free.n_examples
    assert capped.loss_se > 0.01
    assert capped.loss - 2 * capped.loss_se > 1.5
    assert abs(capped.loss - exact) < 4 * capped.loss_se
    low = Weights.of(model)
    assert (
        Objective(model, split, cap=1e6, **options)(low).n_examples
        == Objective(model, split, **options)(low).n_examples
    )
    with pytest.raises(UsageError, match="give a tolerance too"):
        Objective(model, split, cap=1.5)


def test_errors_are_raised_where_a_few_examples_carry_the_loss():
    """5 of 2,000 examples weigh as much as the rest, by other amounts at each point: n of them rarely hold one."""
    rng = np.random.default_rng(0)
    inside = {True: [], False: []}
    for _ in range(20):
        order = rng.permutation(2000)
        base = rng.gamma(1.0, 0.01, 2000)
        heavy = np.zeros((30, 2000))
        heavy[:, :5] = rng.gamma(1.0, 4.0, (30, 5))
        values = (base + 0.001 * rng.standard_normal((30, 2000)) + heavy)[:, order]
        calibration = calibrate([(values[i], values[[j for j in range(12) if j != i][:8]]) for i in range(12)], 0.005)
        for raised in inside:
            for point in values[12:]:
                regression = Regression(values[:8], calibration if raised else None)
                regression.add(point[:256])
                mean, error = regression.estimate()
                inside[raised].append(abs(mean - point.mean()) <= 2 * error)
    assert np.mean(inside[False]) < 0.7
    assert np.mean(inside[True]) > 0.9


def test_calibration_leaves_true_errors_nearly_alone_and_ends_with_none():
    rng = np.random.default_rng(1)
    common = rng.standard_normal(4000)
    values = common + 0.3 * rng.standard_normal((40, 4000)) + 2
    calibration = calibrate([(values[i], np.delete(values, i, 0)[:8]) for i in range(40)], 0.005)
    for n in (64, 500, 2000):
        error = 0.3 / n**0.5
        assert error <= calibration.raised(error, n) < 2 * error
    assert calibration.raised(0.0, 4000) == 0.0
    assert calibrate([], 0.01) is None
