"""Whether a study's folder is sound: every hash, every reference, and what killed runs left behind.

Checking changes nothing. Repairing forgets the tasks whose files are damaged or gone, removes what nothing refers to,
and leaves the rest to an ordinary run, which computes again what is missing.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from orograph.basics.errors import DamagedCatalogue, OrographError, UsageError
from orograph.results import StudyResult
from orograph.store import Store
from orograph.studies.options import read_study

_OURS = re.compile(r"[0-9a-f]{32,}\.\w+")  # named by a hash


@dataclass(frozen=True)
class Health:
    """What a check found.

    ``wrong`` holds a line for each thing that is not as it should be, ``remarks`` for what is merely worth knowing.
    ``damaged`` are the keys of tasks to compute again; ``lost_catalogue`` says that it cannot be read at all, and
    ``lost_options`` that the study's options cannot, without which nothing can be computed again. ``strays`` are files
    that nothing refers to.
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
    lost_options: bool = False

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
    has_catalogue = (folder / "catalogue.sqlite").is_file()
    if not has_catalogue and not ((folder / "study.toml").is_file() and (folder / "objects").is_dir()):
        raise UsageError(f"{folder} is not a study's folder (it has no catalogue.sqlite)")
    wrong, remarks = _beside(folder)
    lost_options = any(line.startswith("study.toml") for line in wrong)

    def without_catalogue(why: str) -> Health:
        notes = ("without its catalogue, --repair computes every task again", *remarks)
        return Health(folder, 0, 0, 0, (why, *wrong), notes, lost_catalogue=True, lost_options=lost_options)

    if not has_catalogue:
        return without_catalogue("catalogue.sqlite is gone")
    store = None
    try:
        store = Store(folder, writable=False)
        broken = store.catalogue.check()
        if broken:
            return without_catalogue(f"catalogue.sqlite: {broken[0]}")
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
    except DamagedCatalogue:
        return without_catalogue("catalogue.sqlite is damaged")
    finally:
        if store is not None:
            store.close()
    unknown = [path for path in (folder / "objects").rglob("*") if path.is_file() and path not in named]
    strays = [path for path in unknown if _OURS.fullmatch(path.name)]
    foreign = [str(path.relative_to(folder)) for path in unknown if path not in strays]
    strays += [path for path in folder.rglob(".*.tmp*") if "partial" not in path.relative_to(folder).parts]
    if strays:
        remarks.append(f"{len(strays)} files that nothing refers to, left by a run that was killed")
    if foreign:
        others = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        remarks.append(f"not orograph's, and left alone: {min(foreign)}{others}")
    return Health(
        folder,
        tasks,
        len(named),
        size,
        tuple(wrong),
        tuple(remarks),
        tuple(damaged),
        tuple(strays),
        lost_options=lost_options,
    )


def prepare_repair(health: Health) -> None:
    """Take away what is damaged, so that running the study again makes the folder whole.

    A catalogue that cannot be read is moved aside, and all tasks are computed again. Raises StoreError where another
    process works on the folder or it cannot be written.
    """
    folder = health.folder
    if health.lost_catalogue:
        for name in ("catalogue.sqlite-wal", "catalogue.sqlite-shm"):
            (folder / name).unlink(missing_ok=True)
        if (folder / "catalogue.sqlite").is_file():
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
        wrong.append(f"study.toml: {error}; put a copy of it back, or write it anew")
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
