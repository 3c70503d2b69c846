"""The doctor's findings that name each cause of the held-out half alone, judged by what the findings say and before any
scoring. Whoever tunes a doctor does not read this file before the final score."""

from __future__ import annotations

#: An empty tuple: the doctor has no finding whose title and cause say this.
MEANS_HELD_OUT: dict[str, tuple[str, ...]] = {
    "adam-epsilon-too-large": ("O07",),
    "logarithm-of-zero": ("A05", "L13"),
    "batch-too-small-for-normalisation": ("W17",),
    "attention-mask-wrong": ("W18", "W20"),
    "axes-swapped": ("W09",),
    "output-bias-huge": ("I09",),
    "weights-reset": ("W16",),
    "labels-equal-inputs": ("D10",),
    "augmentation-destroys-inputs": (),
    "label-smoothing-too-high": ("L07",),
    "momentum-too-high": ("O07",),
    "class-weights-wrong": ("L09",),
    "loss-scale-not-undone": (),  # L03 is of sums over the batch
    "running-statistics-frozen": ("W15",),
    "targets-ignored": ("D07",),
    "group-rate-zero": ("W12",),
}
