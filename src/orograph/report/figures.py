"""A panel's figure in two forms: plotly views for the screen, and a still picture for print and for readers
without JavaScript.

A plane has up to six views (map or surface, coloured by accuracy, loss or its logarithm) that share most of their
arrays, so a panel's arrays are pooled: each is written once and the views refer to it by number.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, get_args

from markupsafe import Markup

from orograph.figures import Kind, figure
from orograph.figures.relief import default_quantity, quantities
from orograph.report.shapes import height_of, proportion
from orograph.report.stills import narrow_still, still
from orograph.results import Result, Surface


@dataclass(frozen=True)
class Drawn:
    """What the page needs of one figure. ``data`` is JSON that may stand inside a script element; ``narrow`` a still
    for phones, empty where ``still`` serves them too; ``height`` in pixels, 0 where it follows from ``proportion``."""

    data: Markup
    still: str
    narrow: str
    proportion: float
    height: int
    kinds: tuple[str, ...]
    quantities: tuple[str, ...]
    quantity: str
    summary: str


def drawn(result: Result) -> Drawn:
    """Both forms of the figure of ``result``.

    Raises
    ------
    UsageError
        This kind of result has no figure.
    """
    views: dict[str, Any] = {}
    kinds: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    first = ""
    if isinstance(result, Surface):
        kinds, colours, first = get_args(Kind), quantities(result), default_quantity(result)
        for kind in get_args(Kind):
            for quantity in quantities(result):
                views[f"{kind}|{quantity}"] = _plain(figure(result, kind=kind, quantity=quantity))
    else:
        views["|"] = _plain(figure(result))
    return Drawn(
        data=script_json(pooled(views)),
        still=still(result),
        narrow=narrow_still(result),
        proportion=proportion(result),
        height=height_of(result),
        kinds=kinds,
        quantities=colours,
        quantity=first,
        summary=result.summary(),
    )


def pooled(views: dict[str, Any]) -> dict[str, Any]:
    """``{"arrays": [...], "views": {...}}`` in which each array of the views is ``{"$": its number}``."""
    numbers: dict[str, int] = {}
    arrays: list[Any] = []

    def refer(value: Any) -> Any:
        if isinstance(value, dict):
            if "bdata" in value:
                key = json.dumps(value)
                if key not in numbers:
                    numbers[key] = len(arrays)
                    arrays.append(value)
                return {"$": numbers[key]}
            return {name: refer(item) for name, item in value.items()}
        return [refer(item) for item in value] if isinstance(value, list) else value

    return {"views": refer(views), "arrays": arrays}


def script_json(value: Any) -> Markup:
    """JSON that no text inside it can break out of: the signs that end a script element or a line are escaped.

    Numbers that are not finite become null, since JSON has no word for them.
    """
    text = json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704  nothing is left in it that HTML could read


def _plain(figure: Any) -> Any:
    return json.loads(figure.to_json())


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
