"""Tasks run in the order of their needs, each once, whatever happens to the processes that run them."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import pytest

from orograph.basics.errors import Interrupted, TaskError, UsageError
from orograph.basics.progress import SilentBoard
from orograph.execute import Task, open_executor, run_tasks
from orograph.execute.executors import LocalExecutor
from orograph.execute.schedule import task_keys
from orograph.store import Store

HERE = Path(__file__).parent


def task(name, needs=(), function="write", **arguments):
    return Task(name, f"toy_tasks:{function}", {"text": name, **arguments}, tuple(needs))


DIAMOND = [task("a"), task("b", ["a"]), task("c", ["a"]), task("d", ["b", "c"])]


def run(tasks, folder, executor="local", log=None, workers=2, **options):
    context = {} if log is None else {"log": str(log)}
    tasks = [replace(t, context={**t.context, **context}) for t in tasks]
    with Store(folder) as store:
        return run_tasks(tasks, store, lambda: open_executor(executor, workers=workers), **options)


def test_each_task_sees_what_it_needs_and_is_done_once(tmp_path):
    log = tmp_path / "log"
    outcome = run(DIAMOND, tmp_path / "s", log=log)
    assert outcome.files["d"]["text"].read_text() == "abacd"
    assert log.read_text().split() == ["a", "b", "c", "d"]
    assert outcome.computed == ("a", "b", "c", "d")
    again = run(DIAMOND, tmp_path / "s", log=log)
    assert log.read_text().split() == ["a", "b", "c", "d"]
    assert (again.computed, again.reused) == ((), ("a", "b", "c", "d"))
    assert again.files == outcome.files
    assert not (tmp_path / "s" / "partial").exists()


def test_a_key_changes_with_function_arguments_and_needs_and_with_nothing_else():
    before = task_keys(DIAMOND)
    assert len(set(before.values())) == 4
    moved = [replace(t, context={"root": "/elsewhere"}, effort=9.0) for t in DIAMOND]
    assert task_keys(moved) == before
    changed = [DIAMOND[0], replace(DIAMOND[1], arguments={"text": "B"}), *DIAMOND[2:]]
    after = task_keys(changed)
    assert {name for name in before if before[name] != after[name]} == {"b", "d"}
    other = [replace(DIAMOND[0], function="toy_tasks:add"), *DIAMOND[1:]]
    assert all(task_keys(other)[name] != before[name] for name in before)


def test_a_changed_argument_redoes_only_what_depends_on_it(tmp_path):
    log = tmp_path / "log"
    run(DIAMOND, tmp_path / "s", log=log)
    log.unlink()
    changed = [DIAMOND[0], replace(DIAMOND[1], arguments={"text": "B"}), *DIAMOND[2:]]
    outcome = run(changed, tmp_path / "s", log=log)
    assert log.read_text().split() == ["B", "d"]
    assert outcome.files["d"]["text"].read_text() == "aBacd"
    log.unlink()
    run(DIAMOND, tmp_path / "s", log=log)  # and back again: nothing was forgotten
    assert not log.exists()


@pytest.mark.parametrize(
    ("tasks", "says"),
    [
        ([task("b", ["a"]), task("a")], "needs .*'a'"),
        ([task("a"), task("a")], "two tasks of this study are called 'a'"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(tasks, says):
    with pytest.raises(TaskError, match=says):
        task_keys(tasks)


def test_a_failing_task_stops_only_its_dependents(tmp_path):
    log = tmp_path / "log"
    tasks = [task("a"), task("bad", function="fail"), task("after", ["bad"]), task("z", ["a"])]
    with pytest.raises(TaskError) as caught:
        run(tasks, tmp_path / "s", log=log)
    message = str(caught.value)
    assert "task 'bad' failed: ValueError: the first line" in message
    assert "\n" not in message
    assert log.read_text().split() == ["a", "z"]
    (trace,) = (tmp_path / "s" / "errors").iterdir()
    assert str(trace) in message
    assert 'raise ValueError("the first line' in trace.read_text()
    mended = [replace(t, function="toy_tasks:write") for t in tasks]
    assert run(mended, tmp_path / "s", log=log).files["after"]["text"].read_text() == "badafter"
    assert log.read_text().split() == ["a", "z", "bad", "after"]


@pytest.mark.parametrize("executor", ["local", "processes"])
def test_any_exception_of_the_users_code_is_reported(tmp_path, executor):
    tasks = [task("fragile", function="fail", kind="fragile"), task("ours", function="fail", kind="ours"), task("a")]
    with pytest.raises(TaskError, match=r"and 1 more.*run the same command again") as caught:
        run(tasks, tmp_path / "s", executor)
    assert "Fragile: 1 and 2" in str(caught.value) or "no such file: x.npz" in str(caught.value)
    (trace,) = (tmp_path / "s" / "errors").iterdir()  # what orograph raised on purpose needs no traceback
    assert trace.read_text().startswith("fragile")
    with Store(tmp_path / "s") as store:
        assert [row[1] for row in store.catalogue.tasks()] == ["a"]


def test_damaged_outputs_are_made_again_and_reported(tmp_path):
    log = tmp_path / "log"
    first = run(DIAMOND, tmp_path / "s", log=log)
    log.unlink()
    first.files["b"]["text"].write_text("Ab")
    again = run(DIAMOND, tmp_path / "s", log=log)
    assert log.read_text().split() == ["b"]  # d came of the same key, so it is what it was
    assert again.files == first.files
    assert again.files["b"]["text"].read_text() == "ab"
    assert len(again.notes) == 1


def test_a_killed_worker_costs_a_repetition_and_nothing_else(tmp_path):
    tasks = [task("first", function="die"), *DIAMOND, task("last", ["first", "d"])]
    outcome = run(tasks, tmp_path / "s", "processes")
    assert outcome.files["last"]["text"].read_text() == "firstabacdlast"
    assert not (tmp_path / "s" / "partial").exists()


class BreaksAfter(LocalExecutor):
    """A pool whose worker is found dead when one task more than ``sound`` is handed over."""

    def __init__(self, sound):
        super().__init__(1)
        self.sound = sound

    def submit(self, fn, /, *args, **kwargs):
        self.sound -= 1
        if self.sound < 0:
            raise BrokenProcessPool("a worker died")
        return super().submit(fn, *args, **kwargs)


class BreaksWithAnotherOnIt(BreaksAfter):
    """As before, but with two workers: the other's task is lost with the pool, and its future says so only later."""

    _max_workers = 2
    lost: Future

    def submit(self, fn, /, *args, **kwargs):
        self.sound -= 1
        if self.sound == 0:
            self.lost = Future()
            return self.lost
        if self.sound < 0:
            self.lost.set_exception(BrokenProcessPool("a worker died"))
            raise BrokenProcessPool("a worker died")
        return LocalExecutor.submit(self, fn, *args, **kwargs)


@pytest.mark.parametrize("broken", [BreaksAfter(0), BreaksAfter(2), BreaksWithAnotherOnIt(2)])
def test_a_pool_found_broken_when_a_task_is_handed_over_is_replaced(tmp_path, broken):
    pools = []
    pools = []

    def make():
        pools.append(LocalExecutor(1) if pools else broken)
        return pools[-1]

    with Store(tmp_path / "s") as store:
        outcome = run_tasks(DIAMOND, store, make)
    assert outcome.files["d"]["text"].read_text() == "abacd"
    assert len(pools) == 2


@pytest.mark.slow
def test_a_task_that_always_dies_takes_nobody_with_it(tmp_path):
    log = tmp_path / "log"
    slow = replace(task("slow"), context={"seconds": 0.7})
    tasks = [task("deadly", function="die", always=True), slow, task("after", ["deadly"]), task("z", ["slow"])]
    with pytest.raises(TaskError, match="task 'deadly' failed: its worker process ended 3 times") as caught:
        run(tasks, tmp_path / "s", "processes", log=log)
    assert "more)" not in str(caught.value)
    with Store(tmp_path / "s") as store:
        assert sorted(row[1] for row in store.catalogue.tasks()) == ["slow", "z"]


def test_local_and_processes_give_the_same_bits(tmp_path):
    tasks = [Task(f"sum {seed}", "toy_tasks:add", {"seed": seed}) for seed in range(3)]
    here = run(tasks, tmp_path / "here", "local")
    there = run(tasks, tmp_path / "there", "processes")
    for name, files in here.files.items():
        assert files["sum"].read_text() == there.files[name]["sum"].read_text()
        assert files["sum"].read_text().endswith(", 1]")


def test_a_worker_that_is_done_keeps_its_promises(tmp_path, capfd):
    kept = tmp_path / "kept"
    run([replace(task("a", function="promise"), context={"kept": str(kept)})], tmp_path / "s", "processes")
    assert kept.exists()
    assert "a last word" in capfd.readouterr().out


def test_executors_refuse_nonsense():
    with pytest.raises(UsageError, match="did you mean 'processes'"):
        open_executor("process")
    for options in ({"workers": 0}, {"threads": 0}):
        with pytest.raises(UsageError, match="at least 1, not 0"):
            open_executor("processes", **options)


def test_the_board_is_always_closed(tmp_path):
    class Board(SilentBoard):
        ended = 0

        def end(self):
            self.ended += 1

    board = Board()
    run([task("a")], tmp_path / "s", board=board)
    with pytest.raises(TaskError):
        run([task("bad", function="fail")], tmp_path / "s", board=board)
    assert board.ended == 2


# -- signals and kills: a process of its own, whose tasks log when they begin ------------------------------------------

PROGRAM = """
import sys
sys.path.insert(0, {here!r})
from dataclasses import replace
from test_schedule import run, task
from orograph.basics.errors import OrographError
names = [f"t{{i}}" for i in range(6)]
tasks = [replace(task(name), context={{"seconds": 0.8}}) for name in names] + [task("all", names)]
try:
    print(run(tasks, sys.argv[1], sys.argv[2], log=sys.argv[3]).files["all"]["text"].read_text())
except OrographError as error:
    print(type(error).__name__, error)
    sys.exit(error.exit_code)
"""


class Started:
    """The program above, in a session of its own, so that a Ctrl-C reaches its workers too as in a terminal."""

    def __init__(self, folder, executor):
        self.log = folder / "log"
        self.log.write_text("")
        command = [sys.executable, "-c", PROGRAM.format(here=str(HERE)), str(folder / "s"), executor, str(self.log)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)

    def wait_for(self, count):
        patience = time.monotonic() + 60
        while len(self.log.read_text().split()) < count:
            assert self.process.poll() is None, "ended too early"
            assert time.monotonic() < patience
            time.sleep(0.02)

    def ctrl_c(self):
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self):
        out, _ = self.process.communicate(timeout=60)
        return self.process.returncode, out

    def descendants(self):
        return processes_of_session(self.process.pid)


def processes_of_session(session):
    """Process ids that belong to a session and are not zombies (Linux)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def gone_within(seconds, started):
    patience = time.monotonic() + seconds
    while started.descendants() and time.monotonic() < patience:
        time.sleep(0.05)
    return not started.descendants()


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


@linux
@pytest.mark.parametrize("executor", [pytest.param("local", marks=pytest.mark.slow), "processes"])
def test_the_first_ctrl_c_finishes_the_tasks_in_hand_and_the_next_run_continues(tmp_path, executor):
    started = Started(tmp_path, executor)
    started.wait_for(2)
    started.ctrl_c()
    code, out = started.end()
    assert code == 130
    assert "run the same command again to continue" in out
    begun = started.log.read_text().split()
    assert len(begun) < 6  # what only waited in the queue was not begun
    with Store(tmp_path / "s") as store:
        assert sorted(row[1] for row in store.catalogue.tasks()) == sorted(begun)
    assert gone_within(5, started)
    again = Started(tmp_path, executor)
    code, out = again.end()
    assert (code, out.strip()) == (0, "t0t1t2t3t4t5all")
    assert not set(again.log.read_text().split()) & set(begun)
    assert not (tmp_path / "s" / "partial").exists()


@linux
@pytest.mark.slow
def test_the_second_ctrl_c_stops_at_once(tmp_path):
    started = Started(tmp_path, "processes")
    started.wait_for(2)
    started.ctrl_c()
    time.sleep(0.2)
    started.ctrl_c()
    code, _ = started.end()
    assert code != 0
    assert gone_within(5, started)
    with Store(tmp_path / "s") as store:
        assert len(store.catalogue.tasks()) < 2
    code, out = Started(tmp_path, "processes").end()
    assert (code, out.strip()) == (0, "t0t1t2t3t4t5all")


@linux
def test_after_kill_9_of_the_parent_its_workers_end_and_the_next_run_continues(tmp_path):
    started = Started(tmp_path, "processes")
    started.wait_for(4)
    started.process.kill()
    started.process.wait()
    assert gone_within(8, started)
    with Store(tmp_path / "s") as store:
        done = {row[1] for row in store.catalogue.tasks()}
    assert done
    again = Started(tmp_path, "processes")
    code, out = again.end()
    assert (code, out.strip()) == (0, "t0t1t2t3t4t5all")
    assert not set(again.log.read_text().split()) & done
    assert not (tmp_path / "s" / "partial").exists()
    assert gone_within(5, again)


def test_interrupted_is_what_a_caller_catches():
    assert Interrupted("x").exit_code == 130
