"""What simpler ways say of the doctor's benchmark cases: a rule on the loss curve, single signals, and another tool.

The peer is torchmortem 0.1 (``pip install --no-deps torchmortem==0.1.1``), which watches a loop by hooks; where it is
not installed it cannot say. Each answer is whether an alarm is raised.
"""

from __future__ import annotations

import copy
import math
import warnings
from itertools import islice
from typing import Any

import torch

STEPS = 60


def alarms(case: Any, found: Any) -> dict[str, bool | None]:
    """Alarm or not, by each way; None where it cannot say. ``found`` is the doctor's diagnosis, for single signals."""
    return {"loss curve": _loss_curve(case), "torchmortem 0.1": _peer(case), **_single(found)}


def _loss_curve(case: Any) -> bool:
    """The loss ends as NaN, or above three quarters of a constant answer's (classes: ln C, numbers: the variance)."""
    from faults.case import train

    ended = train(case)
    guess = math.log(case.task.classes) if case.task.classes > 1 else math.nan
    if case.task.metric == "binary":
        guess = math.log(2)
    elif case.task.metric == "r2":
        targets = case.task.targets.float()
        guess = float((targets - targets.mean(0)).square().mean())
    return not ended.finite or ended.final_loss > 0.75 * guess


def _single(found: Any) -> dict[str, bool | None]:
    """Thresholds of the literature, each by itself, on what the doctor measured."""
    kernels = [p for p in found.parameters if math.isfinite(p.he_ratio)]
    updates = [p.update_ratio for p in kernels if math.isfinite(p.update_ratio)]
    norms = [p.gradient_norm for p in kernels if math.isfinite(p.gradient_norm)]
    losses = list(found.loss)
    return {
        "update/weight outside 5e-5 to 0.1": any(not 5e-5 <= one <= 0.1 for one in updates),
        "a layer with over 90 % dead units": any(layer.dead > 0.9 for layer in found.layers),
        "a layer with over half its outputs saturated": any(layer.saturated > 0.5 for layer in found.layers),
        "first gradient below 1e-4 of the last": len(norms) > 1 and norms[0] < 1e-4 * norms[-1],
        "loss at step 60 above 0.75 of the first": len(losses) < STEPS or not losses[-1] <= 0.75 * losses[0],
    }


def _peer(case: Any) -> bool | None:
    try:
        from torchmortem import Autopsy
    except ImportError:
        return None
    from faults.case import endless, plain_step

    model, optimizer, step = copy.deepcopy((case.model, case.optimizer, case.step))
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(case.seed)
        try:
            with Autopsy(model, optimizer=optimizer) as autopsy:
                for batch in islice(endless(case.loader), STEPS):
                    if step is None:
                        value = plain_step(case.loss, model, batch, optimizer)
                    else:
                        value = step(model, batch, optimizer)
                    autopsy.step(loss=float(value))
            report = autopsy.get_report()
        except Exception:  # it does not bear NaN everywhere
            return None
    return any(
        str(getattr(one.severity, "name", one.severity)).lower() in ("warning", "critical") for one in report.findings
    )
