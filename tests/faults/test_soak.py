"""A long study, sixteen replicas with every part, twice: nothing grows, nothing is left behind, and both agree."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from orograph.store import Store
from orograph.studies.checking import check
from orograph.studies.running import load_study

STUDY = """
study = "initial-values"
replicas = 16
train_size = 200
test_size = 100
line_points = 13
plane_points = 9
neighbourhood_points = 7
branch_epochs = [0.2, 0.5]
[train]
epochs = 1
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc"),
]


@dataclass
class Sample:
    """What a process held when so many tasks were done."""

    done: int
    resident: int
    files: int


def start(folder: Path, executor: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "orograph", "run", folder.parent / "study.toml", "--out", folder, "--quiet"]
    return subprocess.Popen([*command, "--executor", executor], stderr=subprocess.PIPE, text=True)


def held_by(pid: int, done: int) -> Sample | None:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return Sample(done, pages * os.sysconf("SC_PAGESIZE"), len(os.listdir(f"/proc/{pid}/fd")))
    except (OSError, IndexError):
        return None


def tasks_done(folder: Path) -> int:
    if not (folder / "catalogue.sqlite").is_file():
        return 0
    store = Store(folder, writable=False)
    try:
        return len(store.catalogue.tasks())
    finally:
        store.close()


def descendants(pid: int) -> set[int]:
    """Processes that ``pid`` began, and theirs."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
    found, new = set(), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


def watched(process: subprocess.Popen, folder: Path, until: int | None = None) -> tuple[list[Sample], set[int]]:
    """Samples of the process while it works on tasks, and every process it began; until so many tasks are done."""
    samples, children = [], set()
    while process.poll() is None:
        done = tasks_done(folder)
        children |= descendants(process.pid)
        sample = held_by(process.pid, done)
        if sample is not None and not (folder / "result.npz").exists():
            samples.append(sample)
        if until is not None and done >= until:
            break
        time.sleep(0.2)
    return samples, children


def assert_gone(pids: set[int]) -> None:
    deadline = time.monotonic() + 15
    while alive := {pid for pid in pids if Path(f"/proc/{pid}").exists()}:
        assert time.monotonic() < deadline, f"orphaned processes: {alive}"
        time.sleep(0.1)


def assert_steady(samples: list[Sample], tasks: int) -> None:
    """The last third of the tasks holds hardly more than the second."""
    thirds = [[s for s in samples if lower <= s.done / tasks < lower + 1 / 3] for lower in (1 / 3, 2 / 3)]
    resident = [np.median([s.resident for s in part]) for part in thirds]
    files = [max(s.files for s in part) for part in thirds]
    print(f"resident {resident[0] / 2**20:.0f} -> {resident[1] / 2**20:.0f} MiB, files {files[0]} -> {files[1]}")
    assert resident[1] < 1.1 * resident[0]
    assert files[1] <= files[0] + 2


@pytest.mark.timeout(3000)
def test_a_long_study_twice_with_a_kill_in_the_middle(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    first, second = tmp_path / "local", tmp_path / "processes"

    process = start(first, "local")
    samples, children = watched(process, first)
    assert process.communicate()[1].strip() == ""
    tasks = tasks_done(first)
    assert_steady(samples, tasks)
    assert_gone(children)

    process = start(second, "processes")
    _, children = watched(process, second, until=random.Random(0).randrange(tasks // 3, tasks // 2))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert_gone(children)
    process = start(second, "processes")
    samples, children = watched(process, second)
    assert process.communicate()[1].strip() == ""
    assert_steady(samples, tasks)
    assert_gone(children)

    one, other = load_study(first), load_study(second)
    assert replace(one, report="").equals(replace(other, report=""))
    for folder in (first, second):
        health = check(folder)
        assert health.sound
        assert not health.remarks  # no strays, no work in hand
        assert health.tasks == tasks
        assert not list(folder.rglob("*.tmp*"))
        assert not (folder / "partial").exists()
