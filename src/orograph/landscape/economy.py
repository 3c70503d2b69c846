"""What a picture's shortcuts cost in accuracy, measured where they are used."""

from __future__ import annotations

from dataclasses import replace

from orograph.landscape.grid import Cells
from orograph.objective import Objective
from orograph.results import Economy


def measure_economy(objective: Objective, cells: Cells) -> Economy:
    """The economy of a picture. Cost: up to two measurements for each of a coarse precision and a capped subset."""
    settings = objective.settings
    precision_gap = calibration_gap = None
    if settings.precision in ("bf16", "tf32"):
        fine = objective.with_settings(precision="float32", folded=False)
        reference = fine(cells.center, thorough=True).loss
        objective.cost += fine.cost
        precision_gap = abs(objective(cells.center, thorough=True).loss - reference) / max(abs(reference), 1e-30)
    other = objective.with_other_calibration()
    if other is not None:
        middle = cells.only([len(cells.coefficients) // 2])
        here, there = (replace(middle, objective=one).measure(0).loss for one in (objective, other))
        objective.cost += other.cost
        calibration_gap = abs(there - here)
    return Economy(len(objective.split), settings.tolerance, settings.cap, precision_gap, calibration_gap)
