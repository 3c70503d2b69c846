"""Frames and axes: what a picture's coordinates promise, for any networks."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from quadratic import Bowl, points

from orograph.basics.errors import UsageError
from orograph.landscape.axes import axis, centred_axis, given_axis
from orograph.landscape.frames import oblique, orthonormal, project, to_oblique, to_orthonormal
from orograph.weights import Weights, dot

seeds = st.integers(0, 10_000)


def at(frame, center, x, y):
    return center.vector + x * frame.first[:] + y * frame.second[:]


@settings(max_examples=40)
@given(seed=seeds, scale=st.floats(1e-3, 1e3))
def test_both_frames_put_the_three_networks_where_they_say(seed, scale):
    a, b, c = points(Bowl(), 3, seed, scale)
    for frame in (oblique(a, b, c), orthonormal(a, b, c)):
        for point, (x, y) in zip((a, b, c), frame.places, strict=True):
            torch.testing.assert_close(at(frame, a, x, y), point.vector, rtol=1e-9, atol=1e-9 * scale)


@settings(max_examples=40)
@given(seed=seeds, u=st.floats(-2, 2), v=st.floats(-2, 2))
def test_one_point_has_one_place_in_each_frame(seed, u, v):
    a, b, c = points(Bowl(), 3, seed)
    slanted, straight = oblique(a, b, c), orthonormal(a, b, c)
    (length, _), (overlap, height) = straight.places[1], straight.places[2]
    x, y = to_orthonormal(u, v, length, overlap, height)
    torch.testing.assert_close(at(straight, a, x, y), at(slanted, a, u, v), rtol=1e-8, atol=1e-8)
    assert to_oblique(x, y, length, overlap, height) == pytest.approx((u, v), abs=1e-8)


@settings(max_examples=30)
@given(seed=seeds)
def test_distances_are_true_in_the_orthonormal_frame_only(seed):
    a, b, c = points(Bowl(), 3, seed)
    frame = orthonormal(a, b, c)
    places = np.array(frame.places)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        drawn = np.linalg.norm(places[i] - places[j])
        assert drawn == pytest.approx((a, b, c)[i].distance((a, b, c)[j]), rel=1e-9)
    assert frame.lengths == pytest.approx((1, 1))
    assert abs(frame.cosine) < 1e-12
    assert oblique(a, b, c).lengths == pytest.approx((a.distance(b), a.distance(c)))


def test_directions_of_nearly_parallel_float32_networks_are_orthonormal_all_the_same():
    torch.manual_seed(0)
    model = torch.nn.Linear(100, 50)
    a = Weights.of(model)
    b = a.with_vector(a.vector + 0.01 * torch.randn(len(a)))
    c = a.with_vector(b.vector + 1e-6 * torch.randn(len(a)))
    frame = orthonormal(a, b, c)
    exact = [point.vector.double().numpy() for point in (a, b, c)]
    r = exact[2] - exact[0]
    first = (exact[1] - exact[0]) / np.linalg.norm(exact[1] - exact[0])
    r -= first * (first @ r)
    assert frame.lengths == pytest.approx((1, 1), abs=1e-9)
    assert abs(frame.cosine) < 1e-9
    assert frame.places[2][1] == pytest.approx(np.linalg.norm(r), rel=1e-9)
    np.testing.assert_allclose(frame.second[:].numpy(), r / np.linalg.norm(r), atol=1e-9)


def test_networks_on_one_line_are_refused():
    a, b, _ = points(Bowl(), 3)
    for c in (a + 0.5 * (b - a), a, b):
        with pytest.raises(UsageError, match=r"line|same point"):
            orthonormal(a, b, c)
        with pytest.raises(UsageError, match=r"line|same point"):
            oblique(a, b, c)


@settings(max_examples=30)
@given(seed=seeds)
def test_projection_finds_the_nearest_point_of_the_plane(seed):
    a, b, c, other = points(Bowl(), 4, seed)
    for frame in (oblique(a, b, c), orthonormal(a, b, c)):
        path = project(frame, a, [b, other], [0, 1], [0.0, 0.0], "run")
        assert path.coordinates[0] == pytest.approx(frame.places[1], abs=1e-8)
        assert path.off_plane[0] == pytest.approx(0, abs=1e-7)
        rest = other.vector - at(frame, a, *path.coordinates[1])
        assert abs(dot(rest, frame.first[:])) < 1e-8 * max(1, frame.lengths[0])
        assert abs(dot(rest, frame.second[:])) < 1e-8 * max(1, frame.lengths[1])
        assert path.off_plane[1] == pytest.approx(float(rest.norm()), rel=1e-6)


@pytest.mark.parametrize(
    ("span", "resolution", "count"),
    [((-1, 2), 61, 61), ((-1, 2), 51, 52), ((-0.5, 1.5), 41, 41), ((-0.5, 1.5), 51, 53), ((0, 1), 10, 10)],
)
def test_axes_hold_both_networks_exactly_and_round_up_until_they_do(span, resolution, count):
    values = axis(span, resolution, (0.0, 1.0))
    assert len(values) == count
    assert 0.0 in values
    assert 1.0 in values
    assert (values[0], values[-1]) == span
    assert np.allclose(np.diff(values), np.diff(values)[0])


@settings(max_examples=100)
@given(low=st.integers(-400, 0), high=st.integers(101, 400), resolution=st.integers(2, 120))
def test_axes_of_any_round_span_contain_zero_and_one(low, high, resolution):
    values = axis((low / 100, high / 100), resolution, (0.0, 1.0))
    assert len(values) >= resolution
    assert {0.0, 1.0} <= set(values.tolist())


@settings(max_examples=60)
@given(low=st.floats(-50, -0.1), high=st.floats(0.1, 50), resolution=st.integers(3, 60))
def test_a_centred_axis_contains_zero_and_covers_its_span(low, high, resolution):
    values = centred_axis((low, high), resolution)
    assert 0.0 in values
    assert values[0] <= low * (1 - 1e-9)
    assert values[-1] >= high * (1 - 1e-9)
    assert len(values) <= resolution + 2


def test_given_alphas_that_miss_a_network_are_refused_with_a_number_that_works():
    with pytest.raises(UsageError, match="use 52 points"):
        given_axis(np.linspace(-1, 2, 51), (0.0, 1.0))
    assert given_axis(np.linspace(-1, 2, 61), (0.0, 1.0))[20] == 0.0
    assert len(given_axis(np.linspace(0.3, 0.6, 7), (0.0, 1.0))) == 7  # a close-up holds neither end
    with pytest.raises(UsageError, match="ascending"):
        given_axis([1.0, 0.0], ())
    for span in ((1, 1), (2, 1), (0, float("nan"))):
        with pytest.raises(UsageError, match="smaller to a larger finite"):
            axis(span, 5, ())
