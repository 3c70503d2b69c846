"""A diagnosis in plain text, the losses of a run, and what is drawn of a range of learning rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sample_diagnosis as sample

from orograph.basics.words import columns
from orograph.results import Comparison, Evidence, LossCurve, Provenance, Series, Trial, load


def test_columns_line_up_and_empty_ones_are_left_out() -> None:
    rows = [("a", "1", "", "x"), ("long name", "100", "", "")]
    assert columns(("what", "n", "none", "end"), rows, right=("n",)) == [
        "what         n  end",
        "a            1  x",
        "long name  100",
    ]


def test_evidence_is_a_table_in_the_summary() -> None:
    lines = sample.diagnosis().summary().splitlines()
    head = next(k for k, line in enumerate(lines) if line.split() == ["what", "measured", "threshold", "usual"])
    assert lines[head + 1].split("  ")[-1] == "1e-3 to 2e-2"
    places = [lines[head].index(word) + len(word) for word in ("measured", "threshold")]
    assert [lines[head + 1][:place].split()[-1] for place in places] == ["1797", "0.1"]
    assert lines[head + 2].split()[-1] == "42.92"  # no threshold, and no word of one
    bare = sample.finding(evidence=(Evidence("share", 0.5),))
    assert "threshold" not in str(bare)


def test_a_trial_says_what_its_numbers_mean() -> None:
    words = str(sample.finding().trial)
    assert "0: no better than a constant answer, 1: perfect, -1: the run broke down" in words
    assert "(1 is perfect)" not in words
    assert "-1" not in str(Trial("verified", "quality of the answers (1 is perfect)", 0.1, 0.9, 60))
    assert "perfect" not in str(Trial("verified", "loss on the first examples", 2.0, 0.9, 60))


@pytest.mark.parametrize(
    ("losses", "broken", "words"),
    [
        ([2.0, 1.0], None, ""),
        ([2.0, math.nan, math.nan], 1, "NaN from step 1"),
        ([2.0, math.inf, 3.0], 1, "infinite in step 1"),
        ([math.nan], 0, "NaN from step 0"),
        ([], None, ""),
    ],
)
def test_a_loss_curve_knows_where_it_breaks(losses: list[float], broken: int | None, words: str) -> None:
    curve = LossCurve(losses=np.array(losses), provenance=Provenance())
    assert curve.broken == broken
    assert curve.broken_words == words
    assert words in curve.summary()


def test_a_range_is_cut_a_little_above_its_first_level_and_says_so() -> None:
    found = sample.rates()
    assert 2.0 < found.ceiling < 3.0
    drawn = found.compared()
    for name in ("order 1", "order 2"):
        values = drawn.series[name].values
        assert np.nanmax(values) <= found.ceiling  # nothing is drawn flat at the edge
        assert np.nanmin(values) == 0.5
    assert drawn.quantities[0].endswith(f", cut above {found.ceiling:.3g}")
    assert "cut" not in sample.rates(explodes=False).compared().quantities[0]


@pytest.mark.parametrize("lr", [1e-9, 0.05, 10.0, 50.0])
def test_the_rate_in_use_is_marked_wherever_it_lies(lr: float) -> None:
    assert sample.rates(lr=lr).compared().marks == {"in use": lr}


def test_no_rate_in_use_no_mark_and_suggestions_where_no_curve_is_drawn_become_lines() -> None:
    assert sample.rates(lr=math.nan).compared().marks == {}
    found = sample.rates()
    high = type(found)(**{**vars(found), "steepest": 5.0})
    assert high.compared().marks == {"in use": 0.05, "steepest": 5.0}


def test_a_range_without_a_finite_loss_is_drawn_empty() -> None:
    found = sample.rates()
    nothing = type(found)(**{**vars(found), "losses": np.full_like(found.losses, math.nan)})
    assert nothing.ceiling == math.inf
    assert set(nothing.compared().marks) == {"in use", "valley", "steepest", "lowest / 10"}


def test_a_comparison_without_marks_is_as_it_was(tmp_path) -> None:
    one = Comparison(
        across="x", quantities=("y",), series={"a": Series(np.arange(3.0), np.ones((1, 3)))}, provenance=Provenance()
    )
    assert one.marks == {}
    assert load(one.save(tmp_path / "c")).equals(one)
