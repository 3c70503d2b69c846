"""Heat maps of histograms: every entry is shown once, and what is not finite is marked."""

from __future__ import annotations

import numpy as np
import pytest
import sample_diagnosis as sample
from sample_diagnosis import histograms

from orograph.figures import draw, figure
from orograph.figures.scales import amount, power, spans_decades
from orograph.figures.strips import MOST, strips
from orograph.results import LossCurve, Provenance


@pytest.mark.parametrize("spread", [1, 5, 14, 15, 30, 59])
def test_a_strip_holds_every_entry_once(spread: int) -> None:
    result = histograms(3, 4, spread=spread)
    found = strips(result)
    total = result.counts.sum(2) + result.special.sum(2)
    for k, name in enumerate(result.names):
        rows = [row for row, layer in enumerate(found.layers) if layer == name]
        # Where there are fewer bins than rows a bin fills several rows, so count each magnitude once.
        once = {float(found.low[row]): found.shares[row] for row in rows if found.shares[row].any()}
        np.testing.assert_allclose(sum(once.values()), result.counts[:, k].sum(1) / total[:, k])
    assert [name for _, name in found.centres] == ["layer2", "layer1", "layer0"]  # the first on top
    assert [step for _, step in found.broken] == [3]


def test_many_layers_are_thinned_and_counted() -> None:
    found = strips(histograms(60, 3))
    assert len(found.centres) == MOST
    assert found.left_out == 60 - MOST


def test_both_figures_show_the_same_shares() -> None:
    result = histograms(4, 5)
    found = strips(result)
    figure = result.figure()
    np.testing.assert_allclose(np.asarray(figure.data[0].z, float) ** 2, found.shares, rtol=1e-5)
    axes = result.plot().axes
    drawn = np.ma.filled(np.ma.asarray(axes[0].images[0].get_array()).astype(float), np.nan)
    np.testing.assert_allclose(drawn**2, found.shares, rtol=1e-5)
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["layer3", "layer2", "layer1", "layer0"]


def test_powers_of_ten_are_written_in_few_signs() -> None:
    assert [power(value) for value in (1e-12, 1e-6, 5e-4, 0.01, 1, 200, 1e4, 1e20)] == [
        "1e-12", "1e-6", "5e-4", "0.01", "1", "200", "1e4", "1e20",
    ]  # fmt: skip
    assert [amount(value) for value in (20_000, 3e12, 1e20)] == ["20k", "3e+12", "1e+20"]


@pytest.mark.parametrize(("layers", "spread"), [(1, 1), (1, 2), (3, 5), (6, 14), (8, 30), (40, 59), (40, 3)])
def test_every_strip_has_a_scale_whose_words_lie_where_the_magnitudes_are(layers: int, spread: int) -> None:
    result = histograms(layers, 3, spread=spread)
    found = strips(result)
    for row, words in found.scale:
        value = np.log10(float(words))
        nearest = round(row)  # the row whose middle is nearest; the magnitude lies in it or at its edge
        low, high = found.low[nearest], found.high[nearest]
        assert low - 0.31 <= value <= high + 0.31, (row, words)
    assert (np.diff([row for row, _ in found.scale]) > 2).all()
    if spread > 2:
        labelled = {found.layers[round(row)] for row, _ in found.scale}
        assert labelled == {name for _, name in found.centres}


def test_a_tensor_of_zeros_has_no_scale() -> None:
    result = histograms(1, 2)
    result.counts[:] = 0
    assert strips(result).scale == ()


def test_both_heat_maps_have_a_scale_a_colour_bar_and_a_note() -> None:
    result = histograms(41, 4)
    found = strips(result)
    note = "24 of 41 layers, evenly chosen"
    assert found.note == note
    drawn = figure(result)
    assert drawn.layout.title.text == note
    assert list(drawn.layout.yaxis2.ticktext) == [words for _, words in found.scale]
    assert drawn.layout.yaxis2.range == drawn.layout.yaxis.range
    assert any(trace.yaxis == "y2" for trace in drawn.data)  # else plotly leaves the axis out
    bar = drawn.data[0].colorbar
    assert drawn.data[0].showscale is not False
    assert bar.ticktext[0] == "0%"
    sheet = draw(result)
    assert sheet.axes[0].get_title() == note
    magnitudes = sheet.axes[0].child_axes[0]
    assert [label.get_text() for label in magnitudes.get_yticklabels()] == [words for _, words in found.scale]
    assert len(sheet.axes) == 2  # the map and its colour bar
    few = histograms(3, 4)
    assert figure(few).layout.title.text is None
    assert draw(few).axes[0].get_title() == ""


def _losses(*values: float) -> LossCurve:
    return LossCurve(losses=np.array(values), provenance=Provenance())


@pytest.mark.parametrize(
    ("values", "logarithmic"),
    [
        ((1.4, 1.0, 0.2), False),
        ((1.0, 1000.0), False),
        ((1.0, 1001.0), True),
        ((1.4, 3e18, float("nan")), True),
        ((1.4, 1e300), True),
        ((0.0, 3e18), False),
        ((-2.0, 3e18), False),
        ((float("nan"),), False),
        ((), False),
    ],
)
def test_the_loss_axis_is_logarithmic_where_losses_span_more_than_three_decades(values, logarithmic) -> None:
    curve = _losses(*values)
    assert spans_decades(curve.losses) is logarithmic
    assert (figure(curve).layout.yaxis.type == "log") is logarithmic
    assert (draw(curve).axes[0].get_yscale() == "log") is logarithmic
    draw(curve).canvas.draw()
    figure(curve).to_json()


def test_the_place_where_a_loss_ceases_to_be_finite_is_marked_in_both_figures() -> None:
    curve = _losses(1.4, 3e18, float("inf"), float("nan"))
    drawn = figure(curve)
    assert [shape.x0 for shape in drawn.layout.shapes] == [2]
    assert drawn.layout.annotations[0].text.strip() == "infinite from step 2"
    assert [text.get_text() for text in draw(curve).axes[0].texts] == ["infinite from step 2"]
    whole = figure(_losses(1.0, 0.5))
    assert not whole.layout.shapes
    assert not whole.layout.annotations


@pytest.mark.parametrize("lr", [1e-9, 0.05, 50.0])
def test_the_rate_in_use_is_an_upright_line_inside_both_figures(lr: float) -> None:
    found = sample.rates(lr=lr)
    drawn = figure(found)
    line = next(trace for trace in drawn.data if trace.name == "in use")
    assert set(line.x) == {lr}
    low, high = drawn.layout.xaxis.range
    assert low < np.log10(lr) < high
    assert max(line.y) <= found.ceiling
    panel = draw(found).axes[0].child_axes[0]
    upright = next(one for one in panel.lines if one.get_label() == "in use")
    assert set(upright.get_xdata()) == {lr}
    assert panel.get_xlim()[0] < lr < panel.get_xlim()[1]
    assert panel.get_ylim()[1] < 2 * found.ceiling


@pytest.mark.parametrize("steps", [0, 1])
def test_heat_maps_of_nothing_are_drawn_empty(steps: int) -> None:
    result = histograms(2, 2)
    few = type(result)(
        **{**vars(result), "steps": result.steps[:steps], "counts": result.counts[:steps] * 0,
           "special": result.special[:steps] * 0}
    )  # fmt: skip
    figure(few).to_json()
