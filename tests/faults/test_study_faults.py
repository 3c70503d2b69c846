"""A study on the command line through what befalls long computations: full disks, kills, Ctrl-C. It always ends as an
undisturbed one does."""

import dataclasses
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from orograph.basics.errors import StoreError
from orograph.studies.running import load_study
from orograph.train.snapshot import write_snapshot
from orograph.weights import Weights

STUDY = """
study = "initial-values"
replicas = 3
train_size = 120
test_size = 60
line_points = 7
plane_points = 5
neighbourhood_points = 5
branch_epochs = [0.2]
"""
PART = "planes = false\nsame_start = false\nbranches = false\nabyss = false\nneighbourhoods = false\n"
RECIPE = "[train]\nepochs = 0.5\n"


def start(study: Path, out: Path, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "orograph", "run", str(study), "--out", str(out), "--quiet", *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen) -> tuple[int, str]:
    said = process.communicate(timeout=300)[1]
    return process.returncode, said.strip()


def same_numbers(one, other) -> bool:
    """Equal in everything but provenance (when, how long) and notes (what was found damaged)."""
    return dataclasses.replace(one, notes=()).equals(dataclasses.replace(other, notes=()))


def no_leftovers(folder: Path) -> bool:
    return not (folder / "partial").exists() and not list(folder.rglob(".*.tmp*"))


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    """A study of lines alone, its file and its result."""
    return _undisturbed(tmp_path_factory.mktemp("part"), STUDY + PART + RECIPE)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study with every part."""
    return _undisturbed(tmp_path_factory.mktemp("whole"), STUDY + RECIPE)


def _undisturbed(folder: Path, text: str):
    study = folder / "study.toml"
    study.write_text(text)
    assert ended(start(study, folder / "s")) == (0, "")
    return study, load_study(folder / "s")


@pytest.fixture
def small_disk(tmp_path):
    """A disk in memory: call with its size; call again to make it larger."""
    place = tmp_path / "small disk"
    place.mkdir()
    mounted = []

    def mount(size: str) -> Path:
        how = ["remount,"] if mounted else [""]
        command = ["mount", "-t", "tmpfs", "-o", f"{how[0]}size={size}", "tmpfs", str(place)]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("this user may not mount a small disk, and nothing else fills up for real")
        mounted.append(size)
        return place

    yield mount
    if mounted:
        subprocess.run(["umount", str(place)], check=True)


def test_a_file_that_does_not_fit_leaves_the_old_one_whole(small_disk):
    place = small_disk("64k")
    small, large = (Weights.of(torch.nn.Linear(width, 10)) for width in (10, 10_000))
    path = small.save(place / "weights.safetensors")
    for write in (large.save, lambda there: write_snapshot(there, {"w": large.vector}, {})):
        with pytest.raises(StoreError, match="the disk is full"):
            write(path)
        assert Weights.load(path).fingerprint() == small.fingerprint()
    assert [file.name for file in place.iterdir()] == [path.name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "what"),
    [
        pytest.param("24k", "catalogue", id="while the catalogue is made"),
        pytest.param("60k", "catalogue", id="while the catalogue grows"),
        pytest.param("250k", "replica", id="while a checkpoint is written"),
        pytest.param("1500k", "report.html", id="while the page is written"),
    ],
)
def test_a_full_disk_is_one_line_and_costs_nothing_that_was_finished(part, small_disk, size, what):
    study, expected = part
    out = small_disk(size) / "s"
    code, said = ended(start(study, out))
    assert code == 1
    assert "\n" not in said
    assert "the disk is full" in said
    assert what in said
    small_disk("64m")
    assert ended(start(study, out)) == (0, "")
    assert same_numbers(load_study(out), expected)
    assert no_leftovers(out)


@pytest.mark.slow
def test_ctrl_c_finishes_what_is_in_hand_and_the_next_run_goes_on(part, tmp_path):
    study, expected = part
    out = tmp_path / "Täler und Grate"
    running = start(study, out)
    _wait_for_work(running, out)
    running.send_signal(signal.SIGINT)
    code, said = ended(running)
    assert code == 130
    assert "run the same command again to continue" in said
    assert "Traceback" not in said
    assert ended(start(study, out)) == (0, "")
    assert same_numbers(load_study(out), expected)


@pytest.mark.slow
def test_ctrl_c_twice_stops_at_once_and_the_next_run_goes_on(part, tmp_path):
    study, expected = part
    running = start(study, tmp_path / "s")
    _wait_for_work(running, tmp_path / "s")
    running.send_signal(signal.SIGINT)
    time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    code, said = ended(running)
    assert code == 130
    assert "Traceback" not in said
    assert ended(start(study, tmp_path / "s")) == (0, "")
    assert same_numbers(load_study(tmp_path / "s"), expected)
    assert no_leftovers(tmp_path / "s")


def _wait_for_work(running: subprocess.Popen, out: Path) -> None:
    """Until a task has begun."""
    for _ in range(6000):
        if running.poll() is not None or any((out / "partial").glob("*")):
            return
        time.sleep(0.01)


@pytest.mark.slow
def test_a_study_killed_at_twenty_random_moments_ends_as_an_undisturbed_one(whole, tmp_path):
    study, expected = whole
    chance = random.Random(0)
    struck, folders = 0, 0
    while struck < 20:
        folders += 1
        out = tmp_path / f"s{folders}"
        for _ in range(5):
            running = start(study, out, *(("--executor", "local") if folders % 2 else ()))
            _wait_for_work(running, out)
            time.sleep(chance.uniform(0, 6))
            running.kill()
            struck += ended(running)[0] == -signal.SIGKILL
        assert ended(start(study, out)) == (0, "")
        assert same_numbers(load_study(out), expected)
        assert no_leftovers(out)
        assert folders <= 20, "the study is too short to be struck"
