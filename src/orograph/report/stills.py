"""Still pictures of a page: for print, for readers without JavaScript, and until the interactive figure is drawn."""

from __future__ import annotations

import base64
import io

from orograph.figures import draw
from orograph.report.shapes import height_of, proportion
from orograph.results import Histograms, LossCurve, RateRange, Result

DPI = 130
_NARROW_DPI = 190  # screens of phones are fine
_INCH = 96  # pixels of a page; a card is 524 pixels wide, and 326 on a phone
_WIDE, _NARROW = 5.46, 3.4  # inches
_BELOW, _HIGHER = 60, 110  # pixels that figures are higher on a phone: with a height of their own, and the others

# Of a diagnosis: what is drawn for the page's own two widths, so that its words can be read at both.
_FITTED = (Histograms, LossCurve, RateRange)


def still(result: Result) -> str:
    """The paper figure as a PNG data address."""
    if not isinstance(result, _FITTED):
        return _picture(result, None, DPI)
    return _picture(result, (_WIDE, height_of(result) / _INCH or _WIDE * proportion(result)), DPI)


def narrow_still(result: Result) -> str:
    """The same for the width of a phone; empty where the wide one has to do."""
    if not isinstance(result, _FITTED):
        return ""
    fixed = height_of(result)
    height = fixed + _BELOW if fixed else _NARROW * _INCH * proportion(result) + _HIGHER
    return _picture(result, (_NARROW, height / _INCH), _NARROW_DPI)


def _picture(result: Result, size: tuple[float, float] | None, dpi: int) -> str:
    """200 colours are enough for it and a quarter of the size."""
    from matplotlib.figure import Figure
    from PIL import Image

    full, small = io.BytesIO(), io.BytesIO()
    figure = draw(result, None if size is None else Figure(figsize=size, layout="constrained").add_subplot())
    figure.savefig(full, format="png", dpi=dpi)
    palette = Image.open(full).convert("RGB").quantize(200, dither=Image.Dither.NONE)
    palette.save(small, format="png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(small.getvalue()).decode()
