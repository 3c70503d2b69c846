r"""The learning rate of every step, from torch's own schedulers.

With peak rate :math:`\eta`, S steps in all, w of them warm-up, and :math:`t = (k - w) / (S - w)` at step k:

- warm-up: :math:`\eta (k + 1) / (w + 1)` for k < w
- constant: :math:`\eta`; step: :math:`\eta \gamma^{m}` after m milestones (fractions of all S steps)
- cosine: :math:`\eta (1 + \cos \pi t) / 2` (Loshchilov & Hutter 2017); linear: :math:`\eta (1 - t)`
- one-cycle: a cosine rise from :math:`\eta / 25` over the first 30% (or the warm-up), then a cosine fall to
  :math:`\eta / 250000` (Smith & Topin 2018; torch's defaults, momentum stays as it is)
- hold-decay: :math:`\eta` up to t = 1/2, falling linearly to :math:`\eta / 100` at t = 0.9, then that (Garipov et al.
  2018, whose code changes it from epoch to epoch, ours from step to step)

The whole curve is computed before training: a step then looks up a number, and a continued run needs no scheduler
state. About 10 microseconds a step.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
)

from orograph.train.recipe import Recipe


def learning_rates(recipe: Recipe, steps: int, steps_per_epoch: int) -> NDArray[np.float64]:
    """(steps,) the learning rate of each step of a run of ``steps`` steps."""
    rates = np.empty(steps)
    if not steps:
        return rates
    # The schedulers act on an optimiser of no parameters to speak of, whose rate is read off.
    stand_in = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=recipe.lr)
    scheduler = _scheduler(stand_in, recipe, steps, min(round(recipe.warmup * steps_per_epoch), steps))
    stand_in.step()  # torch warns where a scheduler goes before its optimiser
    for step in range(steps):
        rates[step] = stand_in.param_groups[0]["lr"]
        if step + 1 < steps:
            scheduler.step()
    return rates


def _scheduler(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int, warmup: int) -> LRScheduler:
    if recipe.schedule == "one-cycle":
        # torch divides by (length of the rise - 1), hence at least two steps of rise where there are two.
        rise = max(warmup, 2) / steps if warmup and steps > 1 else 0.3
        return OneCycleLR(
            optimizer, recipe.lr, total_steps=steps, pct_start=float(min(rise, 1.0)), cycle_momentum=False
        )
    after = steps - warmup
    if not after:
        return _warmup(optimizer, warmup)
    main = _main(optimizer, recipe, steps, after)
    return SequentialLR(optimizer, [_warmup(optimizer, warmup), main], [warmup]) if warmup else main


def _warmup(optimizer: torch.optim.Optimizer, warmup: int) -> LRScheduler:
    return LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)


def _main(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int, after: int) -> LRScheduler:
    """The schedule proper over its ``after`` steps, the last of ``steps``."""
    if recipe.schedule == "step":
        places = [round(milestone * steps) - (steps - after) for milestone in recipe.milestones]
        return MultiStepLR(optimizer, [max(place, 0) for place in places], recipe.gamma)
    if recipe.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=after)
    if recipe.schedule == "linear":
        return LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=after)
    if recipe.schedule == "hold-decay":
        return LambdaLR(optimizer, lambda step: hold_decay(step / after))
    return LambdaLR(optimizer, lambda _: 1.0)


def hold_decay(progress: float) -> float:
    """The factor of the rate after a share ``progress`` of the run: 1 for the first half, 0.01 from 0.9 on."""
    return 1.0 - 0.99 * min(max(progress - 0.5, 0.0) / 0.4, 1.0)
