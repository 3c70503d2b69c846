"""The findings that name the seventh part's own causes: judged by the table of findings alone, after all was committed.

Causes that a plant lists beside its own are judged by what names them elsewhere; an empty tuple says that no finding
names the cause itself.
"""

from __future__ import annotations

MEANS_SEVENTH: dict[str, tuple[str, ...]] = {
    "layers-not-registered": ("W10",),
    "warm-up-too-long": (),
    "weights-overwritten": ("W16",),
    "non-differentiable-operation": ("W04",),
    "optimizer-epsilon-too-large": ("O07",),
    "momentum-too-high": ("O07",),
    "group-rate-too-low": ("W12",),
    "labels-inconsistent": (),
    "augmentation-too-strong": (),
    "targets-too-small": ("D08",),
    "mask-inverted": ("W19",),
    "class-weights-wrong": ("L09",),
    "loss-unbounded": ("L11",),
    "regulariser-dominates": ("L15",),
    "output-constant": ("L02", "L06"),
    "dropout-in-evaluation": ("W23",),
    "bottleneck-too-narrow": ("A06",),
    "updates-too-rare": ("W06",),
}
