"""The learning rate of each step is the closed form that the module's docstring states."""

import math

import numpy as np
import pytest

from orograph.train.recipe import Recipe
from orograph.train.schedule import learning_rates

STEPS, PER_EPOCH, PEAK = 200, 20, 0.3


def rates(**options) -> np.ndarray:
    return learning_rates(Recipe(epochs=10, lr=PEAK, **options), STEPS, PER_EPOCH)


def test_constant():
    np.testing.assert_array_equal(rates(schedule="constant"), np.full(STEPS, PEAK))


def test_cosine_falls_to_zero_over_the_run():
    k = np.arange(STEPS)
    np.testing.assert_allclose(rates(schedule="cosine"), PEAK * (1 + np.cos(np.pi * k / STEPS)) / 2, atol=1e-13)


def test_linear_falls_to_zero_over_the_run():
    np.testing.assert_allclose(rates(schedule="linear"), PEAK * (1 - np.arange(STEPS) / STEPS), atol=1e-13)


def test_step_multiplies_at_fractions_of_the_run():
    found = rates(schedule="step", milestones=(0.3, 0.8), gamma=0.2)
    expected = PEAK * 0.2 ** ((np.arange(STEPS) >= 60).astype(int) + (np.arange(STEPS) >= 160))
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear", "step"])
def test_warmup_rises_in_equal_steps_and_then_the_schedule_has_the_rest(schedule):
    found = rates(schedule=schedule, warmup=1.5, milestones=(0.5,))
    warm = 30
    np.testing.assert_allclose(found[:warm], PEAK * (np.arange(warm) + 1) / (warm + 1), rtol=1e-12)
    assert found[warm] == pytest.approx(PEAK)
    t = (np.arange(warm, STEPS) - warm) / (STEPS - warm)
    form = {
        "constant": np.ones_like(t),
        "cosine": (1 + np.cos(np.pi * t)) / 2,
        "linear": 1 - t,
        "step": np.where(np.arange(warm, STEPS) >= 100, 0.1, 1.0),  # milestones count from the start of the run
    }[schedule]
    np.testing.assert_allclose(found[warm:], PEAK * form, atol=1e-13)


@pytest.mark.parametrize(("warmup", "rise"), [(0.0, 60), (2.0, 40)])
def test_one_cycle_rises_from_a_25th_and_falls_to_a_250000th(warmup, rise):
    found = rates(schedule="one-cycle", warmup=warmup)
    up = np.arange(rise) / (rise - 1)
    down = np.arange(STEPS - rise + 1) / (STEPS - rise)
    low, end = PEAK / 25, PEAK / 25 / 1e4
    np.testing.assert_allclose(found[:rise], PEAK + (low - PEAK) * (1 + np.cos(np.pi * up)) / 2, rtol=1e-9)
    np.testing.assert_allclose(found[rise - 1 :], end + (PEAK - end) * (1 + np.cos(np.pi * down)) / 2, rtol=1e-9)


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "linear", "one-cycle"])
@pytest.mark.parametrize("warmup", [0.0, 0.04, 0.1])
@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_runs_of_a_few_steps_have_finite_rates(schedule, warmup, steps):
    recipe = Recipe(epochs=0.1, lr=PEAK, schedule=schedule, warmup=warmup)
    found = learning_rates(recipe, steps, 20)
    assert found.shape == (steps,)
    assert all(math.isfinite(rate) and 0 <= rate <= PEAK * (1 + 1e-12) for rate in found)
