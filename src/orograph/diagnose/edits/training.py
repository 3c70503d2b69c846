"""How a copy is trained: its rates, its optimiser, its step."""

from __future__ import annotations

import math
from typing import Any

from torch import nn
from torch.optim import Adam

from orograph.diagnose.chart import Edit
from orograph.diagnose.hidden import hidden
from orograph.diagnose.patient import Copy
from orograph.diagnose.thresholds import threshold


def rate(factor: float) -> Edit:
    """Multiply all learning rates, also those that a schedule sets in between."""

    def change(made: Copy) -> None:
        original: list[float] = []

        def before(optimizer: Any, args: Any, kwargs: Any) -> None:
            original[:] = [group["lr"] for group in optimizer.param_groups]
            for group in optimizer.param_groups:
                group["lr"] = group["lr"] * factor

        def after(optimizer: Any, args: Any, kwargs: Any) -> None:
            for group, value in zip(optimizer.param_groups, original, strict=True):
                group["lr"] = value

        made.handles += [
            made.optimizer.register_step_pre_hook(before),
            made.optimizer.register_step_post_hook(after),
        ]

    return Edit(f"learning rate x {factor:g}", change)


def trusted_optimizer(lr: float = 1e-3) -> Edit:
    """Adam on all parameters and the ordinary step, in place of the user's."""

    def change(made: Copy) -> None:
        made.model.requires_grad_(True)
        made.model.train()
        made.optimizer = Adam(made.model.parameters(), lr=lr)

    return Edit(f"Adam with rate {lr:g} and the ordinary step", change, ordinary=True)


def ordinary_step() -> Edit:
    """The user's optimiser with zero_grad, loss, backward, step."""
    return Edit("zero_grad, loss, backward, step", lambda made: None, ordinary=True)


def clipped(limit: float) -> Edit:
    """Clip the gradient's norm before every step."""

    def change(made: Copy) -> None:
        def before(optimizer: Any, args: Any, kwargs: Any) -> None:
            owned = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(owned, limit)

        made.handles.append(made.optimizer.register_step_pre_hook(before))

    return Edit(f"gradients clipped to {limit:.3g}", change)


def option(name: str, value: Any) -> Edit:
    """Set an option of all the optimiser's groups."""

    def change(made: Copy) -> None:
        for group in made.optimizer.param_groups:
            if name in group:
                group[name] = value

    return Edit(f"{name} = {value}", change)


def all_parameters() -> Edit:
    """Every parameter trainable and in the optimiser; those of other networks out of it."""

    def change(made: Copy) -> None:
        made.model.requires_grad_(True)
        own = list(made.model.parameters())
        ids = {id(p) for p in own}
        groups = made.optimizer.param_groups
        for group in groups:
            group["params"] = [p for p in group["params"] if id(p) in ids]
        known = {id(p) for group in groups for p in group["params"]}
        missing = [p for p in own if id(p) not in known]
        if missing:
            groups[0]["params"] = [*groups[0]["params"], *missing]

    return Edit("all parameters in the optimiser", change)


def owned() -> Edit:
    """Give what is hidden to the optimiser, as registering it would."""

    def change(made: Copy) -> None:
        group = made.optimizer.param_groups[0]
        group["params"] = [*group["params"], *hidden(made.model).values()]

    return Edit("hidden layers in the optimiser", change)


def learning_rates() -> Edit:
    """A usable rate in every group that has none, or next to none: the largest of the others', else 1e-3."""

    def change(made: Copy) -> None:
        groups = made.optimizer.param_groups
        good = [group["lr"] for group in groups if math.isfinite(group["lr"]) and group["lr"] > 0]
        for group in groups:
            if not (math.isfinite(group["lr"]) and group["lr"] > threshold("group_rate") * max(good, default=0.0)):
                group["lr"] = max(good, default=1e-3)

    return Edit("a positive learning rate", change)


def fresh_gradients() -> Edit:
    """``zero_grad`` after every step."""

    def change(made: Copy) -> None:
        made.handles.append(
            made.optimizer.register_step_post_hook(lambda optimizer, args, kwargs: optimizer.zero_grad())
        )

    return Edit("optimizer.zero_grad() after every step", change)


def both(*edits: Edit) -> Edit:
    """Several changes at once."""

    def change(made: Copy) -> None:
        for edit in edits:
            edit.apply(made)

    return Edit(", ".join(edit.name for edit in edits), change, any(edit.ordinary for edit in edits))
