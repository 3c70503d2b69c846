"""The one-batch overfit test: whether Adam makes the network learn a few examples by heart.

Once as the user's loop runs it, once without what is random (dropout off, norm layers by the batch). Where neither
learns, model, loss or wiring are broken; where only the second does, the regularisation is in the way; where both do,
look at data, learning rate and optimiser.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from orograph.data.structure import batch_length
from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Edit, quality_of
from orograph.diagnose.run import Run
from orograph.diagnose.shadow import train
from orograph.diagnose.thresholds import threshold
from orograph.initialize.chunks import rows

_EXAMPLES = 32
_RATE = 2e-3


@dataclass(frozen=True)
class Overfit:
    """The ends of both runs, None for one that failed; ``redrawn``: from weights drawn anew, where that was tried."""

    as_run: Run | None
    quiet: Run | None
    redrawn: Run | None = None

    @property
    def learns(self) -> bool:
        """Whether any of the runs learned the examples."""
        return any(_learned(run) for run in (self.as_run, self.quiet, self.redrawn))


def overfit(chart: Chart, *, steps: int = 100, seed: int = 0) -> Overfit:
    """Train copies on the first 32 examples; from weights drawn anew where the network's own do not learn them."""
    trusted = edits.trusted_optimizer(_RATE)
    as_run = _run(chart, trusted, steps, seed)
    drops = any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0 for m in chart.patient.model.modules())
    quiet = _run(chart, edits.both(trusted, edits.quiet_layers()), steps, seed) if drops else as_run
    found = Overfit(as_run, quiet)
    if not found.learns:
        found = Overfit(as_run, quiet, _run(chart, edits.both(edits.redrawn(), trusted), steps, seed))
    return found


def _run(chart: Chart, edit: Edit, steps: int, seed: int) -> Run | None:
    patient = chart.patient
    batch = patient.batches[0]
    few = rows(batch, 0, min(batch_length(batch), _EXAMPLES))
    try:
        with patient.copy(own_step=False) as made, torch.enable_grad():
            edit.apply(made)
            return train(made, [few], [few], chart.probe.task, steps=steps, seed=seed, record=False)
    except Exception:  # a change that does not fit this network
        return None


def _learned(run: Run | None) -> bool:
    if run is None or run.stopped is not None:
        return False
    return quality_of(run) > 0.6 or run.end < threshold("overfit") * run.start
