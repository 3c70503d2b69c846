"""Curves: coefficients, ends, lengths and more bends, against their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from stories import cloud

from orograph.basics.errors import UsageError
from orograph.connect.curves import Curve, coefficients

families = st.sampled_from(["bezier", "polychain"])
places = st.floats(0, 1)


@given(families, st.integers(0, 5), st.integers(1, 3), places)
def test_shares_sum_to_one_and_are_never_negative(kind: str, bends: int, segments: int, t: float) -> None:
    shares = coefficients(kind, bends, t, segments)
    assert_allclose(shares.sum(), 1.0, atol=1e-12)
    assert (shares >= 0).all()


@given(families, st.integers(1, 5), st.integers(1, 3))
def test_a_curve_passes_through_its_ends_and_way_points(kind: str, bends: int, segments: int) -> None:
    for segment in range(segments + 1):
        shares = coefficients(kind, bends, segment / segments, segments)
        expected = np.zeros(segments * (bends + 1) + 1)
        expected[segment * (bends + 1)] = 1.0
        assert_allclose(shares, expected, atol=1e-9)


@given(places)
def test_one_bend_is_the_published_formula(t: float) -> None:
    assert_allclose(coefficients("bezier", 1, t), [(1 - t) ** 2, 2 * t * (1 - t), t**2], atol=1e-12)
    first = [1 - 2 * t, 2 * t, 0.0] if t <= 0.5 else [0.0, 2 - 2 * t, 2 * t - 1]
    assert_allclose(coefficients("polychain", 1, t), first, atol=1e-12)


@pytest.mark.parametrize(("kind", "mean"), [("bezier", 1 / 4), ("polychain", 1 / 3)])
def test_the_mean_share_of_a_free_point_is_the_documented_one(kind: str, mean: float) -> None:
    ts = (np.arange(60_000) + 0.5) / 60_000
    assert_allclose(coefficients(kind, 2, ts)[:, 1:3].mean(0), [mean, mean], rtol=1e-6)


@given(families, st.integers(1, 4), places)
def test_an_untrained_curve_is_the_straight_line(kind: str, bends: int, t: float) -> None:
    a, b = cloud(2, seed=bends)
    curve = Curve.straight([a, b], kind, bends)
    assert_allclose(curve.at(t).vector, (1 - t) * a.vector + t * b.vector, atol=2e-6)


def test_the_ends_are_the_given_networks_bit_for_bit() -> None:
    a, b = cloud(2)
    curve = Curve.straight([a, b], "bezier", 2).with_free(torch.randn(2, len(a)))
    assert curve.at(0.0) is a
    assert curve.at(1.0) is b


@given(st.integers(1, 3), st.integers(1, 3), places)
def test_another_bend_leaves_a_bezier_curve_where_it_was(bends: int, segments: int, t: float) -> None:
    points = cloud(segments + 1, seed=segments)
    curve = Curve.straight(points, "bezier", bends)
    curve = curve.with_free(torch.randn(len(curve.free), len(points[0]), generator=torch.Generator().manual_seed(3)))
    more = curve.with_another_bend()
    assert more.bends == bends + 1
    assert_allclose(more.at(t).vector, curve.at(t).vector, atol=2e-5)


def test_another_bend_of_a_polychain_puts_its_corners_on_the_old_one() -> None:
    a, b = cloud(2)
    curve = Curve.straight([a, b], "polychain", 1).with_free(torch.randn(1, len(a)))
    more = curve.with_another_bend()
    for t in (1 / 3, 2 / 3):
        assert_allclose(more.at(t).vector, curve.at(t).vector, atol=1e-5)


@given(families, st.integers(1, 3))
def test_lengths_are_those_of_the_chords(kind: str, bends: int) -> None:
    a, b = cloud(2, seed=9)
    curve = Curve.straight([a, b], kind, bends).with_free(torch.randn(bends, len(a)))
    ts = np.linspace(0, 1, 13)
    points = [sum(float(s) * p.vector.double() for s, p in zip(curve.shares(t), curve.points, strict=True)) for t in ts]
    chords = [float((y - x).norm()) for x, y in itertools.pairwise(points)]
    assert_allclose(curve.lengths(ts), chords, rtol=1e-9)


def test_legs_are_distances_between_control_points() -> None:
    a, b, c = cloud(3)
    assert_allclose(Curve("polychain", (a, b, c)).legs(), [a.distance(b), b.distance(c)])


def test_a_saved_curve_comes_back() -> None:
    a, b = cloud(2)
    curve = Curve.straight([a, b], "bezier", 1).with_free(torch.randn(1, len(a)))
    control = np.stack([point.vector.numpy() for point in curve.points])
    assert torch.equal(Curve.of("bezier", control, a).at(0.3).vector, curve.at(0.3).vector)
    with pytest.raises(UsageError, match="coordinates"):
        Curve.of("bezier", control[:, 1:], a)


@pytest.mark.parametrize("t", [-0.1, 1.1, float("nan")])
def test_beyond_the_ends_there_is_no_curve(t: float) -> None:
    with pytest.raises(UsageError, match="t = 0 to t = 1"):
        coefficients("bezier", 1, t)


def test_an_unknown_family_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'bezier'"):
        coefficients("bezir", 1, 0.5)
