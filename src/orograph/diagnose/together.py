"""Several optimisers of one network, which step in every pass or in turns, looked at as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

Optimizers = Optimizer | Sequence[Optimizer] | Mapping[str, Optimizer]


class Together(Optimizer):
    """What a loop has as a list, tuple or dictionary of optimisers.

    Groups are those of all members, the same objects. Hooks registered here
    are called once in a round: before the first member's step, and after the last's, or before a member steps for the
    second time. ``as_given`` is the container that the
    user's own step knows.
    """

    def __init__(self, members: Sequence[Optimizer] | Mapping[str, Optimizer]) -> None:
        # Not Optimizer's own initialiser: that would patch step, and ask that no parameter come twice.
        self.members = list(members.values()) if isinstance(members, Mapping) else list(members)
        self.as_given: Any = members
        self.param_groups = [group for member in self.members for group in member.param_groups]
        self.defaults = self.members[0].defaults
        self._round: set[int] = set()
        self._before: list[Callable[..., None]] = []
        self._after: list[Callable[..., None]] = []
        self._handles: list[Any] = []

    @property
    def state(self) -> dict[Any, Any]:  # type: ignore[override]
        """All members' state."""
        return {key: value for member in self.members for key, value in member.state.items()}

    def __repr__(self) -> str:
        return name_of(self)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Hand the group to the last member."""
        self.members[-1].add_param_group(param_group)
        self.param_groups.append(self.members[-1].param_groups[-1])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Of every member."""
        for member in self.members:
            member.zero_grad(set_to_none)

    def step(self, closure: Callable[[], Tensor] | None = None) -> Any:  # type: ignore[override]
        """Of every member, one after the other."""
        found = None
        if closure is not None:
            with torch.enable_grad():
                found = closure()
        for member in self.members:
            member.step()
        return found

    def register_step_pre_hook(self, hook: Any) -> Any:
        """Call ``hook(self, args, kwargs)`` before a round."""
        return _Handle(self, self._before, hook)

    def register_step_post_hook(self, hook: Any) -> Any:
        """Call ``hook(self, args, kwargs)`` after a round."""
        return _Handle(self, self._after, hook)

    def listen(self) -> None:
        """Hook the members while anybody wants to know of their steps, and no longer."""
        wanted = bool(self._before or self._after)
        if wanted and not self._handles:
            self._round = set()
            self._handles = [one.register_step_pre_hook(self._stepping) for one in self.members]
            self._handles += [one.register_step_post_hook(self._stepped) for one in self.members]
        elif not wanted:
            for handle in self._handles:
                handle.remove()
            self._handles = []

    def _stepping(self, member: Optimizer, args: Any, kwargs: Any) -> None:
        if id(member) in self._round:
            self._ended()
        if not self._round:
            for hook in list(self._before):
                hook(self, args, kwargs)
        self._round.add(id(member))

    def _stepped(self, member: Optimizer, args: Any, kwargs: Any) -> None:
        if len(self._round) == len(self.members):
            self._ended()

    def _ended(self) -> None:
        self._round = set()
        for hook in list(self._after):
            hook(self, (), {})


class _Handle:
    """A hook of all members, until it is removed."""

    def __init__(self, owner: Together, hooks: list[Callable[..., None]], hook: Callable[..., None]) -> None:
        self._owner, self._hooks, self._hook = owner, hooks, hook
        hooks.append(hook)
        owner.listen()

    def remove(self) -> None:
        """Take it away; the members' own hooks go with the last."""
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)
        self._owner.listen()


def as_one(given: Any) -> Any:
    """One optimiser for several: a list, tuple or dictionary of them becomes :class:`Together`; all else stays."""
    members = list(given.values()) if isinstance(given, Mapping) else given
    if isinstance(members, (list, tuple)) and members and all(isinstance(one, Optimizer) for one in members):
        return Together(given)
    return given


def parts_of(optimizer: Optimizer | None) -> list[Optimizer]:
    """The optimisers that step."""
    if optimizer is None:
        return []
    return optimizer.members if isinstance(optimizer, Together) else [optimizer]


def name_of(optimizer: Optimizer) -> str:
    """The class, or the classes of several."""
    return " and ".join(dict.fromkeys(type(one).__name__ for one in parts_of(optimizer)))
