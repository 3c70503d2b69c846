"""A study's tasks, run in the order of their needs, each once.

A task is a function named by reference, plain arguments, and the tasks whose outputs it reads. Its key is a hash of all
of that, so a task that was done is not done again, and one whose options changed is. Workers write files into a
folder of the task's own; only this process moves them into the store and writes its catalogue.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from orograph._version import __version__
from orograph.basics.errors import Interrupted, OrographError, TaskError
from orograph.basics.files import explained, write_atomic
from orograph.basics.keys import content_key
from orograph.basics.progress import Board, SilentBoard
from orograph.basics.references import load_reference
from orograph.execute.executors import stop_workers, workers_of
from orograph.results import Cost
from orograph.store import Store

_POLL_SECONDS = 0.3
_TRIES = 3


@dataclass(frozen=True)
class Task:
    """One piece of work.

    ``function`` is ``"module:name"`` of a function ``(context: TaskContext) -> dict of output name to file``.
    ``arguments`` are JSON values and part of the key; ``context`` holds what must not change the result (where data
    lie, say) and is not. ``needs`` names other tasks of the study. ``effort`` is a relative cost, for progress.
    """

    name: str
    function: str
    arguments: dict[str, Any]
    needs: tuple[str, ...] = ()
    context: dict[str, Any] = field(default_factory=dict)
    effort: float = 1.0


@dataclass(frozen=True)
class TaskContext:
    """What a task's function is given. ``inputs[task][output]`` is a file of a needed task; ``folder`` is the task's
    own, kept if it is interrupted, so that a long task can continue inside."""

    arguments: dict[str, Any]
    context: dict[str, Any]
    inputs: dict[str, dict[str, Path]]
    folder: Path

    def progress(self, done: float, total: float) -> None:
        """Tell the parent how far this task is; cheap enough to call after every row or step."""
        _report(self.folder / "progress", done / total if total else 1.0)


@dataclass(frozen=True)
class Outcome:
    """What a study's tasks left: files by task and output, and what this run of it computed and cost."""

    files: dict[str, dict[str, Path]]
    computed: tuple[str, ...]
    reused: tuple[str, ...]
    cost: Cost
    notes: tuple[str, ...]


def task_keys(tasks: Sequence[Task]) -> dict[str, str]:
    """The content key of each task by name. Raises TaskError for a need that no earlier task meets."""
    keys: dict[str, str] = {}
    for task in tasks:
        missing = [name for name in task.needs if name not in keys]
        if task.name in keys:
            raise TaskError(f"two tasks of this study are called {task.name!r}")
        if missing:
            raise TaskError(f"task {task.name!r} needs {missing}, which no earlier task of this study makes")
        request = {
            "version": __version__,
            "function": task.function,
            "arguments": task.arguments,
            "needs": {name: keys[name] for name in task.needs},
        }
        keys[task.name] = content_key(request)
    return keys


def run_tasks(
    tasks: Sequence[Task],
    store: Store,
    make_executor: Callable[[], Executor],
    *,
    board: Board | None = None,
) -> Outcome:
    """Do what is not done yet, and return everything.

    A failed task stops those that need it; the others are finished first. A first Ctrl-C lets the tasks in hand finish,
    a second one stops them.

    Raises
    ------
    TaskError
        Some task failed; the message names it and the file with its traceback. Interrupted: the user stopped it.
    """
    board = board or SilentBoard()
    keys = task_keys(tasks)
    files: dict[str, dict[str, Path]] = {}
    for task in tasks:
        stored = store.outputs(keys[task.name])
        if stored is not None:  # also where a needed task must be done again: equal keys mean equal results
            files[task.name] = stored
    reused = tuple(files)
    waiting = [task for task in tasks if task.name not in files]
    board.begin(sum(task.effort for task in waiting), f"{len(waiting)} tasks to do, {len(reused)} done before")
    if not waiting:
        board.end()
        store.clear_partial()
        return Outcome(files, (), reused, Cost(), tuple(store.notes))
    session = _Session(store, keys, make_executor, board, files)
    try:
        with _ctrl_c(session):
            session.run(waiting)
    finally:
        board.end()
    if session.failures:
        first = next(iter(session.failures.values()))
        others = len(session.failures) - 1
        more = f" (and {others} more)" if others else ""
        raise TaskError(f"{first}{more}; everything else is kept, run the same command again to retry")
    left = len(tasks) - len(files)
    if session.stopping and left:
        raise Interrupted(f"stopped with {left} of {len(tasks)} tasks to go; run the same command again to continue")
    store.clear_partial()  # what interrupted tasks of other options left
    computed = tuple(task.name for task in waiting)
    return Outcome(files, computed, reused, session.cost, tuple(store.notes))


class _Session:
    """The state of one run of the scheduler."""

    def __init__(
        self,
        store: Store,
        keys: dict[str, str],
        make_executor: Callable[[], Executor],
        board: Board,
        files: dict[str, dict[str, Path]],
    ) -> None:
        self.store, self.keys, self.make_executor = store, keys, make_executor
        self.board, self.files = board, files
        self.stopping = False
        self.failures: dict[str, str] = {}
        self.cost = Cost()
        self.executor: Executor | None = None
        self._tried: dict[str, int] = {}

    def run(self, waiting: list[Task]) -> None:
        running: dict[Future[Any], tuple[Task, Executor]] = {}
        waiting = list(waiting)
        self.executor = self.make_executor()
        try:
            while waiting or running:
                if not self.stopping:
                    self._submit_ready(waiting, running)
                elif waiting:
                    waiting.clear()
                if not running:
                    if waiting and not self.stopping:  # what is left needs something that failed
                        break
                    continue
                done, _ = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
                for future in done:
                    self._finish(future, *running.pop(future), waiting)
                self.board.show({task.name: self._fraction(task) * task.effort for task, _ in running.values()})
        except BaseException:
            stop_workers(self.executor)
            raise
        self.executor.shutdown(wait=True)

    def _submit_ready(self, waiting: list[Task], running: dict[Future[Any], tuple[Task, Executor]]) -> None:
        assert self.executor is not None
        for task in list(waiting):
            # No more than are worked on: what is queued could not be held back after a Ctrl-C.
            if self.stopping or len(running) >= workers_of(self.executor):
                return
            if any(name not in self.files for name in task.needs):
                continue
            if running and (self._is_suspect(task) or any(self._is_suspect(other) for other, _ in running.values())):
                continue
            waiting.remove(task)
            folder = self.store.partial(self.keys[task.name])
            inputs = {name: self.files[name] for name in task.needs}
            context = TaskContext(task.arguments, task.context, inputs, folder)
            try:
                future = self.executor.submit(perform, task.function, context)
            except BrokenProcessPool:  # a worker died since the last look; this task had no part in it
                if running:  # the futures of the dead pool say so too, and it is replaced then
                    waiting.insert(0, task)
                    return
                self.executor = self.make_executor()
                future = self.executor.submit(perform, task.function, context)
            running[future] = (task, self.executor)
            if future.done():  # the local executor works inside submit: record it before the next one starts
                return

    def _is_suspect(self, task: Task) -> bool:
        """Whether a worker died while it ran. It is repeated alone, so that the next death tells who is to blame."""
        return task.name in self._tried

    def _finish(self, future: Future[Any], task: Task, executor: Executor, waiting: list[Task]) -> None:
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            # A worker died (killed, or out of memory): a new pool, and the task once more, from where it was.
            self._tried[task.name] = self._tried.get(task.name, 0) + 1
            if self.stopping:
                return
            if self.executor is executor:
                self.executor = self.make_executor()
            if self._tried[task.name] < _TRIES:
                waiting.insert(0, task)
                return
            error = TaskError(
                f"its worker process ended {_TRIES} times without a word; if it was out of memory, use fewer --workers"
            )
        done = Failure.of(error) if error is not None else future.result()
        if isinstance(done, Failure):
            self.failures[task.name] = self._explain(task, done)
            self.board.note(self.failures[task.name])
            return
        outputs, cost = done
        self.cost += cost
        key = self.keys[task.name]
        self.files[task.name] = self.store.put(key, task.name, task.function, task.arguments, outputs, cost)
        shutil.rmtree(self.store.partial(key), ignore_errors=True)
        self._traceback_file(task).unlink(missing_ok=True)
        self.board.advance(task.effort, task.name)

    def _explain(self, task: Task, failure: Failure) -> str:
        if not failure.traceback:
            return f"task {task.name!r} failed: {failure.message}"
        path = self._traceback_file(task)
        write_atomic(path, f"{task.name}\n\n{failure.traceback}")
        return f"task {task.name!r} failed: {failure.message} (traceback in {path})"

    def _traceback_file(self, task: Task) -> Path:
        return self.store.folder / "errors" / f"{self.keys[task.name]}.txt"

    def _fraction(self, task: Task) -> float:
        try:
            return float((self.store.partial(self.keys[task.name]) / "progress").read_text())
        except (OSError, ValueError):
            return 0.0


@dataclass(frozen=True)
class Failure:
    """An exception in words: those of the user's own code need not survive the way between processes."""

    message: str
    traceback: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """``error`` in one line; its traceback only where orograph did not raise it on purpose."""
        if isinstance(error, OrographError):
            return cls(str(error), "")
        reason = str(error).strip().split("\n")[0]
        name = type(error).__name__
        return cls(f"{name}: {reason}" if reason else name, "".join(traceback.format_exception(error)))


def perform(function: str, context: TaskContext) -> tuple[dict[str, Path], Cost] | Failure:
    """Run one task where this process is; what workers are sent."""
    wall, cpu = perf_counter(), process_time()
    try:
        with explained(context.folder):
            context.folder.mkdir(parents=True, exist_ok=True)
        outputs = load_reference(function)(context)
    except Exception as error:
        return Failure.of(error)
    cost = Cost(cpu_seconds=process_time() - cpu, wall_seconds=perf_counter() - wall)
    return outputs, cost


_reported: dict[Path, float] = {}


def _report(path: Path, fraction: float) -> None:
    now = perf_counter()
    if now - _reported.get(path, 0.0) > _POLL_SECONDS:
        _reported[path] = now
        with contextlib.suppress(OSError):  # read by the board only, so it may be torn or missing
            path.write_text(f"{min(max(fraction, 0.0), 1.0):.4f}")


@contextmanager
def _ctrl_c(session: _Session) -> Iterator[None]:
    """First Ctrl-C: no new tasks. Second: KeyboardInterrupt at once. Only in the main thread, where signals arrive."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: object) -> None:
        if session.stopping:
            raise KeyboardInterrupt
        session.stopping = True
        session.board.note("finishing the tasks in hand; press Ctrl-C again to stop at once (nothing finished is lost)")

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
