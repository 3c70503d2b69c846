"""The folder of one run.

::

    run.json                                what the run was asked to be: options, seeds, fingerprints
    checkpoints/step-00000391.safetensors   the weights at one step (see orograph.weights.files)
    snapshots/step-00000391.safetensors     the full state, the two latest; gone once the run has ended
    run.npz                                 the finished Run; checkpoints are named relative to the folder

Each file is either whole or absent. A folder belongs to one request: another one is refused, not mixed in.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from orograph.basics.errors import StoreError
from orograph.basics.files import write_atomic
from orograph.basics.keys import content_key, plain
from orograph.results import Checkpoint, Run
from orograph.train.snapshot import read_snapshot, write_snapshot
from orograph.weights import Weights

FORMAT = "orograph-run-1"
RECORDING = "recording.json"  # the mark of a Recorder's folder
_KEPT = 2


class RunFolder:
    """``path``, which need not exist yet, as the home of one run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def claim(self, request: dict[str, Any]) -> None:
        """Make the folder that of ``request`` (JSON types), or check that it is already.

        Raises
        ------
        StoreError
            It is the folder of another request (the first difference is named), or its ``run.json`` is damaged.
        """
        manifest = self.path / "run.json"
        wanted = plain(request)
        begun = (self.path / "run.npz").exists() or any(self.path.glob("*/step-*.safetensors"))
        if not (begun and manifest.exists()):  # a request that failed before its first checkpoint binds nobody
            if (self.path / RECORDING).exists():
                raise StoreError(f"{self.path} is the folder of a Recorder; choose another one")
            text = {"format": FORMAT, "key": content_key(wanted), "request": wanted}
            write_atomic(manifest, json.dumps(text, indent=1) + "\n")
            return
        found = self.request()
        if content_key(found) != content_key(wanted):
            place, old, new = _difference(found, wanted)
            raise StoreError(
                f"{self.path} holds a run with another {place} ({old} there, {new} here); "
                "choose another folder, or remove this one to train again"
            )

    def request(self) -> dict[str, Any]:
        """What the folder was claimed for. Raises StoreError where that cannot be read."""
        manifest = self.path / "run.json"
        try:
            content = json.loads(manifest.read_text())
            request: dict[str, Any] = content["request"]
            if content["format"] != FORMAT or content_key(request) != content["key"]:
                raise ValueError("another format, or edited")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{manifest} is damaged ({error}); remove the folder to train again") from error
        return request

    def finished(self) -> Run | None:
        """The finished run, its checkpoints found in this folder; None (with a warning if it is damaged) if none."""
        path = self.path / "run.npz"
        if not path.exists():
            return None
        try:
            run = Run.load(path)
        except StoreError as error:
            _report(str(error))
            return None
        missing = [c.path for c in run.checkpoints if not (self.path / str(c.path)).is_file()]
        if missing:
            _report(f"{self.path} lacks the checkpoint {missing[0]}; training again from the latest snapshot")
            return None
        return replace(run, checkpoints=tuple(self.resolved(list(run.checkpoints))))

    def resolved(self, checkpoints: list[Checkpoint]) -> list[Checkpoint]:
        """The same checkpoints with paths that open from anywhere the folder does."""
        return [replace(c, path=str(self.path / str(c.path))) for c in checkpoints]

    def finish(self, run: Run) -> Run:
        """Write the finished run (its checkpoints relative to the folder) and drop the snapshots."""
        run.save(self.path / "run.npz")
        shutil.rmtree(self.path / "snapshots", ignore_errors=True)
        for left_behind in self.path.glob("**/.*.tmp*"):  # by a process that was killed while it wrote
            left_behind.unlink(missing_ok=True)
        return replace(run, checkpoints=tuple(self.resolved(list(run.checkpoints))))

    def keep(self, weights: Weights, step: int) -> str:
        """Write a checkpoint; returns its path relative to the folder."""
        name = f"checkpoints/step-{step:08d}.safetensors"
        weights.save(self.path / name)
        return name

    def save_snapshot(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Write a snapshot of ``state["step"]``, then remove all but the two latest."""
        write_snapshot(self.path / f"snapshots/step-{state['step']:08d}.safetensors", tensors, state)
        for old in self._snapshots()[_KEPT:]:
            old.unlink(missing_ok=True)

    def snapshots(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Any]]]:
        """Usable snapshots, the latest first; a damaged one is reported as a warning and passed over."""
        for path in self._snapshots():
            try:
                tensors, state = read_snapshot(path)
                missing = [kept[2] for kept in state["history"]["checkpoints"] if not (self.path / kept[2]).is_file()]
                if missing:
                    raise StoreError(f"{path} needs the checkpoint {missing[0]}, which is missing")
            except StoreError as error:
                _report(f"{error}; going back to the one before it, or to the start")
                continue
            yield tensors, state

    def _snapshots(self) -> list[Path]:
        return sorted(self.path.glob("snapshots/step-*.safetensors"), reverse=True)


def _report(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=3)


def _difference(old: Any, new: Any, place: str = "") -> tuple[str, Any, Any]:
    """The first place where two requests differ, in words, and what stands there in each."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*new, *(name for name in old if name not in new)]:
            if old.get(name) != new.get(name):
                return _difference(old.get(name), new.get(name), f"{place}.{name}".lstrip("."))
    return place, old, new
