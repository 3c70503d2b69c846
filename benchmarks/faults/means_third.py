"""The doctor's findings that name each cause of the third half alone, judged by the table in ``docs/doctor.md``, and
judged anew, by the author of the fourth half, when that table had grown.

That was after all plants were committed and before any scoring. Whoever tunes a doctor does not read this file first.
"""

from __future__ import annotations

#: An empty tuple: no finding of the table says this. A plant may list a second cause that one does name.
MEANS_THIRD: dict[str, tuple[str, ...]] = {
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
