"""The study of power laws: claims that can be yes, no and undecided, and a small run."""

import numpy as np
import pytest

from orograph import studies
from orograph.basics.errors import UsageError
from orograph.results import Forecast, MemorySplit, PowerLaw, Provenance
from orograph.studies.power_laws import claims

TINY = {
    "widths": (0.5, 1.0, 2.0, 3.0, 4.0),
    "replicas": 9,
    "fit_up_to": 4,
    "held_out": 5,
    "block": 3,
    "train.epochs": 2,
    "train_size": 200,
    "test_size": 100,
}


def law(a=-0.8, forecast=0.5, measured=0.5, spread=0.01, **changes):
    gap = forecast - measured
    foretold = Forecast(12.0, forecast, (forecast - 0.1, forecast + 0.1), measured, (gap - spread, gap + spread))
    x = np.array([1.0, 2.0, 3.0, 4.0])
    fields = {
        "axis": "ensemble size", "temperature": "before", "x": x, "y": 0.4 + 0.2 * x**a, "se": 0.01 * np.ones(4),
        "groups": np.full(4, 5), "fitted": np.ones(4, dtype=bool), "c": 0.4, "b": 0.2, "a": a, "deviation": 0.01,
        "c_at_bound": False, "cloud": np.tile([0.4, 0.2, a], (10, 1)), "forecasts": (foretold,),
        "provenance": Provenance(),
    }  # fmt: skip
    return PowerLaw(**{**fields, **changes})


def split(share, regret=(0.0, 0.001, 0.001)):
    """Three budgets of networks of 100, 200 and 400 parameters; ``share`` of resamples in which each is best."""
    budgets = np.array([100, 200, 400])
    n = budgets[:, None] // budgets
    measured = np.where(n > 0, 0.5, np.nan)
    best = np.array(share).argmax(1)
    zeros = np.zeros(3)
    return MemorySplit(
        temperature="before", budgets=budgets, sizes=budgets, n=n, measured=measured, se=0.01 * measured,
        groups=np.ones_like(n), predicted=measured, best=best, predicted_best=best, share=np.array(share),
        predicted_share=np.array(share), indistinguishable=n > 0, regret=np.array(regret),
        regret_interval=np.zeros((3, 2)), advantage=zeros, advantage_interval=np.zeros((3, 2)), laws=(None,) * 3,
        envelope=None, provenance=Provenance(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("forecasts", "verdict"),
    [
        ((0.5, 0.505, 0.495), "reproduced"),
        ((0.6, 0.61, 0.4), "not reproduced"),
        ((0.5, 0.6, 0.5), "inconclusive"),
    ],
)
def test_forecasts_are_judged_by_what_was_measured(forecasts, verdict):
    found = claims.forecasts_are_close({k: law(forecast=value) for k, value in enumerate(forecasts, start=1)})
    assert found.verdict == verdict
    assert found.measured == pytest.approx(np.mean([abs(value - 0.5) / 0.5 for value in forecasts]))


@pytest.mark.parametrize(
    ("exponents", "verdict"),
    [
        ((-0.8, -0.82, -0.78), "reproduced"),
        ((-1.5, -1.52, -1.48), "not reproduced"),
        ((-1.5, -0.5, -1), "inconclusive"),
    ],
)
def test_exponents_are_judged_where_the_limit_is_known(exponents, verdict):
    laws = [law(a=a) for a in exponents]
    assert claims.exponents_above_minus_one(laws).verdict == verdict
    doubtful = [*laws, law(a=-0.01, c_at_bound=True)]
    assert claims.exponents_above_minus_one(doubtful).measured == pytest.approx(np.mean(exponents))
    assert "1 of 4 laws are left out" in claims.exponents_above_minus_one(doubtful).note


@pytest.mark.parametrize(
    ("forecast", "spread", "verdict"),
    [(0.51, 0.01, "reproduced"), (0.8, 0.01, "not reproduced"), (0.53, 0.1, "inconclusive")],
)
def test_the_law_in_the_width_is_judged_by_its_interval(forecast, spread, verdict):
    assert claims.width_law_holds(law(forecast=forecast, spread=spread)).verdict == verdict
    assert claims.width_law_holds(law(forecasts=())).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("last", "several", "grows"),
    [
        ((1.0, 0.0, 0.0), "reproduced", "reproduced"),
        ((0.0, 0.0, 1.0), "not reproduced", "not reproduced"),
        ((0.3, 0.3, 0.4), "inconclusive", "inconclusive"),
    ],
)
def test_splits_are_judged_by_resamples(last, several, grows):
    found = split([(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), last])
    assert claims.a_split_is_better(found).verdict == several
    assert claims.splits_grow(found).verdict == grows


@pytest.mark.parametrize(
    ("regret", "verdict"),
    [
        ((9.0, 0.001, 0.001), "reproduced"),  # a budget with one way to divide it does not count
        ((0.1, 0.11, 0.1), "not reproduced"),
        ((0.0, 0.05, 0.0), "inconclusive"),
    ],
)
def test_foretold_splits_are_judged_by_what_they_lose(regret, verdict):
    assert claims.splits_are_foretold(split(np.eye(3), regret)).verdict == verdict


def test_the_whole_study_runs_and_does_nothing_twice(tmp_path):
    result = studies.run("power-laws", out=tmp_path, executor="local", **TINY)
    assert [claim.id for claim in result.claims] == [
        "forecast", "exponent", "width-law", "memory-split", "split-grows", "split-foretold",
    ]  # fmt: skip
    assert result.provenance.cost.backward == 5 * 9 * 2 * 200
    found = result.results["law at width 2"]
    assert isinstance(found, PowerLaw)
    assert found.forecasts[-1].x == 5
    wide = result.results["law in the width"]
    assert wide.fitted.tolist() == [True] * 4 + [False]
    assert wide.forecasts[0].x == 4
    split = result.results["memory split"]
    assert split.sizes.tolist() == [610, 1210, 2410, 3610, 4810]
    assert split.n[1, 0] == 2  # two networks of half the width have a little more parameters, and fit
    plan = studies.plan("power-laws", out=tmp_path, **TINY)
    assert {task.name for task in plan.tasks} == plan.done
    more = studies.plan("power-laws", out=tmp_path, **{**TINY, "replicas": 12})
    assert len([task for task in more.tasks if task.name not in more.done]) == 5  # one block more of each width


def test_collapsed_networks_are_told_and_stay_in_the_figures(tmp_path):
    """A rate at which narrow networks learn nothing."""
    wild = {**TINY, "widths": (0.0625, 4.0), "train.lr": 2.0, "train.epochs": 1}
    result = studies.run("power-laws", out=tmp_path, executor="local", **wild)
    assert any("learned nothing" in note for note in result.notes)
    pool = result.results["all widths"].series["width 0.0625"]
    assert len(pool.x) == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (2.0, 1.0)}, "ascending"),
        ({"replicas": 10, "held_out": 6}, "leave too few"),
        ({"replicas": 12, "held_out": 6}, "held_out above 6"),
        ({"fit_up_to": 3}, "at least four sizes"),
        ({"model_options": ("width=2",)}, "leave it out of model_options"),
        ({"widths": (0.01, 0.02)}, "networks of the same size"),
        ({"model": "net.py:Net"}, "net.py"),
        ({"block": 0}, "block must be at least 1"),
        ({"model": "resnet20", "model_options": (), "widths": (-1.0,)}, "above 0"),
    ],
)
def test_options_that_cannot_be_right(options, message):
    with pytest.raises(UsageError, match=message):
        studies.plan("power-laws", **options)


def test_a_network_of_another_kind_is_not_given_the_options_of_an_mlp():
    plan = studies.plan("power-laws", **{**TINY, "model": "convnet", "widths": (2.0, 4.0)})
    assert {task.arguments["model"]["options"]["width"] for task in plan.tasks} == {2, 4}
    assert all(set(task.arguments["model"]["options"]) == {"width"} for task in plan.tasks)
    plan = studies.plan("power-laws", **TINY)
    assert plan.tasks[0].arguments["model"]["options"]["hidden"] == [16]
