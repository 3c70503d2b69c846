"""The contour lines behind the page's title: the study's own first plane, or invented hills where it has none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from orograph.figures.relief import relief
from orograph.results import Result, Surface, Trajectory

WIDTH, HEIGHT = 1200, 480
LINES = 26


def contour_banner(results: Iterable[Result], name: str) -> Markup:
    """An SVG of contour lines; every fifth one is an index contour, as on a topographic map."""
    from contourpy import contour_generator

    values = _first_plane(results)
    values = _hills(name) if values is None else values
    finite = values[np.isfinite(values)]
    # Half even in height, half even in area: summits and plains both get their lines.
    even, areas = np.linspace(finite.min(), finite.max(), LINES), np.quantile(finite, np.linspace(0, 1, LINES))
    levels = ((even + areas) / 2)[1:-1]
    rows, columns = values.shape
    x, y = np.linspace(0, WIDTH, columns), np.linspace(HEIGHT, 0, rows)
    generator = contour_generator(x, y, np.ma.masked_invalid(values))
    drawn = []
    for index, level in enumerate(levels):
        lines = [np.asarray(line) for line in generator.lines(float(level))]
        path = "".join(_path(line) for line in lines if len(line) > 2)
        if path:
            drawn.append(f'<path class="{"index" if index % 5 == 4 else "line"}" d="{path}"/>')
    return Markup(  # noqa: S704  only numbers of ours are in it
        f'<svg class="banner" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(drawn)}</svg>"
    )


def _path(line: NDArray[np.float64]) -> str:
    points = [f"{round(x)} {round(y)}" for x, y in line]
    kept = [points[0]] + [point for previous, point in pairwise(points) if point != previous]
    return "M" + "L".join(kept)


def _first_plane(results: Iterable[Result]) -> NDArray[np.float64] | None:
    from scipy.ndimage import zoom

    for result in results:
        plane = result.surface if isinstance(result, Trajectory) else result
        if not isinstance(plane, Surface) or min(plane.loss.shape) < 8:
            continue
        values = relief(plane).values
        if np.isfinite(values).all() and np.ptp(values) > 0:
            factor = max(1.0, 90 / min(values.shape))
            return np.asarray(zoom(values, factor, order=3), dtype=np.float64)
    return None


def _hills(name: str) -> NDArray[np.float64]:
    """Hills that belong to ``name``: the same page always wears the same country."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    generator = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(0, 2.5, 120), np.linspace(0, 1, 60))
    values = np.zeros_like(x)
    for _ in range(9):
        at, width = generator.uniform((0, 0), (2.5, 1)), generator.uniform(0.12, 0.45)
        values += generator.uniform(0.4, 1) * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * width**2))
    return values
