"""The study of mode connectivity: claims that can be yes, no and undecided, and a small run with every part."""

import numpy as np
import pytest

from orograph import studies
from orograph.basics.errors import UsageError
from orograph.results import Barrier, Path, Profile, Provenance, Routes
from orograph.studies.mode_connectivity import claims

_TINY = {
    "pairs": 2,
    "train.epochs": 1,
    "curve.epochs": 1,
    "train_size": 200,
    "test_size": 60,
    "points": 5,
    "plane_points": 5,
    "train_examples": 50,
}


def wall(height, error=None):
    return Barrier(
        height=height, at=0.5, loss_at=height, loss_start=0.0, loss_end=0.0, se=0.01, resolved=True, grid_height=height,
        grid_at=0.5, n_examples=10_000, error_height=height if error is None else error, error_at=0.5,
    )  # fmt: skip


def profile(error_barrier, top=0.1, loss_barrier=1.0):
    ts = np.linspace(0, 1, 3)
    heights = np.array([0.05, top, 0.05])
    return Profile(
        t=ts, steps=np.ones(2), norm=np.ones(3), train_loss=heights, train_regularized=heights, test_loss=heights,
        train_error=heights, test_error=heights, train_barrier=wall(loss_barrier),
        test_barrier=wall(1.0, error_barrier),
    )  # fmt: skip


def path(before, after):
    return Path(
        kind="bezier", bends=1, segments=1, names=("A", "B"), anchors=(), profile=profile(0.0),
        line=profile(0.0, loss_barrier=after), naive_line=profile(0.0, loss_barrier=before), legs=(), chord=1.0,
        decay=0.0, provenance=Provenance(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("heights", "line", "curve"),
    [
        ((0.30, 0.31, 0.32), "reproduced", "not reproduced"),
        ((0.001, 0.002, 0.001), "not reproduced", "reproduced"),
        ((0.001, 0.03, 0.02), "inconclusive", "inconclusive"),
        ((0.3,), "inconclusive", "inconclusive"),
    ],
)
def test_a_barrier_worth_the_name_is_one_of_two_points(heights, line, curve):
    profiles = [profile(height) for height in heights]
    assert claims.line_has_barrier(profiles).verdict == line
    assert claims.curve_has_none("bezier", profiles).verdict == curve
    copied = claims.copy_is_connected(profiles, profiles)
    assert copied.verdict == curve
    assert copied.measured == pytest.approx(np.mean(heights))
    assert f"{heights[0]:.3g}" in copied.note


@pytest.mark.parametrize(
    ("tops", "verdict"),
    [
        ((0.101, 0.099, 0.102), "reproduced"),
        ((0.201, 0.199, 0.202), "not reproduced"),
        ((0.1, 0.2, 0.1), "inconclusive"),
    ],
)
def test_the_family_matters_where_the_maxima_differ(tops, verdict):
    chain = [profile(0.0, top=0.1)] * len(tops)
    assert claims.family_does_not_matter([profile(0.0, top=top) for top in tops], chain).verdict == verdict


@pytest.mark.parametrize(
    ("after", "verdict"),
    [((0.1, 0.12, 0.2), "reproduced"), ((1.5, 1.4, 1.6), "not reproduced"), ((0.2, 1.9, 1.0), "inconclusive")],
)
def test_alignment_is_judged_by_the_share_of_the_barrier_that_goes(after, verdict):
    found = claims.alignment_lowers_the_line([path(1.0, height) for height in after])
    assert found.verdict == verdict
    assert found.measured == pytest.approx(1 - np.mean(after))


def test_a_whole_study_runs_and_does_nothing_twice(tmp_path):
    result = studies.run("mode-connectivity", out=tmp_path, executor="local", **_TINY)
    assert [claim.id for claim in result.claims] == [
        "line-barrier", "bezier-no-barrier", "polychain-no-barrier", "family", "alignment", "permuted-copy",
    ]  # fmt: skip
    assert all(panel.result in result.results for section in result.sections for panel in section.panels)
    ways = result.results["pair 1: ways"]
    assert isinstance(ways, Routes)
    assert set(ways.profiles) == {"bezier", "polychain", "straight line"}
    assert result.provenance.cost.backward > 0
    plan = studies.plan("mode-connectivity", out=tmp_path, **_TINY)
    assert {task.name for task in plan.tasks} == plan.done
    assert studies.run("mode-connectivity", out=tmp_path, executor="local", **_TINY).equals(result)
    redone = studies.plan("mode-connectivity", out=tmp_path, **{**_TINY, "curve.epochs": 2})
    left = {task.name for task in redone.tasks if task.name not in redone.done}
    assert all("bezier" in name or "polychain" in name or "permuted" in name for name in left)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": 0}, "pairs must be at least 1"),
        ({"bends": 0}, "bends must be at least 1"),
        ({"points": 3}, "at least 5 points"),
        ({"curve.direction": "climb"}, "curve.direction must be descend"),
        ({"train_examples": 0}, "train_examples"),
    ],
)
def test_options_that_cannot_be_right(options, message):
    with pytest.raises(UsageError, match=message):
        studies.plan("mode-connectivity", **options)
