"""Colours that stay apart for colour-blind readers and in grey print.

Categories use the palette of Okabe & Ito (2008); quantities use viridis and cividis, whose lightness is monotone.
Planes follow one rule: brighter is better, whether the colour shows accuracy or loss.
"""

from __future__ import annotations

INK = "#1f2a2e"  # lines and text; the page swaps it for a light ink in dark mode
PAPER = "#ffffff"  # halos and marker faces; swapped likewise
FAINT = "#8b979b"  # grids and guides: legible on white and on black
OUTLINE = "#101a1d"  # rims of markers that lie on coloured country; dark in both themes
BRIGHT = "#fdfdfd"  # faces of such markers; light in both themes

BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
ORANGE = "#E69F00"
SKY = "#56B4E9"
PURPLE = "#CC79A7"
YELLOW = "#F0E442"

SERIES = (ORANGE, SKY, VERMILLION, PURPLE, GREEN, BLUE)

SIZES = (BLUE, PURPLE, ORANGE)  # the ends of viridis vanish on black or on white; these grow lighter and stay legible

ACCURACY_SCALE = "viridis"
LOSS_SCALE = "cividis_r"
DISTANCE_SCALE = "cividis"


def series_colour(index: int) -> str:
    """The colour of the curve number ``index``; after six they repeat."""
    return SERIES[index % len(SERIES)]


def size_colour(share: float) -> str:
    """The colour of an ordered quantity at ``share`` in [0, 1] of its range, for lines on white and on black."""
    at = min(max(share, 0.0), 1.0) * (len(SIZES) - 1)
    below = min(int(at), len(SIZES) - 2)
    ends = [[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in SIZES[below : below + 2]]
    mixed = (round(low + (at - below) * (high - low)) for low, high in zip(*ends, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)
