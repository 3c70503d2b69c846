"""Heights on a set of cells: resumable unit by unit, by one process or many, always the same numbers.

A cell is a pair of coefficients, or a given network taken verbatim (its vector is copied, not recomputed: in floating
point A + 1 (B - A) is not B). Each cell is formed from the centre, so cells do not depend on the order in which they
are visited.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from orograph._version import __version__
from orograph.basics.errors import OrographError, TaskError
from orograph.basics.files import atomic_path
from orograph.basics.keys import content_key
from orograph.objective import Measurement, Objective
from orograph.results import Cost
from orograph.weights import Weights

Progress = Callable[[int, int], None]
_PARCELS_PER_WORKER = 4
Values = dict[str, NDArray[Any]]


@dataclass
class Cells:
    """What to evaluate: ``coefficients`` (n, k) of ``directions`` (k tensors of shape (D,)) around ``center``.

    ``verbatim`` maps a cell's index to the (D,) vector of a given network. ``unit`` is how many cells in a row are
    computed, stored and resumed together.
    """

    objective: Objective
    center: Weights
    directions: tuple[Tensor, ...]
    coefficients: NDArray[np.float64]
    verbatim: dict[int, Tensor]
    unit: int

    @property
    def units(self) -> int:
        """How many units there are; the last may be shorter."""
        return -(-len(self.coefficients) // self.unit)

    def key(self) -> str:
        """Equal keys mean equal numbers (on the same hardware with the same number of threads)."""
        return content_key(
            {
                "version": __version__,
                "objective": self.objective.describe(),
                "center": self.center.fingerprint(),
                "directions": [_tensor_hash(direction) for direction in self.directions],
                "coefficients": hashlib.sha256(self.coefficients.tobytes()).hexdigest(),
                "verbatim": {str(index): _tensor_hash(vector) for index, vector in self.verbatim.items()},
                "unit": self.unit,
            }
        )

    def measure(self, index: int) -> Measurement:
        """The height of one cell."""
        if index in self.verbatim:
            return self.objective(self.center.with_vector(self.verbatim[index]))
        steps = [(float(c), d) for c, d in zip(self.coefficients[index], self.directions, strict=True)]
        return self.objective.along(self.center, steps)


def compute_unit(cells: Cells, unit: int) -> Values:
    """Measure the cells of one unit."""
    indices = range(unit * cells.unit, min((unit + 1) * cells.unit, len(cells.coefficients)))
    with cells.objective.session(cells.center):
        return _columns([cells.measure(index) for index in indices])


def compute_units(cells: Cells, units: Sequence[int], folder: Path | None) -> dict[int, Values]:
    """Measure several units and store each as it is done."""
    found = {}
    for unit in units:
        found[unit] = compute_unit(cells, unit)
        if folder is not None:
            _write_unit(folder / _unit_name(unit), found[unit])
    return found


def compute_elsewhere(cells: Cells, units: Sequence[int], folder: Path | None) -> dict[int, Values]:
    """:func:`compute_units` in another process; the user's exceptions come back as text, which survives the way."""
    try:
        return compute_units(cells, units, folder)
    except OrographError:
        raise
    except Exception as error:
        raise TaskError(f"{type(error).__name__}: {error}".split("\n")[0]) from None


def evaluate(
    cells: Cells,
    *,
    executor: Executor | None = None,
    partial: Path | None = None,
    units: Iterable[int] | None = None,
    progress: Progress | None = None,
) -> Values:
    """All cells' values as arrays of shape (n,), with ``computed`` False where a unit was not asked for.

    ``partial`` is a folder in which finished units are kept until all are there, so that an interrupted evaluation
    continues; it is the caller's to remove. ``executor`` computes units elsewhere; results are the same.
    """
    wanted = sorted(set(range(cells.units) if units is None else units))
    folder = None if partial is None else Path(partial) / f"cells-{cells.key()}"
    found: dict[int, Values] = {}
    for unit in wanted:
        stored = None if folder is None else _read_unit(folder / _unit_name(unit))
        if stored is not None:
            found[unit] = stored
    done = len(found)
    if progress:
        progress(done, len(wanted))

    def keep(values: dict[int, Values]) -> None:
        nonlocal done
        found.update(values)
        done += len(values)
        if progress:
            progress(done, len(wanted))

    missing = [unit for unit in wanted if unit not in found]
    if executor is None:
        with cells.objective.session(cells.center):
            for unit in missing:
                keep(compute_units(cells, [unit], folder))
    else:
        # A few parcels for each worker: every one carries the network and the data with it.
        parcels = _PARCELS_PER_WORKER * int(getattr(executor, "_max_workers", 1))
        shares = [missing[start::parcels] for start in range(min(parcels, len(missing)))]
        for future in as_completed([executor.submit(compute_elsewhere, cells, share, folder) for share in shares]):
            values = future.result()
            keep(values)
            counts = sum(int(columns["n_examples"].sum()) for columns in values.values())
            objective = cells.objective  # the work was done elsewhere; it is still this objective's cost
            objective.cost += Cost(forward=counts)
    return _assembled(found, cells)


def _unit_name(unit: int) -> str:
    return f"unit-{unit:05d}.npz"


def _columns(measurements: Sequence[Measurement]) -> Values:
    first = measurements[0]
    columns: Values = {
        "loss": np.array([m.loss for m in measurements]),
        "loss_se": np.array([m.loss_se for m in measurements]),
        "n_examples": np.array([m.n_examples for m in measurements], dtype=np.int64),
    }
    if first.accuracy is not None:
        columns["accuracy"] = np.array([m.accuracy for m in measurements], dtype=np.float64)
        columns["accuracy_se"] = np.array([m.accuracy_se for m in measurements], dtype=np.float64)
    for name in first.metrics:
        columns[f"metric:{name}"] = np.array([m.metrics[name] for m in measurements])
    return columns


def _assembled(found: dict[int, Values], cells: Cells) -> Values:
    count = len(cells.coefficients)
    values: Values = {"computed": np.zeros(count, dtype=np.bool_)}
    for unit, columns in found.items():
        place = slice(unit * cells.unit, unit * cells.unit + len(columns["loss"]))
        values["computed"][place] = True
        for name, column in columns.items():
            if name not in values:
                values[name] = np.zeros(count, dtype=column.dtype)
            values[name][place] = column
    for name in ("loss", "loss_se", "n_examples"):
        values.setdefault(name, np.zeros(count, dtype=np.int64 if name == "n_examples" else np.float64))
    return values


def _write_unit(path: Path, values: Values) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **values)


def _read_unit(path: Path) -> Values | None:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, BadZipFile):  # missing or damaged: it is computed (again)
        return None


def _tensor_hash(tensor: Tensor) -> str:
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.sha256(flat.numpy().data).hexdigest()
