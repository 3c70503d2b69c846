"""Runs read back from their folders, whoever trained them.

A recording (see :mod:`orograph.train.recorder`) is::

    recording.json      format, name and network
    rows.jsonl          one JSON object a call: epoch, step, metrics, and the file of the checkpoint if kept
    checkpoints/step-00000003.safetensors

A line is appended when its checkpoint is on disk; a last line that was cut short by a crash is left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from orograph.basics.errors import StoreError, UsageError
from orograph.results import Checkpoint, Provenance, Run
from orograph.train.folder import RECORDING, RunFolder
from orograph.train.history import METRICS, History

RECORDING_FORMAT = "orograph-recording-1"


def load_run(path: str | Path) -> Run:
    """The run in a folder of ``fit`` (``out=``) or of a ``Recorder``.

    Of a run that has not ended, what its latest snapshot knows. Checkpoints come with paths that can be opened.

    Raises
    ------
    StoreError
        The folder holds no run, nothing to show yet, or damaged files.
    """
    path = Path(path)
    if not path.is_dir():
        raise UsageError(f"no such folder of a run: {path}")
    if (path / RECORDING).exists():
        return recorded_run(path)
    if not (path / "run.json").exists():
        raise StoreError(f"{path} holds no run; give the out folder of a training, or that of a Recorder")
    folder = RunFolder(path)
    request = folder.request()
    finished = folder.finished()
    if finished is not None:
        return finished
    for _, state in folder.snapshots():
        history = History.from_state(state["history"])
        provenance = Provenance(
            method="training, unfinished",
            options={"recipe": request["recipe"], "loss": request["loss"], "start": request["start"]},
            seeds=request["streams"],
            model=request["network"],
            split="train",
            fingerprint=request["training data"],
            precision=request["recipe"]["precision"],
        )
        return history.run(
            name=path.name,
            recipe=request["recipe"],
            seeds=request["streams"],
            provenance=provenance,
            checkpoints=folder.resolved(history.checkpoints),
        )
    raise StoreError(f"{path} holds a run that was stopped before its first snapshot; train it again to continue")


def recorded_run(path: Path) -> Run:
    """The run in a ``Recorder``'s folder. Raises StoreError where it is damaged."""
    header = read_recording(path)
    rows = read_rows(path)
    if not rows:
        raise StoreError(f"{path} records nothing yet")
    history = History()
    for row in rows:
        history.add(row["epoch"], row["step"], **{name: row.get(name) for name in METRICS})
        if "file" in row:
            file = str(path / row["file"])
            history.checkpoints.append(Checkpoint(row["epoch"], row["step"], file, row.get("test_accuracy")))
    provenance = Provenance(method="recorded training", model=header["network"])
    return history.run(name=header["name"], recipe={}, seeds={}, provenance=provenance)


def read_recording(path: Path) -> dict[str, Any]:
    """The header of a recording. Raises StoreError where it is damaged."""
    try:
        header = json.loads((path / RECORDING).read_text(encoding="utf-8"))
        if header["format"] != RECORDING_FORMAT:
            raise ValueError(f"its format is {header['format']!r}")
        return {"name": str(header["name"]), "network": str(header["network"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path / RECORDING} is damaged or of another version ({error})") from error


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The complete rows of a recording, none where it has no file of rows. Raises StoreError on a damaged one."""
    file = path / "rows.jsonl"
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise StoreError(f"{file} cannot be read ({error})") from error
    complete = text.split("\n")[:-1]  # what follows the last line break is empty, or was cut short
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(complete, start=1):
        try:
            row = json.loads(line)
            rows.append({**row, "epoch": float(row["epoch"]), "step": int(row["step"])})
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{file}, line {number}, is damaged ({error})") from error
    return rows
