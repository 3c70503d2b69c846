"""Networks on a trained path as the members of an ensemble (Garipov et al. 2018, Figure 2, right).

Between two networks that are joined, every point of the curve is a network as good as the ends, and a little away from
an end it answers differently. What it costs to get there, two networks and a curve, is never one budget.
"""

from __future__ import annotations

from collections.abc import Sequence

from orograph.basics.errors import UsageError
from orograph.connect import Curve
from orograph.ensemble.collected import Collected
from orograph.landscape.points import Point, as_weights
from orograph.results import Ledger, Member, Path


def on_path(path: Path, start: Point, ts: Sequence[float], *, ends: int = 0, budget: int = 0) -> Collected:
    """The networks of ``path`` at each of ``ts`` in [0, 1], to be asked or saved as an ensemble.

    ``start`` is the network at t = 0, which says how the path's control points are laid out. Every member's batch-norm
    statistics are to be re-estimated, as no run has seen them: :func:`ask` and :class:`Ensemble` do so from
    ``calibration`` (a pass for each member, which they do not enter in the ledger).

    Parameters
    ----------
    ends : examples that training both ends took; budget : examples of one ordinary training run

    Raises
    ------
    UsageError
        No ``ts``, one outside [0, 1] or twice, or a path without its control points. WeightsError: ``start`` is of
        another architecture.
    """
    if not len(ts) or min(ts) < 0 or max(ts) > 1 or len(set(ts)) < len(ts):
        raise UsageError(f"members lie at different t in [0, 1], at least one, not at {list(ts)}")
    if path.control is None:
        raise UsageError("this path was stored without its control points; find it again, or load the file of its own")
    first = as_weights(start)
    if path.curve is not None:
        path.curve.points[0].layout.require_same(first.layout)
    curve = path.curve or Curve.of(path.kind, path.control, first, path.segments)
    members = tuple(curve.at(float(t)) for t in ts)
    name = " to ".join(path.names)
    records = tuple(
        Member(f"{name} at {t:g}", "path", name, None, None, weights.fingerprint(), "recalibrate")
        for t, weights in zip(ts, members, strict=True)
    )
    runs = () if path.training is None else (path.training,)
    ledger = Ledger(train=ends, curve=sum(run.provenance.cost.backward for run in runs))
    return Collected("path", members, records, runs, ledger, budget, "recalibrate")
