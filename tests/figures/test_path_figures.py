"""Pictures of paths and alignments show each way where it is, and say what has no height."""

from __future__ import annotations

import numpy as np
import pytest
import sample_results as sample

from orograph.figures import draw, figure
from orograph.figures.paper_paths import apart, last_part
from orograph.figures.scales import every, whole
from orograph.results import Path, Routes, load


def _panels(result):
    axes = draw(result).axes[0]
    return axes.child_axes or [axes]


def _line(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


def test_a_path_stands_beside_its_straight_lines_in_loss_and_error():
    path = sample.path()
    panels = _panels(path)
    assert [panel.get_ylabel().split(" (")[0].split(",")[0] for panel in panels] == [
        "train loss",
        "test error",
        "test error",
    ]
    for panel, name in zip(panels, ("train_loss", "test_error", "pair_error"), strict=True):
        ways = {"bezier": path.profile, "straight line": path.line, "line before alignment": path.naive_line}
        for label, profile in ways.items():
            if getattr(profile, name) is not None:
                np.testing.assert_array_equal(_line(panel, label).get_ydata(), getattr(profile, name))
    assert panels[0].get_ylabel() == "train loss (nats)"
    assert "Highest train loss 0.04 on the bezier curve, 1.42 on the straight line" in draw(path).axes[0].get_title()


def test_without_labels_the_test_loss_takes_the_place_of_errors():
    bare = {"train_error": None, "test_error": None}
    path = sample.path(profile=sample.profile(**bare), line=sample.profile(1.4, **bare), naive_line=None)
    assert [panel.get_ylabel() for panel in _panels(path)] == ["train loss (nats)", "test loss (nats)"]


def test_the_screen_shows_the_same_numbers():
    routes = sample.routes()
    drawn = [trace for trace in figure(routes).data if trace.name == "polychain of 3 bends"]
    profile = routes.profiles["polychain of 3 bends"]
    for trace, values in zip(drawn, (profile.train_loss, profile.test_error), strict=True):
        np.testing.assert_allclose(trace.y, values, rtol=1e-6)


@pytest.mark.parametrize("spoilt", [np.nan, np.inf])
def test_places_without_a_height_are_gaps_marked_at_the_edge(spoilt):
    loss = sample.profile(0.02).train_loss.copy()
    loss[[4, 5]] = spoilt
    path = sample.path(profile=sample.profile(0.02, train_loss=loss), line=None, naive_line=None)
    panel = _panels(path)[0]
    np.testing.assert_array_equal(np.isnan(_line(panel, "bezier").get_ydata()), np.isin(np.arange(33), [4, 5]))
    assert list(_line(panel, "not finite").get_xdata()) == [path.t[4], path.t[5]]
    crosses = [note for note in figure(path).layout.annotations if note.text == "×"]
    assert [cross.x for cross in crosses] == [path.t[4], path.t[5]]
    assert "not finite" in crosses[0].hovertext
    assert path.summary()


def test_a_polyline_names_its_networks_where_they_stand():
    polyline = sample.polyline()
    panel = _panels(polyline)[-1]
    places = polyline.profile.arc[polyline.corners]
    np.testing.assert_allclose(panel.get_xticks(), places)
    assert [text.get_text() for text in panel.get_xticklabels()] == list("ABCD")
    across = figure(polyline).layout.xaxis
    assert list(across.ticktext) == list("ABCD")
    np.testing.assert_allclose(across.tickvals, places)


def test_barriers_of_an_alignment_are_bars_and_endless_ones_are_said():
    walls = {
        "naive": sample.wall(np.inf, se=np.nan),
        "aligned": sample.wall(1.4),
        "aligned, repaired": sample.wall(np.nan),
    }
    alignment = sample.alignment(barriers=walls)
    axes = _panels(alignment)[0]
    assert [patch.get_width() for patch in axes.patches] == [1.4]
    assert [text.get_text() for text in axes.texts] == ["∞", "NaN"]
    drawn = figure(alignment)
    assert list(drawn.data[0].x) == [None, 1.4, None]
    assert [note.text for note in drawn.layout.annotations] == [" × ∞", " × NaN"]


def test_groups_whose_names_begin_alike_keep_a_row_each():
    groups = tuple(f"a.very.long.module.path.that.is.cut.away.layer{k}.weight" for k in range(4))
    alignment = sample.alignment(groups=groups, barriers={})
    drawn = figure(alignment)
    assert list(drawn.data[0].y) == [0, 1, 2, 3]
    assert len(set(drawn.layout.yaxis.ticktext)) == 4
    words = [text.get_text() for text in _panels(alignment)[0].get_yticklabels()]
    assert [word[-13:] for word in words] == [f"layer{k}.weight" for k in range(4)]
    np.testing.assert_allclose(drawn.data[1].x, alignment.score_after)


def test_many_rows_are_named_here_and_there():
    assert every(5, 30) == [0, 1, 2, 3, 4]
    assert every(61, 30) == list(range(0, 61, 3))
    assert every(0, 30) == []
    assert last_part("layer1.0.conv1.weight", 10) == "…v1.weight"
    assert last_part("short", 10) == "short"
    assert apart(["fge 1.1", "fge 1.2"]) == ["1.1", "1.2"]
    assert apart(["one", "two"]) == ["one", "two"]
    assert apart(["a b", "a b"]) == ["b", "b"]
    assert apart(["alone here"]) == ["alone here"]


def test_a_few_whole_numbers_are_their_own_ticks():
    assert whole(np.array([1.0, 2.0, 3.0, 2.0])) == [1.0, 2.0, 3.0]
    assert whole(np.array([0.5, 1.0])) is None
    assert whole(np.arange(100.0)) is None


def test_a_path_with_everything_in_it_comes_back_and_can_be_compared(tmp_path):
    path = sample.path(training=sample.run())
    back = load(path.save(tmp_path / "path"))
    assert isinstance(back, Path)
    assert back.equals(path)
    routes = Routes.of(back, polychain=sample.path(kind="polychain"))
    assert list(routes.profiles) == ["bezier", "polychain", "straight line", "line before alignment"]
    assert routes.profiles["straight line"].train_loss.tobytes() == path.line.train_loss.tobytes()
