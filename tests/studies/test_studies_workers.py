"""The study of workers that are averaged: claims that can be yes, no and undecided, and a small run."""

import numpy as np
import pytest

from orograph import studies
from orograph.basics.errors import UsageError
from orograph.results import Comparison
from orograph.studies.worker_averaging import claims

TINY = {
    "repeats": 2,
    "team": 2,
    "train.epochs": 2,
    "train.batch_size": 50,
    "train_size": 200,
    "test_size": 60,
    "starts": (0.0, 0.5, 1.0),
    "every": 0.5,
    "points": 5,
}


@pytest.mark.parametrize(
    ("gaps", "worse", "as_good"),
    [
        ((0.2, 0.21, 0.19), "reproduced", "not reproduced"),
        ((-0.01, -0.011, -0.009), "not reproduced", "reproduced"),
        ((0.2, -0.2, 0.05), "inconclusive", "inconclusive"),
        ((0.2,), "inconclusive", "inconclusive"),
    ],
)
def test_averages_are_judged_by_one_percentage_point(gaps, worse, as_good):
    assert claims.scratch_once(gaps, 0.001).verdict == worse
    for found in (
        claims.started_once("1", gaps, 0.001),
        claims.again_and_again(gaps, 0.001),
        claims.shards_too(gaps, 0.001),
        claims.equal_examples(4, gaps, 0.001),
    ):
        assert found.verdict == as_good
        assert found.measured == pytest.approx(np.mean(gaps))


def test_one_test_example_is_the_least_that_repetitions_differ_by():
    assert claims.again_and_again((0.0, 0.0, 0.0), 1 / 100).verdict == "inconclusive"
    assert claims.again_and_again((0.0, 0.0, 0.0), 1 / 10_000).verdict == "reproduced"


@pytest.mark.parametrize(
    ("correlations", "verdict"),
    [((0.9, 0.8, 1.0), "reproduced"), ((-0.9, -0.8, -1.0), "not reproduced"), ((0.9, float("nan")), "inconclusive")],
)
def test_a_barrier_tells_where_correlations_agree(correlations, verdict):
    assert claims.barrier_tells(correlations).verdict == verdict


def test_the_whole_study_runs_and_does_nothing_twice(tmp_path):
    result = studies.run("worker-averaging", out=tmp_path, executor="local", **TINY)
    assert [claim.id for claim in result.claims] == [
        "scratch-once", "started-once", "scratch-repeated", "shards-repeated", "equal-examples", "barrier-tells",
    ]  # fmt: skip
    starts = result.results["starts"]
    assert isinstance(starts, Comparison)
    assert set(starts.series) == {
        "own order, once", "own order, again and again", "own shard, once", "own shard, again and again",
    }  # fmt: skip
    scratch = starts.series["own order, once"].values[0, 0]
    found = {claim.id: claim.measured for claim in result.claims}
    assert found["scratch-once"] == pytest.approx(scratch)
    assert found["started-once"] == pytest.approx(starts.series["own order, once"].values[0, 1:].mean())
    assert found["scratch-repeated"] == pytest.approx(starts.series["own order, again and again"].values[0, 0])
    assert any("hardly trained" in note for note in result.notes)
    assert result.headline.startswith("Of networks that are hardly trained: ")
    plan = studies.plan("worker-averaging", out=tmp_path, **TINY)
    assert {task.name for task in plan.tasks} == plan.done
    redone = studies.plan("worker-averaging", out=tmp_path, **{**TINY, "every": 0.25})
    left = {task.name for task in redone.tasks if task.name not in redone.done}
    assert left
    assert all("again and again" in name for name in left)


def test_without_its_parts_it_claims_less(tmp_path):
    bare = {**TINY, "shards": False, "longer": False, "starts": (0.0,), "repeats": 1}
    result = studies.run("worker-averaging", out=tmp_path, executor="local", **bare)
    assert [claim.id for claim in result.claims] == ["scratch-once", "scratch-repeated"]
    assert {claim.verdict for claim in result.claims} == {"inconclusive"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"team": 1}, "at least 2 workers"),
        ({"every": 10.0}, "below the 10 epochs"),
        ({"starts": (1.0, 0.0)}, "from 0 upwards"),
        ({"starts": (0.0, 10.0)}, "must leave some"),
        ({"points": 3}, "at least 5"),
        ({"starts": (0.0, 9.99), "train_size": 200}, "less than a step"),
        ({"team": 500, "train_size": 200}, "--no-shards"),
        ({"repeats": 0}, "repeats must be at least 1"),
    ],
)
def test_options_that_cannot_be_right(options, message):
    with pytest.raises(UsageError, match=message):
        studies.plan("worker-averaging", **options)
