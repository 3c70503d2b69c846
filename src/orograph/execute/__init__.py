"""Where tasks run: in this process or in several, behind the one interface of ``concurrent.futures.Executor``."""

from orograph.execute.executors import ExecutorName, open_executor
from orograph.execute.schedule import Outcome, Task, TaskContext, run_tasks

__all__ = ["ExecutorName", "Outcome", "Task", "TaskContext", "open_executor", "run_tasks"]
