"""The page of a diagnosis: what is wrong, why and what to type come first, and everything is text."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import sample_diagnosis as sample
from test_report_page import HOSTILE, _Page

from orograph.report import render
from orograph.report.stills import narrow_still
from orograph.results import Diagnosis, Evidence, Provenance, StageRecord


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Pages without still pictures: they take most of the time."""
    monkeypatch.setattr("orograph.report.figures.still", lambda result: "data:,")
    monkeypatch.setattr("orograph.report.figures.narrow_still", lambda result: "data:,narrow")


def _rows(text: str, after: str) -> list[list[str]]:
    """The cells of the first table behind some words, without markup."""
    table = text[text.rindex(after) :]
    table = table[table.index("<table") : table.index("</table>")]
    rows = re.findall(r"<tr.*?</tr>", table, re.S)
    return [[re.sub("<.*?>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


def test_it_says_of_what_it_is_what_is_wrong_and_what_to_type() -> None:
    text = render(sample.diagnosis())
    page = _Page(text)
    assert "<title>Diagnosis of SmallNet · orograph</title>" in text
    assert "The network does not train as it is: the learning rate is too high for body.0." in page.text
    order = ["The learning rate is too high", "steps in body.0 undo each other.", "lower the rate", "lr=0.067"]
    order += ["The numbers behind it", "The loss, step by step", "What each layer puts out", "Measurements", "CPU time"]
    places = [page.text.rindex(words) for words in order]
    assert places == sorted(places)


def test_evidence_is_a_table_and_columns_without_entries_are_left_out() -> None:
    text = render(sample.diagnosis())
    assert _rows(text, "The numbers behind it") == [
        ["what", "measured", "threshold", "usual"],
        ["change of body.0 in a step", "1797", "0.1", "1e-3 to 2e-2"],
        ["largest eigenvalue times the rate", "42.92", "–", ""],
    ]
    bare = sample.finding(evidence=(Evidence("share", 0.5),))
    assert _rows(render(sample.diagnosis(findings=(bare,))), "The numbers behind it") == [
        ["what", "measured"],
        ["share", "0.5"],
    ]
    none = render(sample.diagnosis(findings=(sample.finding(evidence=()),)))
    assert "The numbers behind it" not in none


def test_a_trial_is_told_with_what_its_numbers_mean() -> None:
    page = _Page(render(sample.diagnosis()))
    assert "Tried on a copy for 60 steps, it helped: quality of the answers -1 without, 0.983 with it" in page.text
    assert "(0: no better than a constant answer, 1: perfect, -1: the run broke down)." in page.text


def test_names_of_users_are_text_wherever_they_stand() -> None:
    provenance = Provenance(method="doctor", model=HOSTILE, data=HOSTILE, options={"loss": HOSTILE})
    text = render(sample.diagnosis(HOSTILE, provenance=provenance))
    page = _Page(text)
    assert "<img src=x" not in text
    assert "onerror" not in {name for _, attributes in page.tags for name in attributes}
    assert text.count("onerror=alert(1)") > 10
    for block in page.blocks:
        assert not re.search("[<>\u2028]", block)
        assert "\\u003cimg" not in block  # plotly reads markup in labels, so that it must be escaped twice
        assert "%{x}" not in block.replace("step %{x}", "")  # that one is ours


def test_provenance_names_network_data_loss_optimiser_and_steps() -> None:
    page = _Page(render(sample.diagnosis()))
    for name, value in (("model", "SmallNet"), ("data", "digits"), ("loss", "cross_entropy"), ("optimizer", "SGD"),
                        ("lr", "50.0"), ("steps", "60"), ("steps done", "4"), ("wall time", "1.6 s")):  # fmt: skip
        assert f"{name} {value}" in page.text
    assert "examples forward" not in page.text  # not counted
    assert "4 of the 60 that were asked for, then the numbers broke down." in page.text


def test_the_card_of_the_loss_tells_of_the_loss_alone() -> None:
    found = sample.diagnosis()
    page = _Page(render(found))
    assert page.text.count("In words and numbers") == 4
    assert found.curve.summary() in page.text
    assert found.findings[0].trial.scale in page.text
    assert " ".join(str(found.findings[0]).split()) not in page.text


def test_a_network_that_failed_has_stages_and_no_layers() -> None:
    failed = Diagnosis(
        findings=(sample.finding(evidence=(), where="", limits="", code=""),),
        verdict="not run",
        stages=(StageRecord("one batch", 0.001),),
        provenance=Provenance(method="doctor"),
    )
    text = render(failed)
    page = _Page(text)
    assert "Layer by layer" not in page.text
    assert "How the loss went" not in page.text
    assert _rows(text, "The examination") == [["stage", "time"], ["one batch", "less than 0.01 s"]]
    assert "What to type" not in page.text
    assert "<title>Diagnosis · orograph</title>" in text  # of a record that named no network


def test_stages_stand_with_the_measurements_at_the_end() -> None:
    page = _Page(render(sample.diagnosis()))
    assert page.text.rindex("Measurements") < page.text.rindex("Stages") < page.text.rindex("How to cite")
    assert "no time" in page.text


def test_a_healthy_network_has_no_cards_and_a_remark_is_no_alarm() -> None:
    healthy = sample.diagnosis(findings=(), verdict="trains", loss=np.linspace(2, 1, 60))
    page = _Page(render(healthy))
    assert "The network trains as it is: nothing to report." in page.text
    assert "What is wrong" not in page.text
    assert "#findings" not in {attributes.get("href") for _, attributes in page.tags}
    remark = render(replace(healthy, findings=(sample.finding(severity="question"),)))
    assert "What was noticed" in remark
    assert "What is wrong" not in remark
    wrong = render(replace(healthy, findings=(sample.finding(severity="warning"),)))
    assert "The network trains as it is, but something is wrong" in wrong


def test_long_tables_are_folded_and_short_ones_are_open() -> None:
    few = sample.diagnosis()
    many = replace(few, layers=few.layers * 20)
    assert "<details><summary><h3>Layers on the first batch" not in render(few)
    assert "<details><summary><h3>Layers on the first batch, as they run (20)</h3></summary>" in render(many)


def test_a_tensor_without_a_kernel_has_a_dash_and_not_nan() -> None:
    rows = _rows(render(sample.diagnosis()), "Parameters")
    assert rows[1][3] == "–"


def test_phones_get_still_pictures_of_their_own() -> None:
    text = render(sample.diagnosis())
    assert text.count('<source media="(max-width: 30rem)" srcset="data:,narrow">') == 4
    assert narrow_still(sample.rates()).startswith("data:image/png;base64,")
    assert narrow_still(sample.finding) == ""  # type: ignore[arg-type]


def test_heat_maps_are_as_high_as_their_layers_ask_for() -> None:
    heights = []
    for layers in (3, 10, 24, 60):
        one = sample.diagnosis(activations=sample.histograms(layers, 3), gradients=None)
        heights.append(int(re.findall(r'data-height="(\d+)"', render(one))[0]))
    assert heights[0] == heights[1] < heights[2] == heights[3]
