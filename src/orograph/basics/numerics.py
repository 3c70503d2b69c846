"""Device and precision: where the arithmetic happens and in which number format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from orograph.basics.errors import UsageError

Precision = Literal["float32", "tf32", "bf16", "float64"]
PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bf16", "float64")


def resolve_device(name: str | torch.device = "auto") -> torch.device:
    """``auto`` is CUDA where there is one, then Apple's MPS, then the CPU. Raises UsageError if it is not there."""
    if isinstance(name, torch.device):
        return name
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device {name!r}; use auto, cpu, cuda or mps") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError("device 'cuda' was asked for but torch sees no GPU here; use --device auto or cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device 'mps' was asked for but is not available here; use --device auto or cpu")
    return device


def storage_dtype(precision: Precision) -> torch.dtype:
    """The dtype parameters are held in: float64 for ``float64``, otherwise float32 (bf16 is autocast over it)."""
    return torch.float64 if precision == "float64" else torch.float32


@contextmanager
def arithmetic(precision: Precision, device: torch.device) -> Iterator[None]:
    """Run a block in ``precision``: autocast for bf16, TF32 on only for ``tf32``; global settings come back.

    Autocast keeps no casts of weights: it cannot see weights that move in place, and would compute with old ones.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision {precision!r}; use one of {', '.join(PRECISIONS)}")
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16", cache_enabled=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn
