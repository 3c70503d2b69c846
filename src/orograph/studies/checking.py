"""Whether a study's folder is sound: every hash, every reference, and what killed runs left behind.

Checking changes nothing. Repairing forgets the tasks whose files are damaged or gone, removes what nothing refers to,
and leaves the rest to an ordinary run, which computes again what is missing.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from orograph.basics.errors import OrographError, UsageError
from orograph.results import StudyResult
from orograph.store import Store
from orograph.studies.options import read_study


@dataclass(frozen=True)
class Health:
    """What a check found.

    ``wrong`` holds a line for each thing that is not as it should be, ``remarks`` for what is merely worth knowing.
    ``damaged`` are the keys of tasks to compute again; ``lost_catalogue`` says that it cannot be read at all.
    ``strays`` are files that nothing refers to.
    """

    folder: Path
    tasks: int
    files: int
    size: int
    wrong: tuple[str, ...]
    remarks: tuple[str, ...]
    damaged: tuple[str, ...] = ()
    strays: tuple[Path, ...] = ()
    lost_catalogue: bool = False

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong

    def summary(self) -> str:
        """Lines in words."""
        held = f"{self.folder}: {self.tasks} tasks, {self.files} files, {self.size / 2**20:.1f} MiB"
        verdict = "sound" if self.sound else f"{len(self.wrong)} thing{'s' * (len(self.wrong) > 1)} wrong"
        return "\n".join([f"{held}: {verdict}", *self.wrong, *(f"note: {remark}" for remark in self.remarks)])


def check(folder: str | Path) -> Health:
    """Verify a study's folder. Raises UsageError where it is none."""
    folder = Path(folder)
    if not (folder / "catalogue.sqlite").is_file():
        raise UsageError(f"{folder} is not a study's folder (it has no catalogue.sqlite)")
    wrong, remarks = _beside(folder)
    try:
        store = Store(folder, writable=False)
    except OrographError as error:
        return Health(folder, 0, 0, 0, (str(error), *wrong), tuple(remarks), lost_catalogue=True)
    try:
        broken = [f"catalogue.sqlite: {line}" for line in store.catalogue.check()]
        if broken:
            return Health(folder, 0, 0, 0, (*broken, *wrong), tuple(remarks), lost_catalogue=True)
        rows = store.catalogue.everything()
        tasks = len(store.catalogue.tasks())
        damaged: dict[str, None] = {}
        named = set()
        size = 0
        for key, name, output in rows:
            path = store.path(output)
            named.add(path)
            size += output.bytes
            problem = store.problem(output)
            if problem:
                wrong.append(f"task {name!r}: {path.relative_to(folder)} {problem}")
                damaged[key] = None
    except OrographError as error:
        return Health(folder, 0, 0, 0, (str(error), *wrong), tuple(remarks), lost_catalogue=True)
    finally:
        store.close()
    strays = [path for path in (folder / "objects").glob("*/*") if path not in named]
    strays += [path for path in folder.rglob(".*.tmp*") if "partial" not in path.relative_to(folder).parts]
    if strays:
        remarks.append(f"{len(strays)} files that nothing refers to, left by a run that was killed")
    return Health(folder, tasks, len(named), size, tuple(wrong), tuple(remarks), tuple(damaged), tuple(strays))


def prepare_repair(health: Health) -> None:
    """Take away what is damaged, so that running the study again makes the folder whole.

    A catalogue that cannot be read is moved aside, and all tasks are computed again. Raises StoreError where another
    process works on the folder or it cannot be written.
    """
    folder = health.folder
    if health.lost_catalogue:
        for name in ("catalogue.sqlite-wal", "catalogue.sqlite-shm"):
            (folder / name).unlink(missing_ok=True)
        (folder / "catalogue.sqlite").replace(folder / "catalogue.sqlite.damaged")
        (folder / "lock").touch()  # marks the folder as a study's
        shutil.rmtree(folder / "objects", ignore_errors=True)  # nobody knows any more what they are
    with Store(folder) as store:
        for key in health.damaged:
            store.catalogue.forget(key)
    sweep(health)
    if _result_problem(folder):
        (folder / "result.npz").unlink()


def sweep(health: Health) -> None:
    """Remove the files that nothing refers to."""
    with Store(health.folder):  # its lock: a run that goes on may be about to refer to them
        for path in health.strays:
            path.unlink(missing_ok=True)


def _beside(folder: Path) -> tuple[list[str], list[str]]:
    """What is wrong, and what is worth knowing, of the files beside catalogue and objects."""
    wrong, remarks = [], []
    try:
        read_study(folder / "study.toml")
    except OrographError as error:
        wrong.append(f"study.toml: {error}; write it anew (a copy of it may be anywhere), --repair needs it")
    if (folder / "result.npz").is_file():
        problem = _result_problem(folder)
        if problem:
            wrong.append(problem)
        elif not (folder / "report.html").is_file():
            wrong.append("report.html is gone")
    else:
        remarks.append("the study is not finished: there is no result yet")
    in_hand = len(list((folder / "partial").glob("*")))
    if in_hand:
        remarks.append(f"work in hand of {in_hand} tasks: a run goes on, or was stopped and can be continued")
    return wrong, remarks


def _result_problem(folder: Path) -> str | None:
    path = folder / "result.npz"
    if not path.is_file():
        return None
    try:
        StudyResult.load(path)
    except OrographError as error:
        return str(error)
    return None
