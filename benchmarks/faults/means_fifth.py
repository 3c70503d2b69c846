"""The doctor's findings that name each cause of the fifth half alone, judged by the table in ``docs/doctor.md``.

That was after all plants were committed and validated and before any scoring. Whoever tunes a doctor does not read this
file first.
"""

from __future__ import annotations

#: An empty tuple: no finding of the table says this. A plant may list a second cause that one does name.
MEANS_FIFTH: dict[str, tuple[str, ...]] = {
    "inputs-truncated": ("D03",),  # many blank inputs, which is what is left of them
    "label-codes-inconsistent": ("D05",),
    "loss-has-trivial-minimum": (),
    "entropy-bonus-too-large": (),
    "teacher-untrained": (),
    "residual-stream-explodes": ("I02",),
    "attention-saturated": (),
    "initialisation-not-centred": ("I02",),
    "dampening-too-high": ("O07",),
}
