"""``orograph run [STUDY|study.toml]``: run a study, or continue it, and write its report."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from orograph.basics.errors import StoreError, UsageError
from orograph.basics.progress import duration, open_board
from orograph.cli.output import parse, tell
from orograph.cli.stdout import deliver
from orograph.results import StudyResult
from orograph.studies.options import build, paper, read_study
from orograph.studies.registry import DEFAULT, find


@dataclass(frozen=True)
class RunOptions:
    """How a study is run; none of these changes its numbers."""

    out: Path | None = None
    """Folder of the study; the same folder again continues. Default: runs/STUDY."""
    executor: Literal["local", "processes"] = "processes"
    """Where tasks run: in this process, or in one for each processor."""
    workers: int | None = None
    """How many processes."""
    paper: str | None = None
    """Start from the size of a published experiment: its data, network and training."""
    json: bool = False
    """Print one JSON object on stdout: study, claims, cost, report."""
    dry_run: bool = False
    """Only tell what would be done, and what it would cost."""
    quiet: bool = False
    """No progress on stderr."""


def main(words: list[str]) -> None:
    """Parse ``[STUDY|study.toml] [flags]`` and run."""
    name: str = DEFAULT
    given: dict[str, Any] = {}
    if words and not words[0].startswith("-"):
        name = words.pop(0)
        if name.endswith(".toml"):
            name, given = read_study(Path(name))
    study = find(name)
    size = _paper_size(words)
    if size is not None and given:
        raise UsageError("a study file has options of its own; leave --paper out, or name the study instead")
    default = build(study.options, given) if size is None else paper(study.options, size)
    options, how = _parse(study.options, words, study.name, default)
    _run(study.name, options, how)


def _paper_size(words: list[str]) -> str | None:
    """What --paper says; needed before the other flags are read, as it changes their defaults."""
    for at, word in enumerate(words):
        if word == "--paper" and at + 1 < len(words):
            return words[at + 1]
        if word.startswith("--paper="):
            return word.removeprefix("--paper=")
    return None


def _parse(cls: type[Any], words: list[str], name: str, default: Any) -> tuple[Any, RunOptions]:
    """A study's options and those of the run as one flat set of flags."""
    both = _merged(cls)
    start = both(**{f.name: getattr(default, f.name) for f in dataclasses.fields(cls)})
    found = parse(both, words, f"run {name}", start)
    how = RunOptions(**{f.name: getattr(found, f.name) for f in dataclasses.fields(RunOptions)})
    return cls(**{f.name: getattr(found, f.name) for f in dataclasses.fields(cls)}), how


def _merged(cls: type[Any]) -> type[Any]:
    """A dataclass with the fields, and their help texts, of both; inheritance keeps the attribute docstrings."""

    @dataclass(frozen=True, kw_only=True)
    class Merged(RunOptions, cls):  # type: ignore[misc]
        pass

    about = (
        'A TOML file may stand in place of the name: orograph run study.toml, with study = "…" and any option below as'
    )
    papers = f" Sizes for --paper: {', '.join(getattr(cls, 'papers', ()))}."
    where = f"{about} a key; those with a dot belong to tables, e.g. epochs under [train]."
    Merged.__doc__ = f"{cls.__doc__}\n\n{where}{papers}"
    return Merged


def _run(name: str, options: Any, how: RunOptions) -> None:
    from orograph import studies

    folder = how.out or Path("runs") / name
    if how.dry_run:
        _tell_plan(studies.plan(options, out=folder), folder, as_json=how.json)
        return
    result = run_and_report(options, folder, how)
    if how.json:
        deliver(result.to_dict())
    else:
        print(result.summary())
        for note in result.notes:
            print(f"note: {note}")
        print(f"report: {result.report}")
    cost = result.provenance.cost
    tell(f"computing took {duration(cost.cpu_seconds)} of processor time in all", quiet=how.quiet)


def run_and_report(options: Any, folder: Path, how: RunOptions) -> StudyResult:
    """Run a study, or continue it, and write its page where that would say something new."""
    from orograph import studies

    board = open_board(quiet=how.quiet)
    page = folder / "report.html"
    before = _finished(folder) if page.is_file() else None
    result = studies.run(options, out=folder, executor=how.executor, workers=how.workers, board=board)
    if (
        before is None or not page.is_file() or not result.equals(before)
    ):  # the page takes a while, and this one says the same
        from orograph import report

        report.write(result, page)
    result = dataclasses.replace(result, report=str(page))
    result.save(folder / "result.npz")
    return result


def _finished(folder: Path) -> StudyResult | None:
    """The result that the folder's page shows, if it can be read."""
    try:
        return StudyResult.load(folder / "result.npz")
    except StoreError:
        return None


def _tell_plan(plan: Any, folder: Path, *, as_json: bool) -> None:
    left = [task for task in plan.tasks if task.name not in plan.done]
    if as_json:
        rows = [{"task": t.name, "done": t.name in plan.done, "examples": round(t.effort)} for t in plan.tasks]
        deliver({"study": plan.study, "out": str(folder), "tasks": rows, "examples": round(plan.effort)})
        return
    for task in plan.tasks:
        mark = "done" if task.name in plan.done else f"{task.effort:12,.0f}"
        print(f"{mark:>12}  {task.name}")
    print(
        f"{len(left)} of {len(plan.tasks)} tasks to do in {folder}: {plan.effort:,.0f} examples to pass forward "
        "(a training example, forward and backward, counts three)"
    )
