"""Executors: the same tasks here or in local processes, with the same numbers.

Floating-point sums depend on the number of threads, so both executors give every task the same number, whatever
the machine: results of one are results of the other. Worker processes are started afresh (no fork of a process with
threads in it, no need for an ``if __name__ == "__main__"`` guard), leave Ctrl-C to their parent, and end when it does.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Literal, TypeVar

from orograph.basics.errors import UsageError, nearest

ExecutorName = Literal["local", "processes"]
_T = TypeVar("_T")


class LocalExecutor(Executor):
    """Runs each task at once, in this process, with a fixed number of torch threads."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """Run ``fn`` now; the future is done when this returns. A Ctrl-C goes through to the caller."""
        import torch

        future: Future[_T] = Future()
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        finally:
            torch.set_num_threads(before)
        return future


def open_executor(name: ExecutorName = "processes", *, workers: int | None = None, threads: int = 1) -> Executor:
    """An executor with ``workers`` processes (default: one for each ``threads`` processors) of ``threads`` threads.

    Raises UsageError for an unknown name or numbers below 1.
    """
    if threads < 1 or (workers is not None and workers < 1):
        raise UsageError("an executor needs at least one worker and one thread")
    if name == "local":
        return LocalExecutor(threads)
    if name != "processes":
        raise UsageError(f"unknown executor {name!r}{nearest(name, ('local', 'processes'))}; use local or processes")
    from loky import ProcessPoolExecutor

    count = workers or max(1, available_processors() // threads)
    variables = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    return ProcessPoolExecutor(count, initializer=_begin_worker, initargs=(threads, os.getpid()), env=variables)  # type: ignore[no-any-return]


def available_processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def stop_workers(executor: Executor) -> None:
    """End an executor's processes at once, in the middle of their tasks."""
    if isinstance(executor, LocalExecutor):
        return
    executor.shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]


def _begin_worker(threads: int, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what a Ctrl-C means
    import torch

    torch.set_num_threads(threads)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)  # the parent was killed; nobody will take the result

    threading.Thread(target=watch, daemon=True).start()
