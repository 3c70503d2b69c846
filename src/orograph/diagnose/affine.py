"""Whether a loss of no known form is a usual one times a number, and another one added."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from orograph.basics.errors import ModelError
from orograph.diagnose.losses import parts_of
from orograph.diagnose.patient import Copy
from orograph.diagnose.task import Task, soft_labels, squashed_first
from orograph.initialize.probing import probing
from orograph.objective.criterion import IGNORED, classes_last

_SIZES = (0.3, 0.7, 1.0, 1.7, 3.0)  # standard deviations to which outputs are scaled
_NEAR = 1e-3
_PLAIN = ("cross-entropy", "binary cross-entropy of logits", "squared error", "absolute error")


def affine(made: Copy, batch: Any, task: Task) -> Task:
    """The task with the form, ``times`` and ``constant`` of its loss, if five scaled outputs lie on a line; else as it
    is. A negative factor is no form: such a loss is driven up. A form that outputs near 0 may have by chance has to
    hold for them, too."""
    by_chance = task.form.endswith((" of softmax", " of sigmoid", " of ReLU"))
    if (task.form and not by_chance) or task.kind not in ("classes", "binary", "numbers"):
        return task
    try:
        losses, forms = _lines(made, batch, task)
    except Exception:  # a loss that works in training only, or takes the network apart
        return task
    span = max(losses) - min(losses)
    if not math.isfinite(span) or span <= 1e-4 * max(abs(one) for one in losses):
        return task
    forms = {name: values for name, values in forms.items() if name in _PLAIN or name == task.form}
    wanted = torch.tensor(losses, dtype=torch.float64)
    for name, values in forms.items():
        rows = torch.stack([torch.tensor(values, dtype=torch.float64), torch.ones(len(values), dtype=torch.float64)], 1)
        times, constant = torch.linalg.lstsq(rows, wanted[:, None]).solution.flatten().tolist()
        if float((rows @ torch.tensor([times, constant], dtype=torch.float64) - wanted).abs().max()) > _NEAR * span:
            continue
        if times > 0:
            baseline = _baseline(task, name) * times
            return replace(task, form=name, times=times, constant=constant, baseline=baseline)
    return replace(task, form="", times=math.nan, baseline=math.nan) if by_chance else task


def _baseline(task: Task, name: str) -> float:
    if task.kind in ("classes", "binary"):
        return task.entropy
    return {"squared error": task.spread**2, "absolute error": 0.8 * task.spread}.get(name, float("nan"))


def _lines(made: Copy, batch: Any, task: Task) -> tuple[list[float], dict[str, list[float]]]:
    wanted, seen = [1.0], list[Tensor]()

    def sized(model: Any, args: Any, output: Any) -> Any:
        if not isinstance(output, Tensor):
            raise TypeError("only a tensor can be scaled")
        spread = float(output.detach().float().std(correction=0))
        scaled = output * (wanted[0] / spread) if spread > 0 else output
        seen.append(scaled.detach().float())
        return scaled

    losses: list[float] = []
    forms: dict[str, list[float]] = {}
    with probing(made.model), torch.no_grad():
        handle = made.model.register_forward_hook(sized)
        try:
            for size in _SIZES:
                wanted[0] = size
                changed = made.change(batch)
                losses.append(float(made.loss(made.model, changed)))
                for name, value in _usual(seen[-1], parts_of(changed)[1], task.kind).items():
                    forms.setdefault(name, []).append(float(value))
        finally:
            handle.remove()
    return losses, forms


def _usual(outputs: Tensor, targets: Tensor, kind: str) -> dict[str, Tensor]:
    if kind == "classes":
        if soft_labels(targets):
            return {"cross-entropy": F.cross_entropy(outputs, targets.float())}
        try:
            logits, labels = classes_last(outputs, targets)
        except ModelError:
            return {}
        return {
            "cross-entropy": F.cross_entropy(logits, labels, ignore_index=IGNORED),
            **squashed_first(logits, labels),
        }
    same, wanted = outputs.reshape(-1), targets.reshape(-1).float()
    if kind == "binary":
        plain = F.binary_cross_entropy_with_logits(same, wanted)
        return {"binary cross-entropy of logits": plain, **squashed_first(same, wanted)}
    return {"squared error": (same - wanted).square().mean(), "absolute error": (same - wanted).abs().mean()}
