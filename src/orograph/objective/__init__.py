"""The height at a point: loss and metrics over data, with batch-norm policy, precision and sampling."""

from orograph.objective.batchnorm import Policy
from orograph.objective.controls import Calibration, Controls, calibrate
from orograph.objective.criterion import Criterion, Terms, abyss
from orograph.objective.looks import Protocol
from orograph.objective.measurement import Measurement
from orograph.objective.objective import Objective
from orograph.objective.settings import Settings
from orograph.objective.views import evaluate_views

__all__ = [
    "Calibration",
    "Controls",
    "Criterion",
    "Measurement",
    "Objective",
    "Policy",
    "Protocol",
    "Settings",
    "Terms",
    "abyss",
    "calibrate",
    "evaluate_views",
]
