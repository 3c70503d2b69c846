"""The law through points: exact ones give their law back, noisy ones an interval that is as sure as it says."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.stats import binom

from orograph.basics.errors import UsageError
from orograph.ensemble import fit_power_law
from orograph.results.power_law import PowerLaw

SIZES = np.array([1, 2, 3, 4, 6, 8, 12, 16.0])


@settings(max_examples=40)
@given(
    c=st.one_of(st.just(0.0), st.floats(0.02, 2)),
    b=st.floats(0.05, 1),
    a=st.floats(-1.8, -0.25),
    scale=st.sampled_from([1.0, 1000.0]),
    weighted=st.booleans(),
)
def test_a_law_without_noise_is_recovered(c, b, a, scale, weighted):
    x = scale * SIZES
    y = c + b * SIZES**a
    se = 1e-9 if weighted else np.nan
    law = fit_power_law(x, y, axis="parameters", se=se, weighted=weighted, draws=np.empty((0, 8)))
    assert (law.c, law.b, law.a) == pytest.approx((c, b * scale**-a, a), rel=1e-6, abs=1e-6)
    assert law.c_at_bound == (c == 0)
    assert not law.unusual
    np.testing.assert_allclose(law.predict(10 * x), c + b * (10 * SIZES) ** a, rtol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("c", "b", "a", "noise"), [(0.3, 0.3, -0.8, 0.002), (1.3, 0.2, -0.75, 0.001)])
def test_intervals_hold_the_truth_as_often_as_they_say(c, b, a, noise, weighted):
    chance, trials = np.random.default_rng(0), 60
    se = noise * SIZES**-0.5
    inside = np.zeros(4)
    for _ in range(trials):
        y = c + b * SIZES**a + se * chance.standard_normal(len(SIZES))
        draws = y + se * chance.standard_normal((200, len(SIZES)))
        law = fit_power_law(SIZES, y, axis="ensemble size", se=se, weighted=weighted, draws=draws)
        ends = [*law.intervals().values(), tuple(float(end[0]) for end in law.band(48))]
        truths = (c, b, a, c + b * 48**a)
        inside += [low <= truth <= high for truth, (low, high) in zip(truths, ends, strict=True)]
    fewest, most = binom.ppf([0.0005, 0.9995], trials, 0.95)
    assert (inside >= fewest).all()
    assert (inside <= most).all()


def test_a_large_limit_is_not_lost_in_the_noise():
    """At c = 0 the logs of 1.3 to 1.5 are nearly alike, so the bound has the lowest mean square of all."""
    chance = np.random.default_rng(3)
    se = 0.003 * SIZES**-0.5
    limits = []
    for _ in range(30):
        y = 1.33 + 0.19 * SIZES**-0.75 + se * chance.standard_normal(len(SIZES))
        limits.append(fit_power_law(SIZES, y, axis="ensemble size", se=se, draws=np.empty((0, 8))).c)
    assert min(limits) > 1.2
    assert np.median(limits) == pytest.approx(1.33, abs=0.01)


def test_one_lucky_point_does_not_carry_the_limit_off():
    y = 0.3 + 0.3 * SIZES**-0.8
    y[-1] -= 0.004
    free = fit_power_law(SIZES, y, axis="ensemble size")
    held = fit_power_law(SIZES, y, axis="ensemble size", se=0.01)
    assert y[-1] - held.c >= 0.01 * (1 - 1e-9)
    assert y[-1] - free.c >= 0


def test_what_is_no_power_law_is_flagged_or_refused():
    rising = fit_power_law(SIZES, 0.5 + 0.01 * SIZES, axis="ensemble size")
    assert rising.unusual
    assert rising.a > 0
    steep = fit_power_law(SIZES, 0.3 + SIZES**-3.0, axis="ensemble size")
    assert steep.unusual
    assert "outside [-2, -0.2]" in steep.summary()
    with pytest.raises(UsageError, match="at least 4 distinct sizes, not 3"):
        fit_power_law([1, 2, 2, 4, 4], [5.0, 4, 4, 3, 3], axis="ensemble size")
    with pytest.raises(UsageError, match="not 3"):
        fit_power_law(SIZES, 1 / SIZES, axis="ensemble size", fitted=SIZES <= 3)
    with pytest.raises(UsageError, match="positive"):
        fit_power_law(SIZES, -SIZES, axis="ensemble size")
    with pytest.raises(UsageError, match="standard error above 0"):
        fit_power_law(SIZES, 1 / SIZES, axis="ensemble size", weighted=True)


def test_a_point_that_is_not_finite_leaves_no_law_unless_it_is_left_out():
    y = 0.3 + 0.3 * SIZES**-0.8
    y[-1] = np.nan
    law = fit_power_law(SIZES, y, axis="ensemble size")
    assert np.isnan([law.c, law.b, law.a]).all()
    assert "no law" in law.summary()
    assert fit_power_law(SIZES, y, axis="ensemble size", fitted=SIZES < 16).a == pytest.approx(-0.8, rel=1e-6)


def test_points_with_known_noise_are_resampled_from_it():
    law = fit_power_law(SIZES, 0.3 + 0.3 * SIZES**-0.8, axis="ensemble size", se=0.001 * SIZES**-0.5, seed=1)
    assert law.cloud.shape == (500, 3)
    assert law.drawn(1.0).std() == pytest.approx(0.001, rel=0.2)  # the first point hangs on nothing but itself
    assert np.corrcoef(law.cloud[:, 0], law.cloud[:, 2])[0, 1] < -0.9  # a higher limit is reached by a steeper fall
    unknown = fit_power_law(SIZES, 0.3 + 0.3 * SIZES**-0.8, axis="ensemble size")
    assert np.isnan(unknown.band([3, 5])).all()
    assert np.isnan(unknown.intervals()["c"]).all()


def test_a_law_survives_its_file(tmp_path):
    law = fit_power_law(SIZES, 0.3 + 0.3 * SIZES**-0.8, axis="width", se=0.001, temperature="before")
    back = PowerLaw.load(law.save(tmp_path / "law"))
    assert back.equals(law)
    assert back.summary() == law.summary()
