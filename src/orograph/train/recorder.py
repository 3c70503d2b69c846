"""``Recorder``: keep the checkpoints and metrics of a training loop that is not orograph's.

Each call of ``step`` costs one copy of the network and one file where a checkpoint is due, and one line of JSON.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import nn

from orograph.basics.errors import StoreError, UsageError, nearest
from orograph.basics.files import explained, write_atomic
from orograph.results import Run
from orograph.train.folder import RECORDING
from orograph.train.history import METRICS
from orograph.train.reading import RECORDING_FORMAT, read_recording, read_rows, recorded_run
from orograph.weights import Weights

_COMPUTED = (
    "weight_norm",
    "distance_from_start",
    "distance_from_cycles",
)  # by the recorder, wherever it keeps a checkpoint


class Recorder:
    """Record the training of ``model`` in the folder ``path``; :func:`load_run` reads it back as a ``Run``.

    The network as it stands is recorded at once, as row 0, so make the recorder before the first step. A folder that
    holds a recording of the same architecture is continued: calls append to it, and a call for an epoch that is
    already there replaces it and what follows (a loop that was resumed from an earlier checkpoint).

    Parameters
    ----------
    every : keep a checkpoint at each ``every``-th call of :meth:`step`; the last one is kept when the recorder closes
    name : what the run is called in tables and figures; default: the folder's name

    Raises
    ------
    WeightsError
        The folder records another architecture. StoreError: it holds something else, or cannot be written.

    Examples
    --------
    >>> with Recorder("runs/mine", model) as recorder:               # doctest: +SKIP
    ...     for epoch in range(1, 31):
    ...         loss = train_one_epoch(model)
    ...         recorder.step(epoch, loss, test_accuracy=evaluate(model))
    """

    def __init__(self, path: str | Path, model: nn.Module, every: int = 1, *, name: str | None = None) -> None:
        if every < 1:
            raise UsageError(f"every must be at least 1 call, not {every}")
        self.path = Path(path)
        self.model = model
        self.every = every
        self._closed = False
        if (self.path / RECORDING).exists():
            read_recording(self.path)
            self._rows = read_rows(self.path)
            self._origin = self._opened()
        elif (self.path / "run.json").exists():
            raise StoreError(f"{self.path} is the folder of a training run of orograph's own; choose another one")
        else:
            self._rows = []
            self._origin = Weights.of(model).to("cpu")
        if not self._rows:
            (self.path / "rows.jsonl").unlink(missing_ok=True)
            header = {"format": RECORDING_FORMAT, "name": name or self.path.name, "network": type(model).__name__}
            write_atomic(self.path / RECORDING, json.dumps(header, indent=1) + "\n")
            self._append({"epoch": 0.0, "step": 0, **self._kept(0)})
        else:
            self._rewrite()  # without a last line that was cut short

    def step(self, epoch: float | None = None, loss: float | None = None, **metrics: float) -> None:
        """Record the network as it is now.

        ``epoch`` defaults to the number of calls; ``loss`` is the training loss. Further metrics are
        ``train_accuracy``, ``test_loss``, ``test_accuracy``, ``learning_rate`` and ``gradient_norm``; what is not
        given is NaN in the run. Raises UsageError for another metric or after :meth:`close`.
        """
        if self._closed:
            raise UsageError("this recorder is closed; make another one on the same folder to continue")
        allowed = [metric for metric in METRICS if metric not in _COMPUTED]
        for metric in metrics:
            if metric not in allowed:
                raise UsageError(f"unknown metric {metric!r}{nearest(metric, allowed)}; use {', '.join(allowed)}")
        if loss is not None:
            metrics["train_loss"] = loss
        if epoch is not None and self._rows[-1]["epoch"] >= epoch:
            if epoch <= self._rows[0]["epoch"]:
                raise UsageError(f"epoch {epoch:g} is not after the start; count epochs from 1")
            self._rows = [row for row in self._rows if row["epoch"] < epoch]
            self._rewrite()
        number = self._rows[-1]["step"] + 1
        row = {"epoch": float(number if epoch is None else epoch), "step": number}
        row |= {metric: float(value) for metric, value in metrics.items()}
        if number % self.every == 0:
            row |= self._kept(number)
        self._append(row)

    def run(self) -> Run:
        """What is recorded so far."""
        return recorded_run(self.path)

    def close(self) -> None:
        """Keep the last recorded moment too, if ``every`` passed it over. Closing twice is allowed."""
        if not self._closed and "file" not in self._rows[-1]:
            self._rows[-1] |= self._kept(self._rows[-1]["step"])
            self._rewrite()
        self._closed = True

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self) -> Weights:
        """The recorded start, once the present network is found to be of its architecture."""
        present = Weights.of(self.model).to("cpu")
        if not self._rows:
            return present
        origin = Weights.load(self.path / self._rows[0]["file"])
        present.layout.require_same(origin.layout)
        return origin

    def _kept(self, number: int) -> dict[str, Any]:
        """Write a checkpoint, then say where it is: a row never names a file that is not there."""
        weights = Weights.of(self.model).to("cpu")
        file = f"checkpoints/step-{number:08d}.safetensors"
        weights.save(self.path / file)
        return {"file": file, "weight_norm": weights.norm(), "distance_from_start": weights.distance(self._origin)}

    def _append(self, row: dict[str, Any]) -> None:
        path = self.path / "rows.jsonl"
        with explained(path), path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self._rows.append(row)

    def _rewrite(self) -> None:
        write_atomic(self.path / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in self._rows))
