"""Heights on a set of cells: resumable unit by unit, by one process or many, always the same numbers.

A cell is a pair of coefficients, or a given network taken verbatim (its vector is copied, not recomputed: in floating
point A + 1 (B - A) is not B). Each cell is formed from the centre, so cells do not depend on the order in which they
are visited.

Where heights are sampled (the objective has a tolerance), a coarse lattice of reference cells is read thoroughly
first; the examples' losses there tell most of those of the cells between, which then need few examples
(see :mod:`orograph.objective.controls`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass, field, replace
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
from orograph.landscape.lattice import coarse_lattice, nearest_on
from orograph.objective import Controls, Measurement, Objective
from orograph.results import Cost
from orograph.weights import Direction, Weights, chunks

Progress = Callable[[int, int], None]
_PARCELS_PER_WORKER = 4
_BATCHES_WORTH_SAMPLING = 4
Values = dict[str, NDArray[Any]]


@dataclass
class Cells:
    """What to evaluate: ``coefficients`` (n, k) of ``directions`` (k tensors of shape (D,)) around ``center``.

    ``verbatim`` maps a cell's index to the (D,) vector of a given network. ``unit`` is how many cells in a row are
    computed, stored and resumed together. ``shape`` is that of the lattice the cells form, the last axis running
    fastest. ``thorough`` cells read all examples and keep each one's loss; ``known`` holds such cells' measurements by
    index, and the others lean on them.
    """

    objective: Objective
    center: Weights
    directions: tuple[Direction, ...]
    coefficients: NDArray[np.float64]
    verbatim: dict[int, Tensor]
    unit: int
    shape: tuple[int, ...]
    thorough: bool = False
    known: dict[int, Measurement] = field(default_factory=dict)

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
                "directions": [_hash(direction) for direction in self.directions],
                "coefficients": hashlib.sha256(self.coefficients.tobytes()).hexdigest(),
                "verbatim": {str(index): _hash(vector) for index, vector in self.verbatim.items()},
                "unit": self.unit,
                "shape": list(self.shape),
                "thorough": self.thorough,
            }
        )

    def measure(self, index: int) -> Measurement:
        """The height of one cell."""
        if index in self.known:
            return self.known[index]
        how: dict[str, Any] = {"keep_examples": self.thorough, "thorough": self.thorough}
        if self.known:
            how["controls"] = Controls.of(
                [self.known[other] for other in nearest_on(self.shape, index, list(self.known))]
            )
        if index in self.verbatim:
            return self.objective(self.center.with_vector(self.verbatim[index]), **how)
        steps = [(float(c), d) for c, d in zip(self.coefficients[index], self.directions, strict=True)]
        return self.objective.along(self.center, steps, **how)

    def references(self) -> list[int]:
        """The cells to read thoroughly before the others; none where nothing is sampled or it would not pay."""
        objective = self.objective
        if not objective.settings.tolerance or self.thorough:
            return []
        if len(objective.split) <= _BATCHES_WORTH_SAMPLING * objective.settings.batch_size:
            return []
        found = coarse_lattice(self.shape)
        return found if len(found) <= len(self.coefficients) // 3 else []

    def only(self, chosen: Sequence[int]) -> Cells:
        """The ``chosen`` cells by themselves, one to a unit, to be read thoroughly."""
        return replace(
            self,
            coefficients=self.coefficients[list(chosen)],
            verbatim={place: self.verbatim[index] for place, index in enumerate(chosen) if index in self.verbatim},
            unit=1,
            shape=(len(chosen),),
            thorough=True,
        )


def compute_unit(cells: Cells, unit: int) -> Values:
    """Measure the cells of one unit."""
    indices = range(unit * cells.unit, min((unit + 1) * cells.unit, len(cells.coefficients)))
    with cells.objective.session(cells.center):
        return _columns([cells.measure(index) for index in indices], with_examples=cells.thorough)


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
    continues; it is the caller's to remove. ``executor`` computes units elsewhere; results are the same. Reference
    cells are measured first, whichever units are asked for, so that a unit's numbers do not depend on the others.
    """
    wanted = sorted(set(range(cells.units) if units is None else units))
    references = cells.references() if wanted else []
    whole = len(references) + len(wanted)
    if references:
        read = _evaluate(cells.only(references), range(len(references)), executor, partial, _part(progress, 0, whole))
        cells = replace(cells, known=dict(zip(references, _measurements(read), strict=True)))
    return _evaluate(cells, wanted, executor, partial, _part(progress, len(references), whole))


def _evaluate(
    cells: Cells, wanted: Sequence[int], executor: Executor | None, partial: Path | None, progress: Progress | None
) -> Values:
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


def _part(progress: Progress | None, ahead: int, whole: int) -> Progress | None:
    """``progress`` of a part of the work, before which ``ahead`` of the ``whole`` was done."""
    return None if progress is None else lambda done, _: progress(ahead + done, whole)


def _unit_name(unit: int) -> str:
    return f"unit-{unit:05d}.npz"


def _columns(measurements: Sequence[Measurement], *, with_examples: bool) -> Values:
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
    for name in ("losses", "hits") if with_examples else ():
        if getattr(first, name) is not None:
            columns[name] = np.stack([getattr(m, name) for m in measurements]).astype(np.float32)
    return columns


def _measurements(values: Values) -> list[Measurement]:
    """What :func:`_columns` was made of, thorough cells all."""

    def pick(name: str, index: int) -> Any:
        return values[name][index] if name in values else None

    metrics = [name for name in values if name.startswith("metric:")]
    return [
        Measurement(
            loss=float(values["loss"][i]),
            loss_se=float(values["loss_se"][i]),
            n_examples=int(values["n_examples"][i]),
            exact=True,
            accuracy=pick("accuracy", i),
            accuracy_se=pick("accuracy_se", i),
            metrics={name.removeprefix("metric:"): float(values[name][i]) for name in metrics},
            losses=pick("losses", i),
            hits=pick("hits", i),
        )
        for i in range(len(values["loss"]))
    ]


def _assembled(found: dict[int, Values], cells: Cells) -> Values:
    count = len(cells.coefficients)
    values: Values = {"computed": np.zeros(count, dtype=np.bool_)}
    for unit, columns in found.items():
        place = slice(unit * cells.unit, unit * cells.unit + len(columns["loss"]))
        values["computed"][place] = True
        for name, column in columns.items():
            if name not in values:
                values[name] = np.zeros((count, *column.shape[1:]), dtype=column.dtype)
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


def _hash(direction: Direction) -> str:
    digest = hashlib.sha256()
    for part in chunks(direction.numel()):
        digest.update(direction[part].detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
