"""What verbs return: frozen records of arrays with units and provenance. Nothing here imports torch."""

from orograph.results.alignment import Alignment, FrozenAxis
from orograph.results.comparison import Comparison, Series
from orograph.results.diagnosis import (
    Diagnosis,
    Evidence,
    Finding,
    Histograms,
    LayerReading,
    ParameterReading,
    StageRecord,
    Trial,
)
from orograph.results.distances import Distances
from orograph.results.evaluation import Evaluation
from orograph.results.gradient_variance import GradientVariance
from orograph.results.initialization import Initialization, Setting
from orograph.results.layer_scales import LayerScale, LayerScales
from orograph.results.learned_scales import Control, LearnedScales
from orograph.results.ledger import Ledger
from orograph.results.line import Line
from orograph.results.path import Path, Profile, Summary
from orograph.results.points import Anchor, Barrier, Economy
from orograph.results.power_law import Forecast, MemorySplit, PowerLaw
from orograph.results.predictions import Member, Predictions
from orograph.results.provenance import Cost, Provenance
from orograph.results.result import Result, load
from orograph.results.routes import Polyline, Routes
from orograph.results.run import Checkpoint, Run
from orograph.results.scores import CalibratedNLL, Disagreement, Equivalent, Estimate, Scores, Temperature
from orograph.results.signals import LossCurve, RateRange, Signal
from orograph.results.study import Claim, Panel, Section, StudyResult, Table, Verdict
from orograph.results.surface import ProjectedPath, Surface
from orograph.results.trajectory import Trajectory, random_walk_shares
from orograph.results.views import Views
from orograph.results.workers import Workers

__all__ = [
    "Alignment",
    "Anchor",
    "Barrier",
    "CalibratedNLL",
    "Checkpoint",
    "Claim",
    "Comparison",
    "Control",
    "Cost",
    "Diagnosis",
    "Disagreement",
    "Distances",
    "Economy",
    "Equivalent",
    "Estimate",
    "Evaluation",
    "Evidence",
    "Finding",
    "Forecast",
    "FrozenAxis",
    "GradientVariance",
    "Histograms",
    "Initialization",
    "LayerReading",
    "LayerScale",
    "LayerScales",
    "LearnedScales",
    "Ledger",
    "Line",
    "LossCurve",
    "Member",
    "MemorySplit",
    "Panel",
    "ParameterReading",
    "Path",
    "Polyline",
    "PowerLaw",
    "Predictions",
    "Profile",
    "ProjectedPath",
    "Provenance",
    "RateRange",
    "Result",
    "Routes",
    "Run",
    "Scores",
    "Section",
    "Series",
    "Setting",
    "Signal",
    "StageRecord",
    "StudyResult",
    "Summary",
    "Surface",
    "Table",
    "Temperature",
    "Trajectory",
    "Trial",
    "Verdict",
    "Views",
    "Workers",
    "load",
    "random_walk_shares",
]
