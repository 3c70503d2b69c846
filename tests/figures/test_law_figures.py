"""Pictures of ensembles and their laws show the numbers they are about, where they are, and what is missing."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sample_results as sample
from scipy.special import softmax

from orograph.figures import draw, figure
from orograph.figures.law_curves import errors, law_curve, size_curves
from orograph.figures.palette import BLUE, PAPER, size_colour
from orograph.figures.scales import amount, log_ticks


def _panels(result):
    axes = draw(result).axes[0]
    return axes.child_axes or [axes]


def _lines(axes, **wanted):
    """The lines of an axis that have these properties."""
    return [
        line for line in axes.lines if all(getattr(line, f"get_{name}")() == value for name, value in wanted.items())
    ]


def _labels(result):
    legend = next(axes.get_legend() for axes in _panels(result)[::-1] + draw(result).axes if axes.get_legend())
    return [text.get_text() for text in legend.get_texts()]


def _trace(result, name):
    return next(trace for trace in figure(result).data if trace.name == name)


# ---- predictions -----------------------------------------------------------------------------------------------------


def _by_hand(predictions, members):
    """The error of the averaged probabilities of these members, plainly."""
    probabilities = softmax(predictions.logits[members].astype(np.float64), axis=-1).mean(0)
    wrong = sum(int(row.argmax()) != label for row, label in zip(probabilities, predictions.labels, strict=True))
    return wrong / len(predictions.labels)


def test_the_line_is_the_error_of_the_averaged_probabilities_of_the_first_n():
    pool = sample.predictions(9)
    expected = [_by_hand(pool, range(n)) for n in range(1, 10)]
    line = next(line for line in _panels(pool)[0].lines if line.get_label() == "first n together")
    np.testing.assert_allclose(line.get_ydata(), expected)
    np.testing.assert_allclose(_trace(pool, "first n together").y, expected, rtol=1e-6)
    alone = next(line for line in _panels(pool)[0].lines if line.get_label() == "one network")
    np.testing.assert_allclose(alone.get_ydata(), [_by_hand(pool, [n]) for n in range(9)])
    se = [math.sqrt(e * (1 - e) / len(pool.labels)) for e in expected]
    np.testing.assert_allclose(errors(pool).se, se)


def test_logits_too_large_for_a_plain_exponential_are_averaged_all_the_same():
    pool = sample.predictions(3)
    lifted = replace(pool, logits=pool.logits + np.float32(3000))
    assert errors(lifted).together == pytest.approx(_by_hand(lifted, range(3)), abs=0.2)
    assert errors(lifted).together[-1] == _by_hand(lifted, range(3))


def test_a_network_with_a_nan_leaves_a_gap_and_is_told():
    pool = sample.predictions(6, names=["a", "b", "c", "spoilt", "e", "f"], broken=[3])
    others = [0, 1, 2, 4, 5]
    found = errors(pool)
    np.testing.assert_array_equal(np.isnan(found.together), np.arange(6) == 3)
    assert found.together[-1] == _by_hand(pool, others)
    assert "not finite (1)" in _labels(pool)
    line = next(line for line in _panels(pool)[0].lines if line.get_label() == "first n finite ones together")
    assert np.isnan(line.get_ydata()[3])
    cross = _trace(pool, "not finite (1)")
    assert list(cross.x) == [4]
    assert "spoilt" in cross.hovertext[0]
    assert np.isnan(np.asarray(_trace(pool, "first n finite").y, dtype=float)[3])


def test_a_network_that_guesses_does_not_press_the_others_together():
    pool = sample.predictions(8, collapsed=[5])
    found = errors(pool)
    assert found.collapsed[5]
    assert found.above[5]
    learned = found.each[~found.collapsed]
    assert found.up[0] < learned.min() <= learned.max() < found.up[1] < found.each[5]
    assert any(label.startswith("collapsed (1), error to 0.") for label in _labels(pool))
    assert _trace(pool, "collapsed (1)").marker.symbol == "triangle-up"


def test_networks_that_all_guess_are_still_drawn():
    pool = sample.predictions(3, collapsed=[0, 1], broken=[2])
    assert errors(pool).words() == "3 networks, none of which learned anything"
    assert "collapsed (2)" in _labels(pool)
    assert figure(pool).data
    only = sample.predictions(2, broken=[0, 1])
    assert "not finite (2)" in _labels(only)
    assert figure(only).data


# ---- laws ------------------------------------------------------------------------------------------------------------


def test_fitted_points_are_filled_others_open_and_single_groups_ringed():
    law = sample.power_law()
    top = _panels(law)[0]
    filled, hollow = (_lines(top, marker="o", markersize=5, markerfacecolor=face)[0] for face in (BLUE, PAPER))
    assert list(filled.get_xdata()) == [1, 2, 3, 4, 6]
    assert list(hollow.get_xdata()) == [8, 12]
    np.testing.assert_array_equal(np.concatenate([filled.get_ydata(), hollow.get_ydata()]), law.y)
    ring = _lines(top, label="a single group")[0]
    assert list(ring.get_xdata()) == [8, 12]
    assert list(_trace(law, "a single group").x) == [8, 12]
    assert list(_trace(law, "not fitted").x) == [8, 12]


def test_a_pool_without_any_larger_group_has_no_rings():
    law = sample.power_law(groups=np.ones(7, dtype=int))
    assert "a single group" not in _labels(law)


def test_a_law_is_solid_where_it_was_fitted_and_dashed_where_it_forecasts():
    law = sample.power_law()
    solid = _lines(_panels(law)[0], label="law, 95 % interval")[0]
    x, y = solid.get_data()
    np.testing.assert_array_equal(np.isfinite(y), (x >= 1) & (x <= 6))
    assert {1.0, 6.0} <= set(x)
    dashed = _lines(_panels(law)[0], color=BLUE, linestyle="--")[0]
    np.testing.assert_allclose(dashed.get_ydata(), law.c + law.b * x**law.a)
    assert x[-1] == 64


def test_forecasts_stand_with_their_intervals_beside_what_was_measured():
    law = sample.power_law()
    top = _panels(law)[0]
    diamonds = [line for line in _lines(top, marker="D") if len(line.get_xdata())]
    assert [(d.get_xdata()[0], d.get_ydata()[0]) for d in diamonds] == [(f.x, f.predicted) for f in law.forecasts]
    cross = next(line for line in _lines(top, marker="x") if len(line.get_xdata()))
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (16, law.forecasts[0].measured)
    bars = _trace(law, "forecast, 95 %").error_y
    np.testing.assert_allclose(bars.array, [f.interval[1] - f.predicted for f in law.forecasts])
    np.testing.assert_allclose(bars.arrayminus, [f.predicted - f.interval[0] for f in law.forecasts])


def test_hovering_tells_forecasts_line_by_line():
    law = sample.power_law()
    lines = _trace(law, "forecast, 95 %").hovertext[0].split("<br>")
    assert [line.split()[0] for line in lines] == ["at", "measured", "predicted"]
    assert ", ".join(lines) == str(law.forecasts[0])
    fit = next(trace for trace in figure(law).data if str(trace.hovertext).startswith("the law"))
    assert [line[:3] for line in fit.hovertext.split("<br>")[1:]] == ["c =", "b =", "a ="]


def test_less_c_the_law_is_a_straight_line_of_slope_a():
    law = sample.power_law()
    below = _panels(law)[1]
    assert (below.get_xscale(), below.get_yscale()) == ("log", "log")
    x, y = _lines(below, color=BLUE, linestyle="--")[0].get_data()
    np.testing.assert_allclose(np.diff(np.log(y)) / np.diff(np.log(x)), law.a, rtol=1e-6)
    filled = _lines(below, marker="o", markersize=5, markerfacecolor=BLUE)[0]
    np.testing.assert_allclose(filled.get_ydata(), law.y[law.fitted] - law.c)


def test_the_cloud_shows_every_resample():
    law = sample.power_law()
    cloud = _panels(law)[2].lines[0]
    np.testing.assert_array_equal(np.column_stack(cloud.get_data()), law.cloud[:, [2, 0]])


def test_the_title_says_c_b_and_a_with_their_intervals_and_doubts():
    law = sample.power_law()
    title = draw(law).axes[0].get_title()
    for name in "cba":
        low, high = law.intervals()[name]
        assert f"{name} = {getattr(law, name):.3g} [{low:.3g}, {high:.3g}]" in title
    assert figure(law).layout.title.text == title
    doubtful = sample.power_law(c_at_bound=True, a=-0.1, without_collapsed=None)
    for words in ("c is at a bound", "hardly a power law", "1 collapsed network in it"):
        assert words in draw(doubtful).axes[0].get_title()


def _held(axes, points):
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    return all(left < x < right and low < y < high for x, y in points)


LAWS = {
    "with forecasts": sample.power_law,
    "rising with size": lambda: sample.law([10, 20, 40, 80], 0.1, 0.2, 0.3),
    "in parameters": lambda: sample.law(1000 * 2.0 ** np.arange(11), 0.0, 5.0, -0.18, axis="parameters"),
    "nearly flat": lambda: sample.law([1, 2, 3, 4], 0.4, 1e-4, -0.7),
    "steep": lambda: sample.law([1, 2, 4, 8, 16], 0.001, 9.0, -2.5),
    "without resamples": lambda: sample.law([1, 2, 3, 4], 0.4, 0.3, -1, se=np.full(4, np.nan), cloud=np.empty((0, 3))),
}


@pytest.mark.parametrize("make", LAWS.values(), ids=LAWS)
def test_the_limits_of_a_law_hold_all_its_points(make):
    law = make()
    top, below, *cloud = _panels(law)
    points = list(zip(law.x, law.y, strict=True))
    points += [(f.x, y) for f in law.forecasts for y in (f.predicted, *f.interval, f.measured or f.predicted)]
    points += [(x, y + sign * s) for (x, y), s in zip(points, np.nan_to_num(law.se), strict=False) for sign in (-1, 1)]
    assert _held(top, points)
    heights = [*zip(law.x, law.y - law.c, strict=True), *((f.x, f.predicted - law.c) for f in law.forecasts)]
    assert _held(below, [(x, y) for x, y in heights if y > 0])
    assert len(cloud) == bool(len(law.cloud))
    assert all(_held(axes, [*law.cloud[:, [2, 0]], (law.a, law.c)]) for axes in cloud)
    drawn = figure(law).layout
    np.testing.assert_allclose(drawn.yaxis.range, top.get_ylim())
    np.testing.assert_allclose(10 ** np.asarray(drawn.xaxis.range), top.get_xlim())


def test_a_limit_far_below_the_points_is_named_and_does_not_flatten_them():
    law = sample.law([1, 2, 3, 4, 6, 8], 0.0, 1.0, -0.05, c_at_bound=True)
    assert not law_curve(law).limit_inside
    top = _panels(law)[0]
    assert top.get_ylim()[0] > 0.7
    assert "limit c = 0 below" in [text.get_text() for text in top.texts]
    assert "limit c = 0 below" in [note.text for note in figure(law).layout.annotations]


def test_points_below_the_limit_of_a_weighted_law_are_told():
    law = sample.law([1, 2, 3, 4, 6], 0.4, 0.3, -1.0, y=np.array([0.7, 0.55, 0.5, 0.475, 0.39]), weighted=True)
    assert "1 below c" in [text.get_text() for text in _panels(law)[1].texts]
    assert "1 below c" in str([note.text for note in figure(law).layout.annotations])


def test_without_a_law_the_points_are_drawn_and_the_gap_is_told():
    y = np.array([0.9, np.nan, 0.7, 0.65])
    law = sample.law([1, 2, 3, 4], np.nan, np.nan, np.nan, y=y, cloud=np.full((5, 3), np.nan))
    (only,) = _panels(law)
    assert draw(law).axes[0].get_title() == "no law: a fitted point is not finite"
    assert "not finite (1)" in _labels(law)
    assert _held(only, [(x, h) for x, h in zip(law.x, y, strict=True) if np.isfinite(h)])
    assert list(_trace(law, "not finite (1)").x) == [2]


def test_the_law_without_collapsed_networks_is_drawn_beside_it():
    law = sample.power_law(names=("run 7", "run 9"))
    line = _lines(_panels(law)[0], label="without 2 collapsed networks")[0]
    np.testing.assert_allclose(line.get_ydata(), law.without_collapsed.predict(line.get_xdata()))
    assert "run 7, run 9" in _trace(law, "2 collapsed out").hovertext


# ---- the memory split ------------------------------------------------------------------------------------------------


def test_each_size_has_a_curve_over_the_parameters_really_used():
    split = sample.memory_split()
    curves = size_curves(split)
    assert [curve.size for curve in curves] == list(split.sizes)
    for column, curve in enumerate(curves):
        rows = split.n[:, column] > 0
        np.testing.assert_array_equal(curve.used, (split.n * split.sizes)[rows, column])
        np.testing.assert_array_equal(curve.measured, split.measured[rows, column])
    assert len({curve.colour for curve in curves}) == len(curves)
    names = [text.get_text() for text in _panels(split)[0].texts]
    assert {"1k", "2k", "4k", "8k", "16k", "32k"} <= set(names)


def test_budgets_that_hold_no_further_network_do_not_repeat_a_point():
    split = sample.memory_split(doublings=2)
    again = np.concatenate([split.n, split.n[-1:]])  # a fifth budget, a little larger
    rows = {
        name: np.concatenate([getattr(split, name), getattr(split, name)[-1:]])
        for name in ("measured", "se", "predicted", "groups")
    }
    repeated = replace(split, budgets=np.append(split.budgets, split.budgets[-1] + 1), n=again, **rows)
    assert [list(curve.n) for curve in size_curves(repeated)] == [list(curve.n) for curve in size_curves(split)]


def test_filled_stars_stand_at_the_best_splits_and_open_ones_at_those_foretold():
    split = sample.memory_split()
    split = replace(split, predicted_best=np.maximum(split.predicted_best - 1, 0))
    rows = np.arange(len(split.budgets))
    found = [
        (line.get_xdata()[0], line.get_ydata()[0], line.get_markerfacecolor())
        for line in _lines(_panels(split)[0], marker="*")
    ]
    measured = [(x, y) for x, y, face in found if face != "none"]
    foretold = [(x, y) for x, y, face in found if face == "none"]
    assert measured == list(zip(split.used[rows, split.best], split.measured[rows, split.best], strict=True))
    column = split.predicted_best
    assert foretold == list(zip(split.used[rows, column], split.predicted[rows, column], strict=True))
    numbers = [text.get_text() for text in _panels(split)[0].texts]
    assert [int(word) for word in numbers if word.isdigit()] == list(split.best_n)


def test_the_limits_of_a_split_hold_all_its_points():
    for split in (sample.memory_split(), sample.memory_split(doublings=12, networks=64)):
        known = np.isfinite(split.measured)
        points = list(zip(split.used[known], split.measured[known], strict=True))
        known = np.isfinite(split.predicted)
        points += list(zip(split.used[known], split.predicted[known], strict=True))
        assert _held(_panels(split)[0], points)
        low, high = 10 ** np.asarray(figure(split).layout.yaxis.range)
        assert all(low < y < high for _, y in points)


def test_the_envelopes_law_is_drawn_and_said():
    split = sample.memory_split()
    line = _lines(_panels(split)[0], label="its law")[0]
    np.testing.assert_allclose(line.get_ydata(), split.envelope.predict(line.get_xdata()))
    title = draw(split).axes[0].get_title()
    assert f"c = {split.envelope.c:.3g}" in title
    row = int(np.flatnonzero(np.isfinite(split.advantage))[-1])
    assert f"{split.best_n[row]} networks of" in title
    assert f"{split.advantage[row]:.2g} [" in title
    bare = replace(
        split, envelope=None, predicted=np.full(split.n.shape, np.nan), predicted_best=np.full(len(split.n), -1)
    )
    assert "its law" not in _labels(bare)
    assert not {"foretold", "best split foretold"} & set(_labels(bare))
    assert figure(bare).data


# ---- what they share -------------------------------------------------------------------------------------------------


def test_ticks_are_round_few_and_inside():
    assert log_ticks((0.9, 17), 4) == pytest.approx([1, 2, 5, 10])
    assert log_ticks((900, 1.3e6), 4) == pytest.approx([1e3, 1e4, 1e5, 1e6])
    assert log_ticks((0.31, 0.36), 7) == pytest.approx([0.31, 0.32, 0.33, 0.34, 0.35, 0.36])
    for limits in ((1, 3), (0.4, 0.41), (1e-9, 1e9), (5, 5.0001)):
        ticks = log_ticks(limits, 6)
        assert 2 <= len(ticks) <= 7
        assert all(limits[0] * 0.999999 <= tick <= limits[1] * 1.000001 for tick in ticks)
    words = [amount(value) for value in (0.05, 16, 1500, 2000, 16_384, 1_048_576, 2e9)]
    assert words == ["0.05", "16", "1500", "2k", "16.4k", "1.05M", "2G"]


def test_colours_of_sizes_grow_lighter_from_first_to_last():
    def lightness(colour):
        red, green, blue = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
        return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2

    found = [lightness(size_colour(share)) for share in np.linspace(0, 1, 9)]
    assert found == sorted(found)
    assert size_colour(0.0) == BLUE.lower()


def test_pictures_of_ensembles_need_no_torch():
    program = (
        "import sys, sample_results as s; s.power_law().plot(); s.predictions().figure(); s.memory_split().plot();"
        "sys.exit('torch' in sys.modules or 'matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(sample.__file__).parent)
