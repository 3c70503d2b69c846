"""What a plant is: a change to a healthy case, with the families and strengths it is made for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from .case import Case, Kind, Strength

Change = Callable[[Case, Strength], Case]
Value = TypeVar("Value")
ALL: tuple[Strength, ...] = ("mild", "middle", "strong")


@dataclass(frozen=True)
class Plant:
    """A fault or a trap.

    ``truth`` lists the accepted causes, the planted one first. ``needs`` and ``without`` are traits that a family must
    and must not have. A ``silent`` fault counts even where the held-out score does not show its harm.
    """

    name: str
    change: Change
    truth: tuple[str, ...]
    needs: frozenset[str]
    without: frozenset[str]
    strengths: tuple[Strength, ...]
    silent: bool
    kind: Kind

    def applies(self, traits: frozenset[str]) -> bool:
        """Whether the plant is made for a family with these traits."""
        return self.needs <= traits and not self.without & traits

    def __call__(self, case: Case, strength: Strength) -> Case:
        """The planted case. ``case`` must be fresh: its model may be changed in place."""
        changed = self.change(case, strength)
        truth = changed.truth or self.truth
        if changed.step is not None and changed.step is case.step and changed.loss is not case.loss:
            step: Any = copy.copy(changed.step)  # a family's own step, which computes the loss
            step.loss = changed.loss
            changed = replace(changed, step=step)
        return replace(changed, fault=self.name, strength=strength, kind=self.kind, truth=truth, silent=self.silent)


def pick(strength: Strength, mild: Value, middle: Value, strong: Value) -> Value:
    """The value that belongs to a strength."""
    return {"mild": mild, "middle": middle, "strong": strong}.get(strength, middle)


class Collection(dict[str, Plant]):
    """Plants by name; ``collection.fault(...)`` and ``collection.trap(...)`` register the function below them."""

    def fault(
        self,
        *truth: str,
        needs: str = "",
        without: str = "",
        strengths: tuple[Strength, ...] = ALL,
        silent: bool = False,
    ) -> Callable[[Change], Plant]:
        """Register a fault; ``needs`` and ``without`` are traits separated by spaces."""

        def register(change: Change) -> Plant:
            name = getattr(change, "__name__", "")
            needed, excluded = frozenset(needs.split()), frozenset(without.split())
            self[name] = Plant(name, change, truth, needed, excluded, strengths, silent, "fault")
            return self[name]

        return register

    def trap(
        self, *, needs: str = "", without: str = "", strengths: tuple[Strength, ...] = ("middle",)
    ) -> Callable[[Change], Plant]:
        """Register a healthy variant that looks like a fault."""

        def register(change: Change) -> Plant:
            name = getattr(change, "__name__", "")
            needed, excluded = frozenset(needs.split()), frozenset(without.split())
            self[name] = Plant(name, change, (), needed, excluded, strengths, False, "trap")
            return self[name]

        return register
