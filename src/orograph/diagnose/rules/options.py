"""Options of the optimiser and its schedule: weight decay, momentum, eps, and what the rate does over the steps."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from torch import Tensor

from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.run import Run
from orograph.diagnose.thresholds import threshold
from orograph.results.diagnosis import Evidence


def options(chart: Chart, run: Run) -> Iterator[Suspicion]:
    """What is wrong with the settings of the optimiser."""
    optimizer = chart.patient.optimizer
    if optimizer is None:
        return
    group: dict[str, Any] = optimizer.param_groups[0]
    lr, decay = _number(group, "lr"), _number(group, "weight_decay")
    before = math.sqrt(sum(a * a for a, _ in run.norms.values()))
    after = math.sqrt(sum(b * b for _, b in run.norms.values()))
    shrunk = after / before if before > 0 else 1.0
    decoupled = type(optimizer).__name__ in ("AdamW",)
    adaptive = "betas" in group and not decoupled
    per_step = lr * decay
    if decay > 0 and ((not adaptive and per_step > 5e-3) or (adaptive and decay >= 0.1) or decay >= 1
                      or shrunk < threshold("decay_shrinks")):  # fmt: skip
        yield Suspicion(
            "O05",
            "weight decay outweighs the loss",
            "critical",
            0.85,
            f"weight decay of {decay:g} pulls the weights to zero faster than the loss can shape them",
            "use weight decay of 1e-4 to 1e-2 (AdamW: up to 0.1)",
            f"{type(optimizer).__name__}(model.parameters(), lr={lr:g}, weight_decay=1e-4)",
            stage=2,
            evidence=(
                Evidence(
                    "norm of the weights after the run over before", shrunk, threshold("decay_shrinks"), "0.9 to 1.5"
                ),
                Evidence("weight decay", decay, float("nan"), "1e-5 to 1e-2"),
            ),
            explains=("O02", "O01", "I01", "O00"),
            edit=edits.option("weight_decay", 0.0),
            needs="proof",
        )
    betas = _betas(group)
    momentum = _number(group, "momentum") or betas[0]
    if momentum > 0.97:
        name = "momentum" if "momentum" in group else "betas"
        value: Any = 0.9 if name == "momentum" else (0.9, *group["betas"][1:])
        yield Suspicion(
            "O07",
            "momentum is close to 1",
            "warning",
            0.7,
            f"{name} of {momentum:g} averages over {1 / max(1 - momentum, 1e-9):.0f} steps and overshoots",
            "use momentum 0.9",
            f"{name}={value}",
            stage=2,
            evidence=(Evidence(name, momentum, 0.97, "0.9"),),
            explains=("O01", "O02", "O00", "O03"),
            edit=edits.option(name, value),
            needs="nothing" if momentum > 0.995 else "proof",
        )
    if betas[1] < betas[0]:
        yield Suspicion(
            "O07",
            "Adam's betas are the wrong way round",
            "warning",
            0.8,
            f"betas={tuple(group['betas'])}: the second moment forgets faster than the first",
            "use betas=(0.9, 0.999)",
            "betas=(0.9, 0.999)",
            stage=2,
            explains=("O01", "O02", "O00"),
            edit=edits.option("betas", (0.9, 0.999)),
        )
    if _number(group, "eps") > 1e-3 and "betas" in group:
        yield Suspicion(
            "O07",
            "Adam's eps swallows the gradients",
            "critical",
            0.85,
            f"eps={group['eps']:g} is far above the size of gradients, so that steps shrink with them",
            "use eps=1e-8",
            "eps=1e-8",
            stage=2,
            evidence=(Evidence("eps", float(group["eps"]), 1e-3, "1e-8"),),
            explains=("O02", "O00"),
            edit=edits.option("eps", 1e-8),
            needs="proof",
        )
    known = [rate for rate in run.lr if math.isfinite(rate)]
    yield from _growing(known)
    if decays_at_once(run):
        yield Suspicion(
            "O10",
            "the learning rate decays at once",
            "critical",
            0.85,
            f"within {len(known)} steps the rate falls from {max(known):.3g} to {known[-1]:.3g}",
            "count the schedule in the unit that it is stepped in: once an epoch, or with its length in steps",
            "scheduler.step()   # after each epoch, not after each batch",
            stage=2,
            evidence=(Evidence("last over highest learning rate", known[-1] / max(known), 0.02, "above 0.5"),),
            explains=("O02", "O00"),
            edit=edits.ordinary_step(),
            needs="nothing" if len(known) <= 60 or known[len(known) // 3] < 0.02 * max(known) else "proof",
        )


def decays_at_once(run: Run) -> bool:
    """Whether the rate fell to nothing, early and for good; with warm restarts it comes back."""
    known = [rate for rate in run.lr if math.isfinite(rate)]
    if len(known) <= 10 or known[0] <= 0 or known[-1] >= 0.02 * max(known):
        return False
    peak = known.index(max(known))
    return peak < len(known) / 2 and not any(after > 2 * before for before, after in pairwise(known[peak:]))


def _growing(rates: list[float]) -> Iterator[Suspicion]:
    """A rate that is multiplied in every step. A warm-up adds to it, or bends down."""
    if len(rates) < 20 or min(rates) <= 0 or rates[-1] < 2 * rates[0]:
        return
    ratios = [after / before for before, after in pairwise(rates)]
    if min(ratios) > 1.005 and max(ratios) - min(ratios) < 0.02 * (max(ratios) - 1) + 1e-4:
        yield Suspicion(
            "O11",
            "the learning rate grows without end",
            "critical",
            0.9,
            f"in every step it is multiplied by {statistics.median(ratios):.3g}: from {rates[0]:.3g} to "
            f"{rates[-1]:.3g} in {len(rates)} steps",
            "look at the schedule's factor and its sign; it should be below 1",
            "torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.99)",
            stage=2,
            evidence=(Evidence("factor of a step", statistics.median(ratios), 1.0, "1, or a little below"),),
            explains=("O01", "O03", "A05", "O00", "W00", "I06"),
            limits="a test of learning rates",
            edit=edits.ordinary_step(),
        )


def _number(group: dict[str, Any], name: str) -> float:
    """An option as a number; 0 where it is missing or something else, as Adafactor's pair of eps."""
    value = group.get(name)
    if isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.numel() == 1):
        return float(value)
    return 0.0


def _betas(group: dict[str, Any]) -> tuple[float, float]:
    """Adam's two, (0, 0) where an optimiser has none or others."""
    found = group.get("betas")
    if isinstance(found, (tuple, list)) and len(found) == 2 and all(isinstance(one, (int, float)) for one in found):
        return float(found[0]), float(found[1])
    return 0.0, 0.0
