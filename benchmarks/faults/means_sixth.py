"""The doctor's findings that name each cause of the sixth half alone, judged by the table in ``docs/doctor.md``.

That was after all plants were committed and validated and before any scoring. Whoever tunes a doctor does not read this
file first.
"""

from __future__ import annotations

#: An empty tuple: no finding of the table says this. A plant may list a second cause that one does name.
MEANS_SIXTH: dict[str, tuple[str, ...]] = {
    "buffer-overwritten": ("D03", "D09"),  # all inputs the same, in each batch; few different ones ever come
    "target-among-inputs": ("D10",),
    "labels-filled-in": ("D06",),
    "target-outliers": ("D08",),
    "loss-keeps-easy-examples": ("L12",),
    "loss-clamped": ("L08",),  # where it is clamped, backward reaches no parameter
    "targets-are-predictions": (),
    "posterior-collapsed": (),
    "pruned-too-much": (),
    "optimizer-state-stale": (),
    "adversarial-step-too-large": (),
}
