"""The page in a real Chromium, opened from disk with no network: everything is drawn, answers, and prints."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest
import sample_diagnosis
import sample_results as sample

from orograph.report import write
from orograph.results import Panel, Section

HOSTILE = "</script><img src=x onerror=alert(1)><b>A&\u2028%{x}"

CHROMIUM = os.environ.get("OROGRAPH_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: install one or set OROGRAPH_CHROMIUM to its path"),
]

ARGUMENTS = [
    "--no-sandbox",
    "--use-angle=swiftshader",  # WebGL in software, for the 3-D view
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write(sample.study(), tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    """A page of one small plane (the 3-D view is drawn in software here), one of whose models has a hostile name."""
    surface = sample.surface(resolution=15, names=(HOSTILE, "B", "C"), paths=False)
    return write(surface, tmp_path_factory.mktemp("page") / "plane.html")


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Opens a page; afterwards nothing may have been complained about or asked of the network."""
    complaints, pages = [], []

    def note(request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            complaints.append(request.url)

    def opened(path, **options):
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", note)
        page.goto(path.as_uri())
        pages.append(context)
        return page

    yield opened
    for context in pages:
        context.close()
    assert complaints == []


def _draw(page, *which):
    """Scroll to these figures (all where none is named) and wait until they are drawn."""
    panels = page.locator(".panel[data-proportion]")
    for k in which or range(panels.count()):
        panels.nth(k).scroll_into_view_if_needed()
        panels.nth(k).locator(".plot .main-svg").first.wait_for(timeout=30_000)
        page.wait_for_function(
            "k => document.querySelectorAll('.panel[data-proportion]')[k].dataset.drawn !== undefined", arg=k
        )
    return panels


def _settled(page, camera):
    """The camera's place once it has stopped moving: drawn in software, it lags behind the mouse."""
    place = page.evaluate(camera)
    for _ in range(40):
        page.wait_for_timeout(150)
        before, place = place, page.evaluate(camera)
        if place == before:
            break
    return place


def test_every_figure_is_drawn_as_it_comes_near_and_the_rest_waits(visit, report):
    page = visit(report)
    assert page.locator(".panel[data-drawn]").count() < 8
    panels = _draw(page)
    assert panels.count() == 8
    assert page.locator(".plot .main-svg").count() >= 8
    assert page.locator(".plot .contour").count() >= 4
    assert page.locator(".still:visible").count() == 0
    assert "Barrier 1.9" in panels.nth(2).locator(".finding").inner_text()


def test_a_plane_turns_in_three_dimensions_and_returns_to_its_map(visit, plane):
    page = visit(plane, viewport={"width": 480, "height": 700})
    panel = _draw(page, 0).nth(0)
    panel.get_by_role("button", name="3-D").click()
    page.locator(".panel[data-drawn='surface3d|accuracy']").wait_for()
    canvas = panel.locator(".gl-container canvas").first
    canvas.wait_for()
    camera = "() => document.querySelector('.plot')._fullLayout.scene._scene.getCamera().eye"
    assert "</script><img" in panel.locator(".plot").text_content()
    assert page.locator("img[src=x]").count() == 0
    before = page.evaluate(camera)
    box = panel.locator(".plot").bounding_box()
    x, y = box["x"] + box["width"] * 0.45, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 120, y + 10, steps=4)
    page.mouse.up()
    moved = f"eye => {{ const now = ({camera})(); return Math.abs(now.x - eye.x) + Math.abs(now.y - eye.y) > 0.1 }}"
    page.wait_for_function(moved, arg=before)
    after = _settled(page, camera)
    panel.get_by_role("button", name="Loss", exact=True).click()
    page.locator(".panel[data-drawn='surface3d|loss']").wait_for()
    kept = _settled(page, camera)
    assert abs(kept["x"] - after["x"]) < 0.05
    turner = panel.get_by_role("button", name="Turn slowly")
    turner.click()
    page.wait_for_function(moved, arg=kept)
    turner.click()
    panel.get_by_role("button", name="Map").click()
    panel.locator(".plot .contour").first.wait_for()
    assert panel.locator("canvas").count() == 0
    assert panel.get_by_role("button", name="Map").get_attribute("aria-pressed") == "true"


def test_readers_who_want_calm_turn_in_steps_and_without_webgl_the_map_stays(visit, plane):
    page = visit(plane, reduced_motion="reduce", viewport={"width": 480, "height": 700})
    panel = _draw(page, 0).nth(0)
    page.evaluate(
        "const canvas = HTMLCanvasElement.prototype; window.kept = canvas.getContext; canvas.getContext = () => null"
    )
    panel.get_by_role("button", name="3-D").click()
    assert "needs WebGL" in panel.locator(".status").inner_text()
    assert panel.locator(".plot .contour").count() >= 1
    page.evaluate("() => { HTMLCanvasElement.prototype.getContext = window.kept }")
    panel.get_by_role("button", name="3-D").click()
    panel.get_by_role("button", name="Turn by 30°").wait_for()


def test_tables_sort_by_number_and_by_text_from_the_keyboard(visit, report):
    page = visit(report)
    table = page.locator("table").first

    def column(index):
        return [row.split("\t")[index].strip() for row in table.locator("tbody tr").all_inner_texts()]

    table.get_by_role("button", name="barrier").click()
    assert column(4) == ["0", "1.904", "2.231", "–"]
    table.get_by_role("button", name="barrier").press("Enter")
    assert column(4) == ["2.231", "1.904", "0", "–"]
    assert table.locator("th").nth(4).get_attribute("aria-sort") == "descending"
    table.get_by_role("button", name="run").press("Space")
    assert column(0) == list("ABCD")
    assert table.locator("th[aria-sort]").count() == 1


def test_dark_mode_follows_the_system_and_the_button(visit, report):
    page = visit(report, color_scheme="dark")
    _draw(page, 0)
    ground = "() => getComputedStyle(document.body).backgroundColor"
    ink = "() => getComputedStyle(document.querySelector('.plot .xtitle')).fill"
    assert page.evaluate(ground) == "rgb(18, 24, 27)"
    assert page.evaluate(ink) == "rgb(232, 230, 223)"
    page.get_by_role("button", name="Switch to light").click()
    page.wait_for_function("() => getComputedStyle(document.querySelector('.plot .xtitle')).fill === 'rgb(31, 42, 46)'")
    assert page.evaluate(ground) == "rgb(251, 250, 246)"


def test_a_phone_scrolls_one_way_only(visit, report):
    page = visit(report, viewport={"width": 375, "height": 740}, has_touch=True, is_mobile=True)
    _draw(page, 0, 3, 5)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 375
    assert page.evaluate(
        "() => { const box = document.querySelector('.scroll'); return box.scrollWidth > box.clientWidth }"
    )


def test_hostile_names_stay_names(visit, tmp_path):
    study = sample.study((HOSTILE, "B", "C", "D"), HOSTILE)
    page = visit(write(study, tmp_path / "hostile.html"))
    panels = _draw(page, 0, 2, 4)
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("h1").inner_text().startswith("</script><img src=x onerror=alert(1)><b>A&")
    assert "</script><img" in panels.nth(0).locator(".plot svg").first.text_content()
    panels.nth(4).locator(".plot").hover()
    assert page.locator("img[src=x]").count() == 0


def test_hostile_names_stay_names_in_pictures_of_paths_and_laws(visit, tmp_path):
    results = {kind: make(HOSTILE) for kind, make in sample.HOSTILE.items()}
    section = Section("Paths and laws", "", tuple(Panel(kind, kind, "") for kind in results))
    study = replace(sample.study(), sections=(section,), results=results)
    page = visit(write(study, tmp_path / "kinds.html"), viewport={"width": 390, "height": 800})
    panels = _draw(page)
    assert panels.count() == len(results)
    for k in range(panels.count()):
        plot = panels.nth(k).locator(".plot")
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        for share in (0.3, 0.5, 0.7):  # what hovering shows is built from the same names
            page.mouse.move(box["x"] + share * box["width"], box["y"] + share * box["height"])
    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390


def test_it_prints_with_every_picture_and_opened_details(visit, report):
    page = visit(report, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.locator(".still:visible").count() == 8
    assert page.locator(".plot:visible").count() == 0
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.get_by_text("18,412,800").is_visible()
    pdf = page.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 200_000


def test_without_javascript_the_still_pictures_stand_in(visit, report):
    page = visit(report, java_script_enabled=False)
    assert page.locator(".still:visible").count() == 8
    assert page.get_by_text("JavaScript is off").is_visible()


def test_a_browser_that_cannot_inflate_shows_the_still_pictures(visit, report):
    page = visit(report)
    page.context.add_init_script("delete window.DecompressionStream")
    page.reload()
    page.locator(".panel").first.scroll_into_view_if_needed()
    page.locator("#plain").wait_for()
    page.wait_for_function("() => document.documentElement.classList.contains('stills')")
    assert page.locator(".still:visible").count() == 8


@pytest.fixture(scope="module")
def diagnosis(tmp_path_factory):
    """A page of a diagnosis, one of whose layers has a hostile name."""
    return write(sample_diagnosis.diagnosis(HOSTILE), tmp_path_factory.mktemp("page") / "why.html")


def test_a_diagnosis_is_drawn_with_scales_and_copies_what_to_type(visit, diagnosis):
    page = visit(diagnosis)
    panels = _draw(page)
    assert panels.count() == 4
    assert page.locator(".plot .cbfill").count() == 2  # a colour bar at each heat map
    assert panels.nth(2).locator(".plot .y2tick").count() >= 4
    assert panels.nth(0).locator(".plot .annotation-text").text_content().strip() == "NaN from step 3"
    assert "in use" in panels.nth(1).locator(".plot .legend").text_content()
    page.evaluate("navigator.clipboard.writeText = async (words) => { window.copied = words; }")
    for place, words in ((".findings", "lr=0.067"), ("#provenance", "@software{orograph")):
        page.locator(place).get_by_role("button", name="Copy").click()
        page.wait_for_function("words => window.copied?.startsWith(words)", arg=words)
    assert page.locator("img[src=x]").count() == 0


def test_a_diagnosis_on_a_phone_scrolls_one_way_and_cuts_no_brief_table(visit, diagnosis):
    page = visit(diagnosis, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    stills = page.locator(".still")
    sizes = stills.evaluate_all("all => all.map((one) => [one.currentSrc === one.src, one.clientHeight, "
                                "one.clientWidth * one.naturalHeight / one.naturalWidth])")  # fmt: skip
    for wide, height, wanted in sizes:
        assert not wide
        assert abs(height - wanted) < 12  # the picture fills its place
    _draw(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    wide = page.locator(".brief").evaluate_all("all => all.filter((one) => one.scrollWidth > one.clientWidth).length")
    assert wide == 0


def test_folded_tables_print_open(visit, tmp_path):
    one = sample_diagnosis.diagnosis()
    page = visit(write(replace(one, layers=one.layers * 20), tmp_path / "deep.html"))
    cell = page.locator("td", has_text="Linear").first
    assert not cell.is_visible()
    page.emulate_media(media="print")
    assert cell.is_visible()
