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

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from orograph._version import __version__
from orograph.basics.errors import OrographError, TaskError, in_a_line
from orograph.basics.keys import content_key
from orograph.landscape.lattice import coarse_lattice, nearest_on
from orograph.landscape.units import Values, assembled, columns_of, measurements_of, read_unit, unit_name, write_unit
from orograph.objective import Calibration, Controls, Measurement, Objective, calibrate
from orograph.results import Cost
from orograph.weights import Direction, Weights, chunks

Progress = Callable[[int, int], None]
_PARCELS_PER_WORKER = 4
_BATCHES_WORTH_SAMPLING = 4


@dataclass
class Cells:
    """What to evaluate: ``coefficients`` (n, k) of ``directions`` (k tensors of shape (D,)) around ``center``.

    ``verbatim`` maps a cell's index to the (D,) vector of a given network. ``unit`` is how many cells in a row are
    computed, stored and resumed together. ``shape`` is that of the lattice the cells form, the last axis running
    fastest. ``thorough`` cells read all examples and keep each one's loss; ``known`` holds such cells' measurements by
    index, and the others lean on them, with standard errors raised by the ``calibration``.
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
    calibration: dict[str, Calibration] = field(default_factory=dict)

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
            near = [self.known[other] for other in nearest_on(self.shape, index, list(self.known))]
            how["controls"] = Controls.of(near, self.calibration)
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


def leaning(cells: Cells, known: dict[int, Measurement]) -> Cells:
    """The cells with those that are ``known`` thoroughly to lean on, and how far that carries."""
    calibration = {}
    for quantity in ("losses", "hits"):
        values = {index: getattr(point, quantity) for index, point in known.items()}
        values = {index: found for index, found in values.items() if found is not None and np.isfinite(found).all()}
        others = {index: nearest_on(cells.shape, index, [i for i in values if i != index]) for index in values}
        points = [(values[index], np.stack([values[i] for i in near])) for index, near in others.items() if near]
        found = calibrate(points, cells.objective.settings.tolerance if quantity == "losses" else 0.0)
        if found is not None:
            calibration[quantity] = found
    return replace(cells, known=known, calibration=calibration)


def compute_unit(cells: Cells, unit: int) -> Values:
    """Measure the cells of one unit."""
    indices = range(unit * cells.unit, min((unit + 1) * cells.unit, len(cells.coefficients)))
    with cells.objective.session(cells.center):
        return columns_of([cells.measure(index) for index in indices], with_examples=cells.thorough)


def compute_units(cells: Cells, units: Sequence[int], folder: Path | None) -> dict[int, Values]:
    """Measure several units and store each as it is done."""
    found = {}
    for unit in units:
        found[unit] = compute_unit(cells, unit)
        if folder is not None:
            write_unit(folder / unit_name(unit), found[unit])
    return found


def compute_elsewhere(cells: Cells, units: Sequence[int], folder: Path | None) -> dict[int, Values]:
    """:func:`compute_units` in another process; the user's exceptions come back as text, which survives the way."""
    try:
        return compute_units(cells, units, folder)
    except OrographError:
        raise
    except Exception as error:
        raise TaskError(in_a_line(error)) from None


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
        cells = leaning(cells, dict(zip(references, measurements_of(read), strict=True)))
    return _evaluate(cells, wanted, executor, partial, _part(progress, len(references), whole))


def _evaluate(
    cells: Cells, wanted: Sequence[int], executor: Executor | None, partial: Path | None, progress: Progress | None
) -> Values:
    folder = None if partial is None else Path(partial) / f"cells-{cells.key()}"
    found: dict[int, Values] = {}
    for unit in wanted:
        stored = None if folder is None else read_unit(folder / unit_name(unit))
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
    return assembled(found, len(cells.coefficients), cells.unit)


def _part(progress: Progress | None, ahead: int, whole: int) -> Progress | None:
    """``progress`` of a part of the work, before which ``ahead`` of the ``whole`` was done."""
    return None if progress is None else lambda done, _: progress(ahead + done, whole)


def _hash(direction: Direction) -> str:
    digest = hashlib.sha256()
    for part in chunks(direction.numel()):
        digest.update(direction[part].detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
