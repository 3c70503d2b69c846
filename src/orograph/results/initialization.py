"""What an initialisation set and what it left alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from orograph.basics.words import counted
from orograph.results.result import Result, record


@record
@dataclass(frozen=True)
class Setting:
    """One parameter after an initialisation.

    ``scheme`` set it (empty: it was left alone, and ``why`` says so); ``fan_in`` and ``fan_out`` are those of one of
    its kernels, of which there are ``kernels``; ``asked`` is the standard deviation that the scheme wants for it and
    ``got`` that of the numbers drawn (NaN where there is none).
    """

    parameter: str
    layer: str
    scheme: str
    fan_in: int
    fan_out: int
    kernels: int
    asked: float
    got: float
    why: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Initialization(Result):
    """Every parameter of a network, in order, and how it was set.

    Attributes
    ----------
    scheme : the name of the scheme or recipe
    settings : one for each parameter, tied ones once
    """

    scheme: str
    settings: tuple[Setting, ...]

    title: ClassVar[str] = "initialisation"

    @property
    def left_alone(self) -> tuple[Setting, ...]:
        """The parameters that were not set."""
        return tuple(setting for setting in self.settings if not setting.scheme)

    def summary(self) -> str:
        done = [setting for setting in self.settings if setting.scheme]
        lines = [f"{self.scheme}: set {len(done)} of {counted(len(self.settings), 'parameter')}"]
        for why in dict.fromkeys(setting.why for setting in self.left_alone):
            names = [setting.parameter for setting in self.left_alone if setting.why == why]
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            lines.append(f"left alone, {why}: {', '.join(names[:3])}{more}")
        return "\n".join(lines)
