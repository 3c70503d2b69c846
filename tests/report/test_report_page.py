"""The page as text: everything escaped, everything inside, and nothing missing without a word."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import sample_results as sample

from orograph.basics.errors import StoreError
from orograph.report import render, write
from orograph.report.figures import pooled, script_json
from orograph.results import Panel, Section, Table

HOSTILE = "</script><img src=x onerror=alert(1)><b>&\u2028%{x}"


class _Page(HTMLParser):
    """Collects tags, visible text and JSON blocks."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.blocks, self._inside = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("type", tag) if tag in ("script", "style") else None

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside == "application/json":
            self.blocks.append(data)
        elif self._inside is None:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page():
    return _Page(render(sample.study()))


@pytest.fixture
def quick(monkeypatch):
    """Pages without still pictures: they take most of the time, and only some tests look at them."""
    monkeypatch.setattr("orograph.report.figures.still", lambda result: "data:,")


def test_the_page_tells_the_finding_then_the_claims_then_the_figures(page):
    study = sample.study()
    # The last occurrence: section titles also stand in the links at the top.
    places = [page.text.rindex(words) for words in (study.headline, study.claims[0].statement, study.sections[0].title)]
    assert places == sorted(places)
    for claim in study.claims:
        assert claim.statement in page.text
        assert claim.rule in page.text
    assert "5 published claims tested: 3 reproduced, 1 not reproduced, 1 inconclusive." in page.text
    assert "95 % interval 1.771 to 2.05" in page.text
    assert "18,412,800" in page.text
    assert "@inproceedings{garipov2018" in page.text


def test_a_missing_result_leaves_a_note(page):
    assert "the study holds no result named 'forgotten'" in page.text


def test_nothing_is_loaded_from_elsewhere(page):
    for tag, attributes in page.tags:
        for name in ("src", "href", "data", "action"):
            address = attributes.get(name) or ""
            assert address == "" or address.startswith(("data:", "#")), (tag, address)
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "content-security-policy" in str(a).lower())
    assert "default-src 'none'" in policy


def test_every_figure_has_a_still_picture_with_words(page):
    stills = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(stills) == 8
    assert all(still["src"].startswith("data:image/png;base64,") and len(still["alt"]) > 20 for still in stills)


def test_data_blocks_are_json_and_share_their_arrays(page):
    assert len(page.blocks) == 8
    planes = [json.loads(block) for block in page.blocks if "surface3d|loss" in block]
    assert len(planes) == 3
    assert set(planes[0]["views"]) == {
        f"{k}|{q}" for k in ("contour", "surface3d") for q in ("accuracy", "loss", "log loss")
    }
    assert len(planes[0]["arrays"]) == len({json.dumps(array) for array in planes[0]["arrays"]})


def test_hostile_names_are_text_everywhere(quick):
    text = render(sample.study((HOSTILE, "B", "C", "D"), HOSTILE))
    page = _Page(text)
    assert "<img src=x" not in text
    assert "onerror" not in {name for _, attributes in page.tags for name in attributes}
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 8 + 3
    assert HOSTILE.replace("\u2028", " ") in page.text.replace("\u2028", " ")
    for block in page.blocks:
        assert not re.search("[<>\u2028]", block)


@pytest.mark.parametrize("make", sample.HOSTILE.values(), ids=sample.HOSTILE)
def test_hostile_names_are_text_in_each_kind_of_result(quick, make):
    result = make(HOSTILE)
    text = render(result)
    page = _Page(text)
    assert "<img src=x" not in text
    assert "onerror" not in {name for _, attributes in page.tags for name in attributes}
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 1 + 3
    assert "onerror=alert(1)" in page.text
    for block in page.blocks:
        assert not re.search("[<>\u2028]", block)
        assert "\\u003cimg" not in block  # plotly reads markup in labels, so that it must be escaped twice
        assert "%{x}" not in block  # and fills in templates


def test_many_networks_do_not_all_stand_in_the_title(quick):
    page = _Page(render(sample.predictions(30)))
    assert "Predictions 0, 1, 2, 3 and 26 more" in page.text


def test_numbers_that_are_not_finite_become_null():
    block = script_json({"a": [float("nan"), float("inf"), 1.0], "b": "</script>"})
    assert json.loads(block) == {"a": [None, None, 1.0], "b": "</script>"}
    assert "<" not in block


def test_pooling_writes_equal_arrays_once():
    array = {"dtype": "f4", "bdata": "AAAA"}
    assert pooled({"x": {"z": array}, "y": [array]}) == {
        "views": {"x": {"z": {"$": 0}}, "y": [{"$": 0}]},
        "arrays": [array],
    }


PATHS_AND_LAWS = [
    sample.path,
    sample.routes,
    sample.polyline,
    sample.alignment,
    sample.predictions,
    sample.power_law,
    sample.memory_split,
]


@pytest.mark.parametrize(
    "make", [sample.distances, sample.line, sample.surface, sample.trajectory, sample.run, *PATHS_AND_LAWS]
)
def test_any_single_result_has_a_page(quick, make):
    result = make()
    page = _Page(render(result))
    assert " ".join(result.summary().split()) in page.text
    assert len(page.blocks) == 1
    assert "Claims and verdicts" not in page.text


def test_a_study_without_anything_has_a_page():
    empty = replace(sample.study(), claims=(), sections=(), results={}, notes=(), headline="")
    assert "Provenance" in _Page(render(empty)).text


def test_tables_know_numbers_from_text_and_keep_odd_values():
    rows = (("a10", 2, True), ("a9", np.float64(np.inf), None), (HOSTILE, float("nan"), False))
    section = Section("S", "T", (), (Table("Odd", ("name", "value", "flag"), rows),))
    page = _Page(render(replace(sample.study(), sections=(section,), results={})))
    cells = [attributes["data-sort"] for tag, attributes in page.tags if tag == "td"]
    assert cells == ["a10", "2", "yes", "a9", "Infinity", "", HOSTILE, "", "no"]
    headers = [attributes.get("class") for tag, attributes in page.tags if tag == "th"]
    assert headers == [None, "number", None]


def test_write_is_atomic_and_names_a_folder_it_may_not_use(quick, tmp_path):
    path = write(sample.run(), tmp_path / "deep" / "report.html")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        write(sample.run(), tmp_path / "file" / "report.html")


def test_a_panel_may_show_the_same_result_twice(quick):
    section = Section("S", "", (Panel("run-a", "one", ""), Panel("run-a", "two", "")))
    page = _Page(render(replace(sample.study(), sections=(section,))))
    identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identities) == len(set(identities))
