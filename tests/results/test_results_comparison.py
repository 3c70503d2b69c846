"""Comparisons and teams of workers: saved, told in words, and drawn on paper and screen."""

import numpy as np
import pytest
from sample_provenance import PROVENANCE

from orograph.figures import draw, figure
from orograph.results import Barrier, Comparison, Series, Workers, load


def comparison(**changes):
    x = np.arange(1.0, 6.0)
    values = np.stack([0.3 / x, np.array([1.0, 0.5, np.nan, 0.2, 0.1])])
    series = {
        "a <b> $x$": Series(x, values, 0.1 * values),
        "points": Series(x[:2], values[:, :2], joined=False, labels=("first", "second")),
        "long": Series(np.linspace(1, 5, 100), np.ones((2, 100))),
    }
    fields = {
        "across": "budgets",
        "quantities": ("test error", "NLL (nats)"),
        "series": series,
        "bars": "standard error",
        "logarithmic": ("NLL (nats)",),
        "provenance": PROVENANCE,
    }
    return Comparison(**{**fields, **changes})


def team():
    wall = Barrier(
        height=1.0, at=0.5, loss_at=1.0, loss_start=0.0, loss_end=0.0, se=0.1, resolved=True, grid_height=1.0,
        grid_at=0.5, n_examples=100, error_height=0.25, error_at=0.5,
    )  # fmt: skip
    ones = np.ones((4, 3))
    return Workers(
        count=3, shards=True, began=0.5, every=None, epochs=np.arange(1.0, 5.0), worker_error=0.2 * ones,
        worker_loss=ones, average_error=np.full(4, 0.1), average_loss=np.full(4, 0.5), distance=np.ones(4),
        barriers=(wall, wall), provenance=PROVENANCE,
    )  # fmt: skip


@pytest.mark.parametrize("result", [comparison(), comparison(logarithmic=("budgets",), bars=""), team()])
def test_they_are_saved_and_drawn_in_both_forms(result, tmp_path):
    assert load(result.save(tmp_path / "it.npz")).equals(result)
    draw(result).savefig(tmp_path / "it.png")
    drawn = figure(result)
    assert drawn.data
    assert all("<b>x" not in str(trace.name) for trace in drawn.data)


def test_a_curve_is_drawn_where_it_is_known():
    axes = draw(comparison()).axes[0].child_axes
    assert len(axes) == 2
    line = axes[1].containers[0][0]
    assert np.isnan(line.get_ydata()).tolist() == [False, False, True, False, False]
    assert axes[1].get_yscale() == "log"
    assert [text.get_text() for text in axes[1].get_legend().get_texts()] == [r"a <b> \$x\$", "points", "long"]


def test_names_of_users_are_text_on_the_page():
    names = {trace.name for trace in figure(comparison()).data}
    assert "a &lt;b&gt; $x$" in names
    labels = [trace.hovertext for trace in figure(comparison()).data if trace.name == "points"]
    assert "first" in labels[0][0]


def test_summaries_say_the_ranges():
    assert "NLL (nats) 0.1 to 1" in comparison().summary()
    assert "a shard of the examples each, averaged once, at the end" in team().summary()
    assert team().error_barrier == 0.25
