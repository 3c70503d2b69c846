"""The precision ``auto``: bf16 where this machine has units for it, else float32.

Asked of the machine and not of a clock: a measurement on a busy machine would choose now one and now the other, and
whatever was computed with the first choice would be computed again.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from orograph.basics.numerics import Precision
from orograph.train.recipe import Recipe


def settled(recipe: Recipe, device: torch.device) -> tuple[Recipe, Precision]:
    """``recipe`` with a precision that is no longer ``auto``, and that precision."""
    if recipe.precision != "auto":
        return recipe, recipe.precision
    chosen: Precision = "bf16" if has_bf16_units(device) else "float32"
    return replace(recipe, precision=chosen), chosen


def has_bf16_units(device: torch.device) -> bool:
    """Whether matrix work in bf16 is much faster than in float32: on processors with AMX (3 to 8 times), and on CUDA
    devices from Ampere on. Others lose by it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    has_kernels: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return device.type == "cpu" and has_kernels and _has_amx()


def _has_amx() -> bool:
    asked = getattr(torch.cpu, "_is_amx_tile_supported", None)
    if asked is not None:
        return bool(asked())
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and "amx_bf16" in flags.read_text(encoding="utf-8", errors="replace")
