"""The precision ``auto``: bf16 where this machine's convolutions gain by it, else float32."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import lru_cache

import torch
import torch.nn.functional as F

from orograph.basics.numerics import Precision, arithmetic
from orograph.train.recipe import Recipe

_WORTHWHILE = 1.5  # processors with the units for it gain 3 to 8, those without lose: nothing lies near
_ROUNDS = 8


def settled(recipe: Recipe, device: torch.device) -> tuple[Recipe, Precision]:
    """``recipe`` with a precision that is no longer ``auto``, and that precision."""
    if recipe.precision != "auto":
        return recipe, recipe.precision
    chosen: Precision = "bf16" if speed_of_bf16(device) >= _WORTHWHILE else "float32"
    return replace(recipe, precision=chosen), chosen


@lru_cache
def speed_of_bf16(device: torch.device) -> float:
    """How many times as fast as float32 a convolution and its gradients are in bf16 autocast; measured once."""
    inputs = torch.ones(64, 128, 16, 16, device=device).contiguous(memory_format=torch.channels_last)
    weight = torch.ones(128, 128, 3, 3, device=device, requires_grad=True)

    def once(precision: Precision) -> float:
        began = time.perf_counter()
        with torch.enable_grad(), arithmetic(precision, device):
            torch.autograd.grad(F.conv2d(inputs, weight, padding=1).sum(), weight)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    try:
        spent = [(once("float32"), once("bf16")) for _ in range(_ROUNDS)]  # in turn; the first ones warm up
    except RuntimeError:  # the device has no bf16
        return 0.0
    slow, fast = zip(*spent, strict=True)
    return float(min(slow) / min(fast))
