"""Pictures of connected networks: the plane of a bend and legs through many, against a landscape in closed form."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from quadratic import bowl, points

from orograph.basics.errors import UsageError
from orograph.connect import Curve, plane, polyline


def test_a_curve_with_one_bend_lies_in_its_plane_and_heights_are_the_bowls() -> None:
    model, objective = bowl()
    a, b = points(model, 2)
    curve = Curve.straight([a, b]).with_free((a.vector + b.vector)[None] + 0.7)
    found = plane(objective, curve, resolution=7)
    assert found.frame == "orthonormal"
    assert found.paths[0].unit == "t"
    assert_allclose(found.paths[0].off_plane, 0.0, atol=1e-6)
    assert_allclose(found.paths[0].loss, [model.height(curve.at(float(t)).vector) for t in found.paths[0].epochs])
    first = (b.vector - a.vector) / a.distance(b)
    rest = curve.points[1].vector - a.vector
    second = rest - (rest @ first) * first
    second = second / second.norm()
    row, column = 1, 4
    place = a.vector + found.alpha[column] * first + found.beta[row] * second
    assert_allclose(found.loss[row, column], model.height(place), rtol=1e-9)


def test_the_regularised_plane_has_the_l2_term_of_every_cell() -> None:
    model, objective = bowl()
    a, b = points(model, 2)
    curve = Curve.straight([a, b]).with_free((a.vector + b.vector)[None] + 0.7)
    bare, whole = (plane(objective, curve, resolution=7, regularized=decay) for decay in (0.0, 0.3))
    first = (b.vector - a.vector) / a.distance(b)
    rest = curve.points[1].vector - a.vector
    second = rest - (rest @ first) * first
    second = second / second.norm()
    for row, column in ((0, 0), (2, 3), (6, 5)):
        place = a.vector + bare.alpha[column] * first + bare.beta[row] * second
        wanted = bare.loss[row, column] + 0.15 * float(place.square().sum())
        assert_allclose(whole.loss[row, column], wanted, rtol=1e-9)
    for before, after, point in zip(bare.anchors, whole.anchors, (a, b, curve.points[1]), strict=True):
        assert_allclose(after.loss, before.loss + 0.15 * point.norm() ** 2, rtol=1e-9)
    assert whole.provenance.options["weight decay in the loss"] == 0.3


def test_with_more_bends_the_distance_to_the_plane_is_told() -> None:
    model, objective = bowl()
    a, b = points(model, 2)
    curve = Curve.straight([a, b], "bezier", 3)
    curve = curve.with_free(torch.randn(3, len(a), dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    assert plane(objective, curve, resolution=5).paths[0].off_plane.max() > 0.1


def test_legs_pass_through_the_networks_and_their_barriers_are_the_chords() -> None:
    model, objective = bowl()
    networks = points(model, 3)
    found = polyline(objective, networks, train=objective.split, points=5, names=("x", "y", "z"))
    assert found.corners.tolist() == [0, 4, 8]
    assert_allclose(found.profile.test_loss[found.corners], [model.height(w.vector) for w in networks])
    ways = [one.distance(other) for one, other in pairwise(networks)]
    assert_allclose(found.profile.arc[found.corners], np.cumsum([0.0, *ways]))
    assert [wall.height for wall in found.train_barriers] == [0.0, 0.0]  # a bowl is convex
    middle = (networks[0].vector + networks[1].vector) / 2
    assert_allclose(found.profile.train_loss[2], model.height(middle))


def test_what_has_no_plane_or_no_legs_is_refused() -> None:
    model, objective = bowl()
    a, b = points(model, 2)
    with pytest.raises(UsageError, match="is a line"):
        plane(objective, Curve.straight([a, b], "bezier", 0))
    with pytest.raises(UsageError, match="lie on one line"):
        plane(objective, Curve.straight([a, b]))
    with pytest.raises(UsageError, match="two networks at least"):
        polyline(objective, [a], train=objective.split)
    with pytest.raises(UsageError, match="same point"):
        polyline(objective, [a, a], train=objective.split)
