"""Running a study: plan its tasks, do what is not done, conclude, and keep the result beside the files.

Doing it again continues; changing an option redoes what depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

from orograph.basics.errors import StoreError, UsageError
from orograph.basics.progress import Board
from orograph.execute import ExecutorName, Task, open_executor, run_tasks
from orograph.execute.executors import check_executor
from orograph.execute.schedule import task_keys
from orograph.results import StudyResult
from orograph.store import Store
from orograph.studies.options import build, paper, read_study, write_study
from orograph.studies.registry import Study, find, known
from orograph.studies.subject import Subject


@dataclass(frozen=True)
class Plan:
    """What a study would do: its tasks in order, and which of them are done already."""

    study: str
    options: Any
    tasks: tuple[Task, ...]
    done: frozenset[str]

    @property
    def effort(self) -> float:
        """Examples to pass forward (a training example, forward and backward, counts three) in tasks not yet done."""
        return sum(task.effort for task in self.tasks if task.name not in self.done)


def resolve(study: str | Path | Any = "initial-values", options: Mapping[str, Any] | None = None) -> tuple[Study, Any]:
    """A study and its options, from a name, a TOML file, or an instance of a study's options."""
    values = dict(options or {})
    size = values.pop("paper", None)
    if is_dataclass(study) and not isinstance(study, type):
        for entry in known():
            if isinstance(study, entry.options):
                return entry, build(entry.options, values, study)
        raise UsageError(f"{type(study).__name__} is not the options of a study")
    if not isinstance(study, (str, Path)):
        raise UsageError(f"a study is a name, a TOML file or its options, not a {type(study).__name__}")
    if str(study).endswith(".toml"):
        name, content = read_study(Path(study))
        entry = find(name)
        return entry, build(entry.options, values, build(entry.options, content))
    entry = find(str(study))
    return entry, build(entry.options, values, None if size is None else paper(entry.options, size))


def plan(study: str | Path | Any = "initial-values", *, out: str | Path | None = None, **options: Any) -> Plan:
    """What :func:`run` with the same arguments would do. Reads the data, changes nothing."""
    entry, chosen = resolve(study, options)
    tasks = tuple(entry.plan(chosen, Subject.of(chosen)))
    folder = default_folder(entry.name) if out is None else Path(out)
    done: set[str] = set()
    if (folder / "catalogue.sqlite").is_file():
        store = Store(folder, writable=False)
        keys = task_keys(tasks)
        for task in tasks:
            if store.outputs(keys[task.name]) is not None:
                done.add(task.name)
        store.close()
    return Plan(entry.name, chosen, tasks, frozenset(done))


def run(
    study: str | Path | Any = "initial-values",
    *,
    out: str | Path | None = None,
    executor: ExecutorName = "processes",
    workers: int | None = None,
    board: Board | None = None,
    **options: Any,
) -> StudyResult:
    """Run a study, or continue it.

    Parameters
    ----------
    study : its name, a TOML file, or an instance of its options
    out : its folder; default ``runs/<study>``
    executor : "processes" (one for each processor) or "local" (this process); the results are the same
    workers : how many processes
    board : where progress is shown
    options : the study's options; nested ones as mappings or dotted keys (``**{"train.epochs": 3}``). ``paper`` names
        a published experiment whose size the others start from, where the study is given by its name.

    Raises
    ------
    UsageError, DataError, ModelError
        Before anything is computed, for options, data or networks that cannot be used. TaskError: a task failed.
        Interrupted: the user pressed Ctrl-C. StoreError: the folder cannot be used.
    """
    entry, chosen = resolve(study, options)
    check_executor(executor, workers)
    subject = Subject.of(chosen)
    tasks = entry.plan(chosen, subject)
    folder = default_folder(entry.name) if out is None else Path(out)
    _require_own(folder, entry.name)
    with Store(folder) as store:
        if write_study(folder / "study.toml", entry.name, chosen):
            for outdated in ("result.npz", "report.html"):  # of other options; show must not take them for these
                (folder / outdated).unlink(missing_ok=True)
        threads = chosen.threads
        outcome = run_tasks(
            tasks, store, lambda: open_executor(executor, workers=workers, threads=threads), board=board
        )
        result: StudyResult = entry.conclude(chosen, subject, outcome)
        notes = (*result.notes, *outcome.notes)
        result = replace(result, heading=entry.title, source=entry.source, notes=notes)
        result.save(folder / "result.npz")
    return result


def _require_own(folder: Path, name: str) -> None:
    """Raise UsageError where the folder is that of another study, whose result this one would replace."""
    try:
        other, _ = read_study(folder / "study.toml")
    except UsageError:  # none, or not readable: written anew
        return
    if other != name:
        raise UsageError(f"{folder} is the folder of the study {other}; choose another one with --out (out=)")


def load_study(folder: str | Path) -> StudyResult:
    """The result of a finished study. Raises StoreError where there is none yet, UsageError for no folder."""
    path = Path(folder) / "result.npz"
    if not Path(folder).is_dir():
        raise UsageError(f"no such study folder or result file: {folder}")
    if not path.is_file() and not (Path(folder) / "catalogue.sqlite").is_file():
        raise UsageError(f"{folder} is not a study's folder (it has no catalogue.sqlite)")
    if not path.is_file():
        raise StoreError(f"{folder} has no result yet; run or continue the study first (orograph run … --out)")
    return StudyResult.load(path)


def default_folder(study: str) -> Path:
    """Where a study goes unless told otherwise."""
    return Path("runs") / study
