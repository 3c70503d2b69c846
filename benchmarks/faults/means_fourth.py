"""The doctor's findings that name each cause of the fourth half alone, judged by the table in ``docs/doctor.md``.

That was after all plants were committed and validated and before any scoring. Whoever tunes a doctor does not read this
file first. ``MEANS_THIRD_NOW`` judges the causes of ``means_third.py`` anew, by the table of the same day.
"""

from __future__ import annotations

#: An empty tuple: no finding of the table says this. A plant may list a second cause that one does name.
MEANS_FOURTH: dict[str, tuple[str, ...]] = {
    "sentinel-values": ("D02",),
    "loss-does-not-fit-targets": (),
    "focal-exponent-too-large": ("L12",),  # most examples of a batch do not count, which is what happens there
    "accumulation-too-long": ("W06",),
    "positions-missing": ("A04",),
    "targets-truncated": (),
    "precision-too-low": ("A05",),
    "wrong-place-read": ("W19",),
    "vocabulary-mismatched": ("D03",),
    "optimizer-state-lost": (),
    "dropout-on-outputs": ("A03",),
    "memory-cut": (),
}

MEANS_THIRD_NOW: dict[str, tuple[str, ...]] = {
    "activations-missing": ("A02",),
    "bottleneck-too-narrow": (),
    "layers-not-registered": ("W10",),
    "layer-made-in-forward": (),
    "dropout-never-off": (),
    "normalisation-erases-signal": ("I01", "W19"),  # the signal dies on its way, and inputs have no effect
    "softmax-in-hidden-layer": (),
    "not-differentiable": ("W04",),
    "axes-swapped": ("W09",),
    "positions-drown-inputs": (),
    "padding-read-as-data": ("W19",),
    "gradient-reversed": ("L04",),
    "labels-collapsed": ("D06",),
    "resolution-lost": ("D03",),
    "log-softmax-missing": ("L11",),
    "penalty-too-large": ("O05",),
    "loss-divided-again": (),
    "positive-weight-wrong": ("L09",),
    "temperature-too-high": (),
    "targets-not-mixed": (),
    "gates-saturated": ("I05", "I09"),
    "normalisation-epsilon-too-large": ("W15",),
    "betas-wrong": ("O07",),
    "warm-up-too-long": (),
    "schedule-grows": (),
    "gradient-noise-too-large": (),
    "weights-averaged-back": ("W16",),
    "copy-trained": ("L08", "W04"),
    "weights-clamped": (),
}
