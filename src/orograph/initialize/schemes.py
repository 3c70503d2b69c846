r"""Ways to draw a layer's weights, each a small frozen object that knows its standard deviation and how to draw.

============================  =====================================  ==========================================
name                          variance of a weight                   source
============================  =====================================  ==========================================
``glorot-uniform, -normal``   2 g^2 / (fan in + fan out), g = 1      Glorot and Bengio 2010
``he-uniform, -normal``       g^2 / fan in, g = sqrt 2               He et al. 2015, keeps the forward variance
``he-…-fan-out``              g^2 / fan out                          the same, keeps the backward variance
``lecun-uniform, -normal``    1 / fan in                             LeCun et al. 1998
``orthogonal``                g^2 / larger side of the matrix        Saxe et al. 2014
``delta-orthogonal``          the same in the window's centre        Xiao et al. 2018, not for every layer
``normal(s)``                 s^2
``truncated-normal(s)``       s^2, nothing beyond two deviations
``default``                   what the layer's own reset draws       torch: 1 / (3 fan in) for Linear and Conv
============================  =====================================  ==========================================
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from orograph.basics.errors import UsageError, nearest
from orograph.initialize.parts import Part

Fan = Literal["in", "out", "mean"]
Shape = Literal["normal", "uniform"]
_KEPT_OF_TWO_SIGMA = 0.8796256610342398  # standard deviation of a standard normal cut at -2 and 2


class Scheme(ABC):
    """A way to draw the kernels of a layer."""

    @abstractmethod
    def std(self, part: Part) -> float:
        """The standard deviation that the kernel's entries should have."""

    @abstractmethod
    def draw(self, part: Part, generator: Generator) -> None:
        """Fill the kernel in place."""

    def misfit(self, part: Part) -> str:
        """Why the kernel cannot be drawn in this way; empty where it can."""
        return ""

    @property
    def citation(self) -> str:
        """The key of the paper it comes from; empty for those of no paper."""
        return ""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name by which :func:`scheme_of` finds it, or as near to it as there is."""


@dataclass(frozen=True)
class Scaled(Scheme):
    """Independent entries of variance ``gain``^2 over a fan."""

    fan: Fan
    shape: Shape
    gain: float = 1.0
    label: str = ""

    def std(self, part: Part) -> float:
        fan = {"in": part.fan_in, "out": part.fan_out, "mean": (part.fan_in + part.fan_out) / 2}[self.fan]
        return self.gain / math.sqrt(max(fan, 1))

    def draw(self, part: Part, generator: Generator) -> None:
        std = self.std(part)
        if self.shape == "uniform":
            part.values.uniform_(-math.sqrt(3) * std, math.sqrt(3) * std, generator=generator)
        else:
            part.values.normal_(0.0, std, generator=generator)

    @property
    def name(self) -> str:
        return self.label or f"{self.shape}, gain {self.gain:.4g}, fan {self.fan}"

    @property
    def citation(self) -> str:
        return {"glorot": "glorot2010", "he": "he2015"}.get(self.label.split("-")[0], "")


@dataclass(frozen=True)
class Normal(Scheme):
    """Independent normal entries of one standard deviation, whatever the layer's size."""

    deviation: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.deviation) and self.deviation >= 0):
            raise UsageError(f"a standard deviation is a number from 0, not {self.deviation}")

    def std(self, part: Part) -> float:
        return self.deviation

    def draw(self, part: Part, generator: Generator) -> None:
        part.values.normal_(0.0, self.deviation, generator=generator)

    @property
    def name(self) -> str:
        return f"normal({self.deviation:g})"


@dataclass(frozen=True)
class TruncatedNormal(Normal):
    """Normal entries, drawn again beyond two standard deviations, then widened so that ``deviation`` is their own.

    ``nn.init.trunc_normal_`` cuts at the absolute values -2 and 2, which for usual deviations is no cut at all.
    """

    def draw(self, part: Part, generator: Generator) -> None:
        wide = self.deviation / _KEPT_OF_TWO_SIGMA
        drawn = torch.empty_like(part.values, memory_format=torch.contiguous_format)
        torch.nn.init.trunc_normal_(drawn, 0.0, wide, -2 * wide, 2 * wide, generator=generator)
        part.values.copy_(drawn)

    @property
    def name(self) -> str:
        return f"truncated-normal({self.deviation:g})"


@dataclass(frozen=True)
class Orthogonal(Scheme):
    """Rows (or columns, if fewer) orthonormal, times ``gain``; a kernel is flattened to (out, the rest)."""

    gain: float = 1.0

    def std(self, part: Part) -> float:
        rows = part.values.shape[0]
        return self.gain / math.sqrt(max(rows, part.values.numel() // max(rows, 1), 1))

    def draw(self, part: Part, generator: Generator) -> None:
        values = part.values
        columns = values.numel() // values.shape[0]
        part.values.copy_(self.gain * _orthonormal(values, values.shape[0], columns, generator).reshape(values.shape))

    @property
    def name(self) -> str:
        return "orthogonal"

    @property
    def citation(self) -> str:
        return "saxe2014"


@dataclass(frozen=True)
class DeltaOrthogonal(Scheme):
    """All of a window zero but its centre, which is orthonormal: a deep convolutional network begins as an isometry.

    It does not fit a kernel with fewer outputs than inputs, or a window without a centre.
    """

    gain: float = 1.0

    def std(self, part: Part) -> float:
        return self.gain * math.sqrt(min(part.values.shape[:2]) / max(part.values.numel(), 1))

    def misfit(self, part: Part) -> str:
        out, inputs, *window = part.values.shape
        if out >= inputs and all(side % 2 for side in window):
            return ""
        shape = f", a window of {'x'.join(map(str, window))}" if window else ""
        return f"{out} outputs, {inputs} inputs{shape}; it takes at least as many outputs as inputs, and odd windows"

    def draw(self, part: Part, generator: Generator) -> None:
        out, inputs, *window = part.values.shape
        part.values.zero_()
        centre = part.values
        for side in window:
            centre = centre.select(2, side // 2)
        centre.copy_(self.gain * _orthonormal(part.values, out, inputs, generator))

    @property
    def name(self) -> str:
        return "delta-orthogonal"

    @property
    def citation(self) -> str:
        return "xiao2018"


@dataclass(frozen=True)
class Default(Scheme):
    """What the layer's own ``reset_parameters`` draws, weights and biases together."""

    def std(self, part: Part) -> float:
        return float("nan")

    def draw(self, part: Part, generator: Generator) -> None:
        raise UsageError("the default of a layer is drawn by the layer itself")

    @property
    def name(self) -> str:
        return "default"


def scheme_of(wanted: str | Scheme) -> Scheme:
    """The scheme of a name such as ``he-normal`` or ``normal(0.01)``. Raises UsageError with the nearest name."""
    if isinstance(wanted, Scheme):
        return wanted
    if not isinstance(wanted, str):
        raise UsageError(f"a scheme is a name such as 'he-normal', a Scheme or a Mix, not {_told(wanted)}")
    with_number = re.fullmatch(r"(normal|truncated-normal)\(([^)]*)\)", wanted.strip())
    if with_number:
        kind = Normal if with_number[1] == "normal" else TruncatedNormal
        try:
            return kind(float(with_number[2]))
        except ValueError:
            raise UsageError(f"{wanted!r} needs a number, e.g. {with_number[1]}(0.01)") from None
    if wanted not in SCHEMES:
        more = ("normal(0.01)", "truncated-normal(0.02)", "ends-glorot(0.01)", "zero-branches", "fixup")
        hint = nearest(wanted, (*SCHEMES, *more))
        raise UsageError(f"unknown scheme {wanted!r}{hint}; there are {', '.join((*SCHEMES, *more))}")
    return SCHEMES[wanted]


def _told(wrong: Any) -> str:
    """What was given in the place of something else, in a few words."""
    return f"the class {wrong.__name__}: give an instance" if isinstance(wrong, type) else f"a {type(wrong).__name__}"


def _table() -> dict[str, Scheme]:
    found: dict[str, Scheme] = {}
    shapes: tuple[Shape, ...] = ("uniform", "normal")
    for shape in shapes:
        found[f"glorot-{shape}"] = Scaled("mean", shape, 1.0, f"glorot-{shape}")
        found[f"he-{shape}"] = Scaled("in", shape, math.sqrt(2), f"he-{shape}")
        found[f"he-{shape}-fan-out"] = Scaled("out", shape, math.sqrt(2), f"he-{shape}-fan-out")
        found[f"lecun-{shape}"] = Scaled("in", shape, 1.0, f"lecun-{shape}")
    return {**found, "orthogonal": Orthogonal(), "delta-orthogonal": DeltaOrthogonal(), "default": Default()}


SCHEMES = _table()


def _orthonormal(like: Tensor, rows: int, columns: int, generator: Generator) -> Tensor:
    """(rows, columns) of orthonormal rows or columns, uniform among all such: the signs of R's diagonal are fixed."""
    exact = torch.float32 if like.device.type == "mps" else torch.float64
    tall = torch.empty(max(rows, columns), min(rows, columns), device=like.device, dtype=exact)
    q, r = torch.linalg.qr(tall.normal_(generator=generator))
    q = q * torch.where(r.diagonal() < 0, -1.0, 1.0)
    found: Tensor = (q if rows >= columns else q.T).to(like.dtype)
    return found
