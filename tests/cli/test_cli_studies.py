"""``run``, ``show``, ``report``, ``studies`` and the help: what they print where, and what they exit with."""

import json
import os
import resource
import subprocess
import sys

import pytest

from orograph import report
from orograph.cli import main
from orograph.studies.running import load_study

PARTS = ("lines", "planes", "same-start", "branches", "abyss", "neighbourhoods")
TINY = ("--replicas", "3", "--train.epochs", "0.2", "--train-size", "60", "--test-size", "30", "--executor", "local")
BARE = (*TINY, *(f"--no-{part}" for part in PARTS))
VERBS = ("run", "studies", "show", "report", "distance", "line", "plane", "trajectory")


@pytest.fixture
def quick_page(monkeypatch):
    """The page has tests of its own."""
    monkeypatch.setattr(report, "write", lambda result, path: (path.write_text("<html></html>"), path)[1])


def call(capture, *words):
    capture.readouterr()
    code = main([str(word) for word in words])
    return code, *capture.readouterr()


def loaded_by(*words):
    """The modules that a call imports, in a process of its own."""
    code = (
        "import sys; from orograph.cli import main; code = main(sys.argv[1:]); "
        "print(code, *sys.modules, file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=100)
    return found.stdout, found.stderr.split()


@pytest.mark.parametrize("words", [("--help",), ("run", "--help"), ("plane", "--help"), ("run", "--replicas", "x")])
def test_help_and_wrong_usage_never_wait_for_torch(words):
    _, modules = loaded_by(*words)
    assert "orograph.cli" in modules
    assert "torch" not in modules


def test_help_takes_less_than_half_a_second_of_processor_time():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "orograph", "--help"], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_is_listed(capsys, verb):
    code, out, _ = call(capsys, verb, "--help")
    assert code == 0
    assert f"orograph {verb}" in out
    assert f"  {verb}" in call(capsys, "--help")[1]


def test_the_help_of_run_explains_every_option(capsys):
    out = call(capsys, "run", "--help")[1]
    for words in ("--train.epochs", "Networks trained from different initial values", "--executor", "--dry-run"):
        assert words in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("pane",), "did you mean 'plane'"),
        (("run", "initial-value"), "did you mean 'initial-values'"),
        (("run", "--replica", "3"), "--replicas"),
        (("run", "--replicas", "three"), "replicas"),
        (("run", "--replicas", "2"), "at least 3"),
        (("run", "--executor", "cloud"), "processes"),
        (("run", "--workers", "0", *BARE), "workers must be at least 1"),
        (("run", "--model", "resnet2", *BARE), "did you mean 'resnet"),
        (("run", "none.toml"), "no such study file"),
        (("show",), "DIR|folder|FOLDER"),
    ],
)
def test_wrong_usage_is_code_2_with_a_hint(capsys, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(capsys, *words)
    assert code == 2
    assert out == ""
    assert any(part in err for part in says.split("|"))
    assert not list(tmp_path.iterdir())


def test_a_study_from_start_to_report(tmp_path, capfd, quick_page):
    out = tmp_path / "Läufe 1" / "erster"
    code, printed, err = call(capfd, "run", *BARE, "--out", out, "--json", "--quiet")
    assert (code, err) == (0, "")
    found = json.loads(printed)
    assert {"study", "claims", "cost", "report"} <= found.keys()
    assert found["report"] == str(out / "report.html")
    assert {claim["verdict"] for claim in found["claims"]} <= {"reproduced", "not reproduced", "inconclusive"}
    assert load_study(out).report == found["report"]

    assert json.loads(call(capfd, "show", out, "--json")[1]) == found
    code, printed, _ = call(capfd, "show", out)
    assert (code, found["headline"] in printed) == (0, True)
    code, printed, _ = call(capfd, "report", out, "--out", tmp_path / "other.html")
    assert (code, printed.strip()) == (0, str(tmp_path / "other.html"))
    assert (tmp_path / "other.html").exists()

    plan = json.loads(call(capfd, "run", *BARE, "--out", out, "--json", "--dry-run")[1])
    assert plan["examples"] == 0
    assert all(task["done"] for task in plan["tasks"])
    plan = json.loads(call(capfd, "run", out / "study.toml", "--out", out, "--json", "--dry-run", "--seed", "1")[1])
    assert not any(task["done"] for task in plan["tasks"])

    code, _, err = call(capfd, "run", out / "study.toml", "--out", out, "--executor", "local")
    assert code == 0
    assert "0 tasks to do" in err


def test_a_dry_run_touches_nothing(tmp_path, capsys):
    code, out, _ = call(capsys, "run", *BARE, "--out", tmp_path / "s", "--dry-run")
    assert code == 0
    assert "6 of 6 tasks to do" in out
    assert not (tmp_path / "s").exists()


def test_an_unfinished_study_tells_how_far_it_is_and_how_to_continue(tmp_path, capsys, quick_page):
    out = tmp_path / "mit Leer"
    assert call(capsys, "run", *BARE, "--out", out, "--quiet")[0] == 0
    (out / "result.npz").unlink()
    code, printed, err = call(capsys, "show", out)
    assert code == 1
    assert "replica A" in printed
    assert f"orograph run '{out / 'study.toml'}' --out '{out}'" in err
    assert call(capsys, "show", out, "--json")[:2] == (1, "")


@pytest.mark.parametrize("verb", ["show", "report"])
def test_what_is_not_there_is_one_line(tmp_path, capsys, verb):
    (tmp_path / "text.npz").write_text("no result")
    (tmp_path / "folder").mkdir()
    for path, wrong in (("nowhere", 2), ("text.npz", 1), ("folder", 2)):
        code, out, err = call(capsys, verb, tmp_path / path)
        assert (code, out, err.count("\n")) == (wrong, "", 1)
        assert str(tmp_path / path) in err


def test_another_programs_folder_and_a_file_as_out_are_refused(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("years")
    for out, wrong, says in ((tmp_path, 1, "holds other files"), (tmp_path / "thesis.tex", 2, "is a file")):
        code, _, err = call(capsys, "run", *BARE, "--out", out, "--quiet")
        assert (code, says in err, err.count("\n")) == (wrong, True, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_list_of_studies(capsys):
    found = json.loads(call(capsys, "studies", "--json")[1])
    assert found["studies"][0]["name"] == "initial-values"
    assert "digits" in found["data"]
    assert "resnet20" in found["models"]
    assert "resnet20" in call(capsys, "studies")[1]


@pytest.mark.parametrize(
    ("words", "tasks"),
    [
        (("gradinit", "--networks", "mlp", "resnet8(width=0.5)", "--repeats", "2", "--no-beyond"), 2 * 2 * 11),
        (("gradinit", "--model", "mlp", "--repeats", "1", "--published-control"), 13 + 8),
        (("transformer-warmup", "--repeats", "2", "--rates", "0.001", "--sgd-rates", "0.1", "0.2"), 2 * (2 + 3 * 5)),
    ],
)
def test_studies_of_learned_initialisation_are_planned_by_name(capsys, tmp_path, words, tasks):
    assert words[0] in {one["name"] for one in json.loads(call(capsys, "studies", "--json")[1])["studies"]}
    code, out, _ = call(capsys, "run", *words, "--dry-run", "--json", "--out", tmp_path / "none")
    assert code == 0
    assert len(json.loads(out)["tasks"]) == tasks
    assert not (tmp_path / "none").exists()


def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m orograph studies | head -1; exit ${{PIPESTATUS[0]}}"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env={**os.environ})
    assert (found.returncode, found.stderr) == (0, "")
