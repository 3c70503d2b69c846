"""``orograph check``: sound folders are said to be, damage is named, and a repair makes the folder whole again."""

import dataclasses
import json
import re
import shutil
import sqlite3

import pytest
from tiny import BARE

from orograph.basics.errors import StoreError, UsageError
from orograph.cli import main
from orograph.store import Store
from orograph.studies.checking import check, prepare_repair
from orograph.studies.running import load_study, run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study with its page."""
    folder = tmp_path_factory.mktemp("finished") / "Studie eins"
    run("initial-values", out=folder, executor="local", **{**BARE, "lines": True})
    (folder / "report.html").write_text("the page")
    return folder


@pytest.fixture
def study(finished, tmp_path):
    """A copy to damage."""
    return shutil.copytree(finished, tmp_path / "Studie zwei")


def an_object(study, suffix):
    return sorted((study / "objects").glob(f"*/*{suffix}"))[0]


def flip(path, place=0.5):
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    path.write_bytes(bytes(content))


DAMAGES = {
    "a flipped bit in weights": (lambda s: flip(an_object(s, ".safetensors")), "is damaged (its content does not have"),
    "a truncated result": (lambda s: an_object(s, ".npz").write_bytes(b"PK"), "is damaged"),
    "a lost file": (lambda s: an_object(s, ".npz").unlink(), "is gone"),
    "a damaged summary": (lambda s: flip(s / "result.npz", 0.01), "result.npz"),
    "a lost page": (lambda s: (s / "report.html").unlink(), "report.html is gone"),
    "a catalogue of noise": (
        lambda s: (s / "catalogue.sqlite").write_bytes(b"noise" * 999),
        "catalogue.sqlite is damaged",
    ),
    "a lost catalogue": (lambda s: (s / "catalogue.sqlite").unlink(), "catalogue.sqlite is gone"),
}


def test_a_sound_folder_is_said_to_be(study, capsys):
    before = {path: path.read_bytes() for path in study.rglob("*") if path.is_file()}
    found = check(study)
    assert found.sound
    assert found.tasks == 8
    assert found.files == len({path.name for path in (study / "objects").glob("*/*")})
    assert main(["check", str(study)]) == 0
    assert f"{study}: 8 tasks, {found.files} files" in capsys.readouterr().out
    assert all(path.read_bytes() == content for path, content in before.items() if "sqlite" not in path.name)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_repaired_by_computing_again(finished, study, capsys, damage):
    harm, says = DAMAGES[damage]
    harm(study)
    assert main(["check", str(study)]) == 1
    said = capsys.readouterr()
    assert says in said.out
    assert "1 thing wrong" in said.out
    assert said.err.strip().endswith("--repair")
    assert "\n" not in said.err.strip()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orograph.report.write", lambda result, page: page.write_text("a new page"))
        assert main(["check", str(study), "--repair", "--quiet"]) == 0
    assert ": sound" in capsys.readouterr().out.splitlines()[-1]
    one, other = load_study(finished), load_study(study)
    assert dataclasses.replace(one, notes=()).equals(dataclasses.replace(other, notes=(), report=one.report))
    assert check(study).sound


def test_what_a_killed_run_left_behind_is_remarked_and_swept(study, capsys):
    stray = study / "objects" / "ab" / f"{'ab' * 32}.npz"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"x")
    (study / ".result.npz.x1.tmp.npz").write_bytes(b"half")
    (study / "partial" / "key").mkdir(parents=True)
    theirs = study / "objects" / "notes.txt"
    theirs.write_text("the user's")
    found = check(study)
    assert found.sound
    assert "note: 2 files that nothing refers to" in found.summary()
    assert "work in hand of 1 tasks" in found.summary()
    assert main(["check", str(study), "--repair", "--quiet"]) == 0
    assert not stray.exists()
    assert theirs.exists()
    assert check(study).remarks == ("not orograph's, and left alone: objects/notes.txt",)


def test_a_row_without_its_task_is_found(study):
    with sqlite3.connect(study / "catalogue.sqlite") as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("DELETE FROM tasks WHERE rowid = 1")
    assert "name a task that is not there" in check(study).summary()


def test_a_damaged_task_of_other_options_is_forgotten_too(study, capsys):
    """The folder may hold tasks of options that its present study.toml no longer has: all 8, and then all but this."""
    run("initial-values", out=study, executor="local", **BARE)  # without lines: those stay in the folder
    (study / "report.html").write_text("the page")
    with sqlite3.connect(study / "catalogue.sqlite") as connection:
        query = "SELECT hash FROM outputs JOIN tasks ON task = key WHERE tasks.name = 'line A-B'"
        (name,) = connection.execute(query).fetchone()
    next((study / "objects").glob(f"*/{name}*")).unlink()
    assert "task 'line A-B'" in check(study).summary()
    assert main(["check", str(study), "--repair", "--quiet"]) == 0
    assert check(study).tasks == 7


def test_what_cannot_be_checked_or_repaired_is_told(study, tmp_path, capsys):
    with pytest.raises(UsageError, match=r"has no catalogue\.sqlite"):
        check(tmp_path / "nowhere")
    assert main(["check", str(tmp_path)]) == 2
    (study / "study.toml").write_text("study = ")
    assert not check(study).sound
    assert main(["check", str(study), "--repair"]) in (1, 2)
    assert "study.toml" in capsys.readouterr().err
    assert main(["check", str(study)]) == 1
    assert "put study.toml right first" in capsys.readouterr().err
    other = study.with_name("held")
    shutil.copytree(study, other)
    with Store(other), pytest.raises(StoreError, match="another orograph process"):
        prepare_repair(check(other))


def test_json_says_the_same(study, capsys):
    an_object(study, ".npz").unlink()
    assert main(["check", str(study), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert not said["sound"]
    assert len(said["wrong"]) == 1


def test_a_folder_of_a_newer_orograph_is_left_alone(study, capsys):
    objects = sorted((study / "objects").rglob("*"))
    with sqlite3.connect(study / "catalogue.sqlite") as connection:
        connection.execute("PRAGMA user_version = 999")
    assert main(["check", str(study), "--repair"]) == 1
    assert "written by a newer orograph" in capsys.readouterr().err
    assert sorted((study / "objects").rglob("*")) == objects


def test_numbers_that_a_file_writes_otherwise_are_the_same_options(study, capsys):
    """A study's defaults may be whole numbers; its file and flags give them as 15.0."""
    text = (study / "study.toml").read_text()
    whole = re.sub(r"(?m)^(\w+ = \d+)\.0$", r"\1", text)
    assert whole != text
    (study / "study.toml").write_text(whole)
    an_object(study, ".npz").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orograph.report.write", lambda result, page: page.write_text("a new page"))
        assert main(["check", str(study), "--repair"]) == 0
    assert "1 tasks to do, 7 done before" in capsys.readouterr().err
    assert check(study).sound
    assert check(study).tasks == 8
