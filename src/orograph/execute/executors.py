"""Executors: the same tasks here or in local processes, with the same numbers.

Floating-point sums depend on the number of threads, so both executors give every task the same number, whatever
the machine: results of one are results of the other. Worker processes are started afresh (no fork of a process with
threads in it, no need for an ``if __name__ == "__main__"`` guard), leave Ctrl-C to their parent, and end when it does.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from orograph.basics.errors import UsageError, nearest
from orograph.basics.references import load_files, loaded_files

ExecutorName = Literal["local", "processes"]
_T = TypeVar("_T")


class LocalExecutor(Executor):
    """Runs each task at once, in this process, with a fixed number of torch threads."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """Run ``fn`` now; the future is done when this returns. A Ctrl-C goes through to the caller."""
        future: Future[_T] = Future()
        with fixed_threads(self.threads):
            try:
                future.set_result(fn(*args, **kwargs))
            except Exception as error:
                future.set_exception(error)
        return future


@contextmanager
def fixed_threads(threads: int | None) -> Iterator[None]:
    """Run a block with a number of torch threads; None leaves it as it is."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def open_executor(name: ExecutorName = "processes", *, workers: int | None = None, threads: int = 1) -> Executor:
    """An executor with ``workers`` processes (default: one for each ``threads`` processors) of ``threads`` threads.

    Raises UsageError for an unknown name or numbers below 1.
    """
    check_executor(name, workers, threads)
    if name == "local":
        return LocalExecutor(threads)
    from loky import ProcessPoolExecutor

    count = workers or max(1, available_processors() // threads)
    # Torch, too, takes its number of threads from these when it is imported; a worker imports it when a task needs it.
    variables = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    begin = (os.getpid(), loaded_files())
    return ProcessPoolExecutor(count, initializer=_begin_worker, initargs=begin, env=variables)  # type: ignore[no-any-return]


def check_executor(name: str, workers: int | None = None, threads: int = 1) -> None:
    """Raise UsageError for what :func:`open_executor` would refuse."""
    known = get_args(ExecutorName)
    if name not in known:
        raise UsageError(f"unknown executor {name!r}{nearest(name, known)}; use {' or '.join(known)}")
    if workers is not None and workers < 1:
        raise UsageError(f"workers must be at least 1, not {workers}")
    if threads < 1:
        raise UsageError(f"threads must be at least 1, not {threads}")


def workers_of(executor: Executor) -> int:
    """How many tasks an executor works on at a time."""
    return int(getattr(executor, "_max_workers", 1))


def available_processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def stop_workers(executor: Executor) -> None:
    """End an executor's processes at once, in the middle of their tasks."""
    if isinstance(executor, LocalExecutor):
        return
    executor.shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]


def _begin_worker(parent: int, files: tuple[Path, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what a Ctrl-C means

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)  # the parent was killed; nobody will take the result

    threading.Thread(target=watch, daemon=True).start()
    Finalize(None, _leave, exitpriority=-1000)  # what multiprocessing calls last
    load_files(files)  # classes of the user's own file arrive pickled by name


def _leave() -> None:
    """End a worker that has nothing more to do. Python would take torch apart first, most of a second for nothing."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
