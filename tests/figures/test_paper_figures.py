"""Paper figures say what they show: units on the axes, models where they are, and no cell invented."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import sample_results as sample
from matplotlib.collections import PatchCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.text import Text

from orograph.basics.errors import UsageError
from orograph.figures import draw, figure
from orograph.figures.interactive import safe
from orograph.figures.relief import even_levels, relief
from orograph.results import Result


def _axes(result):
    return draw(result).axes[0]


def _words(axes):
    return [text.get_text() for text in axes.texts]


def _points(axes):
    return {tuple(np.round(xy, 6)) for line in axes.lines for xy in np.column_stack(line.get_data()).astype(float)}


def test_drawing_leaves_pyplot_alone_and_respects_the_given_axis():
    own = Figure().add_subplot()
    assert draw(sample.line(), own) is own.figure
    assert own.get_xlabel().startswith("α (1 unit = 42.9")
    program = (
        "import sys, sample_results as s; s.line().plot();"
        "sys.exit('matplotlib.pyplot' in sys.modules or 'torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(sample.__file__).parent)


def test_distances_are_written_in_their_cells_up_to_ten_networks():
    few, many = sample.distances(), sample.distances(tuple(f"net{k}" for k in range(11)))
    assert f"{few.matrix[0, 1]:.4g}" in _words(_axes(few))
    assert not _words(_axes(many))
    assert [text.get_text() for text in _axes(few).get_xticklabels()] == list("ABCD")


def test_a_line_shows_its_models_its_chord_and_where_the_barrier_is_highest():
    line = sample.line()
    axes = _axes(line)
    places = _points(axes)
    assert {(0.0, 0.3), (1.0, 0.3)} <= places
    assert (line.barrier.at, round(line.barrier.loss_at, 6)) in places
    assert "barrier 1.9 ± 0.031 nats at t = 0.471" in axes.get_title()
    assert {"A", "B"} <= set(_words(axes))
    assert axes.collections  # the standard-error band


def test_a_line_without_errors_has_no_band_and_an_infinite_barrier_is_said():
    line = sample.line(loss_se=np.zeros(61), accuracy=None, accuracy_se=None)
    assert not _axes(line).collections
    loss = line.loss.copy()
    loss[30] = np.inf
    broken = sample.line(loss=loss, barrier=None)
    labels = [handle.get_label() for handle in _axes(broken).lines]
    assert "not finite (1)" in labels


def test_a_plane_names_its_best_cell_and_its_models_where_they_are():
    plane = sample.surface()
    axes = _axes(plane)
    assert axes.get_title() == "best accuracy 0.9316 at (0, 0)"
    assert {(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)} <= _points(axes)
    assert any(word.startswith("B ") for word in _words(axes))


def test_an_oblique_plane_warns_and_an_orthonormal_one_has_equal_aspect():
    oblique, true = _axes(sample.surface()), _axes(sample.orthonormal())
    warning = oblique.get_xlabel().replace("\n", " ")
    assert "angles and distances here are not those of weight space (cosine of the axes 0.50)" in warning
    assert true.get_aspect() == 1.0
    assert "weight-space length" in true.get_xlabel()


def test_cells_that_are_not_finite_are_hatched_and_those_not_computed_stay_blank():
    plane = sample.neighbourhood()
    axes = _axes(plane)
    marked = [item for item in axes.collections if isinstance(item, PatchCollection) and item.get_gid() == "not finite"]
    assert len(marked) == 1
    assert marked[0].get_hatch()
    step = plane.alpha[1] - plane.alpha[0]
    centres = sorted(tuple(np.round(path.vertices[:4].mean(0), 6)) for path in marked[0].get_paths())
    rows, columns = np.nonzero(~np.isfinite(plane.loss) & plane.computed)
    expected = sorted((round(plane.alpha[i], 6), round(plane.beta[j], 6)) for j, i in zip(rows, columns, strict=True))
    np.testing.assert_allclose(centres, expected, atol=step / 100)
    mesh = next(item for item in axes.collections if isinstance(item, QuadMesh))
    hidden = np.ma.getmaskarray(mesh.get_array()).reshape(plane.loss.shape)
    np.testing.assert_array_equal(hidden, ~plane.computed | ~np.isfinite(plane.loss))


def test_a_drawing_changes_no_number():
    plane = sample.neighbourhood()
    before = plane.loss.tobytes()
    draw(plane)
    figure(plane)
    assert plane.loss.tobytes() == before


@pytest.mark.parametrize("value", [0.0, np.nan], ids=["constant", "nothing finite"])
@pytest.mark.parametrize("shape", [(5, 5), (1, 5)], ids=["square", "one row"])
def test_degenerate_planes_are_drawn(value, shape):
    loss = np.full(shape, value)
    plane = sample.surface(
        paths=False,
        alpha=np.arange(shape[1]) * 1.0,
        beta=np.arange(shape[0]) * 1.0,
        loss=loss,
        loss_se=0 * loss,
        accuracy=None,
        accuracy_se=None,
        n_examples=np.ones(shape, dtype=int),
        computed=np.ones(shape, dtype=bool),
    )
    draw(plane)
    figure(plane)
    figure(plane, kind="surface3d")


def test_a_trajectory_states_its_shares_beside_those_of_a_random_walk():
    axes = _axes(sample.trajectory())
    assert "78% of variance (random walk 61%)" in axes.get_xlabel()
    assert "11% of variance (random walk 15%)" in axes.get_ylabel()
    assert axes.get_aspect() == 1.0


def test_contour_levels_are_round_and_enclose_the_range():
    levels = even_levels(0.103, 0.931)
    assert levels[0] <= 0.103
    assert levels[-1] >= 0.931
    assert np.allclose(np.diff(levels), 0.05)
    assert relief(sample.neighbourhood()).quantity == "log loss"


def test_an_interactive_map_shows_the_same_numbers_with_gaps_where_nothing_is_known():
    plane = sample.neighbourhood()
    trace = next(trace for trace in figure(plane).data if trace.type == "contour")
    shown = 10 ** np.asarray(trace.z, dtype=float)
    known = plane.computed & np.isfinite(plane.loss)
    np.testing.assert_array_equal(np.isfinite(shown), known)
    np.testing.assert_allclose(shown[known], plane.loss[known], rtol=1e-5)
    assert any(trace.name == "not finite (4)" for trace in figure(plane).data)


def test_names_are_text_in_plotly_too():
    assert safe("<b>&%{x}") == "&lt;b&gt;&amp;&#37;{x}"
    text = figure(sample.surface(names=("<img src=x onerror=alert(1)>", "B", "C"))).to_json()
    assert "<img" not in text
    assert "\\u003cimg" not in text


@pytest.mark.parametrize("make", sample.HOSTILE.values(), ids=sample.HOSTILE)
def test_names_are_no_formulas_on_paper(make):
    drawn = draw(make(r"$x^$ \frac{%{x} <b>"))
    drawn.savefig(BytesIO(), format="svg")  # text is read when it is set
    words = [text.get_text() for text in drawn.findobj(Text)]
    assert all("$" not in word.replace(r"\$", "") for word in words)


def test_a_result_without_a_drawing_says_so():
    class Unknown(Result):
        def summary(self) -> str:
            return "unknown"

    with pytest.raises(UsageError, match="has no drawing"):
        draw(Unknown(provenance=sample.PROVENANCE))
