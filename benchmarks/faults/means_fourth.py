"""The doctor's findings that name each cause of the fourth half alone, judged by the table in ``docs/doctor.md``.

That was after all plants were committed and validated and before any scoring. Whoever tunes a doctor does not read this
file first.
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
