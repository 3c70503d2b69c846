"""Heat maps of histograms: every entry is shown once, and what is not finite is marked."""

from __future__ import annotations

import numpy as np
import pytest

from orograph.diagnose.histogram import BINS, EDGES
from orograph.figures.strips import MOST, strips
from orograph.results import Histograms, Provenance


def histograms(layers: int, steps: int, seed: int = 0, spread: int = 30) -> Histograms:
    """Random counts in ``spread`` neighbouring bins, and some entries that are zero or not finite."""
    random = np.random.default_rng(seed)
    counts = np.zeros((steps, layers, BINS), dtype=np.int64)
    for k in range(layers):
        first = int(random.integers(BINS - spread))
        counts[:, k, first : first + spread] = random.integers(1, 50, (steps, spread))
    special = np.zeros((steps, layers, 4), dtype=np.int64)
    special[:, :, 0] = random.integers(10, size=(steps, layers))
    special[-1, 0, 1] = 3
    return Histograms(
        names=tuple(f"layer{k}" for k in range(layers)),
        steps=np.arange(steps) * 10,
        edges=EDGES,
        counts=counts,
        special=special,
        provenance=Provenance(),
    )


@pytest.mark.parametrize("spread", [1, 5, 14, 15, 30, 59])
def test_a_strip_holds_every_entry_once(spread: int) -> None:
    result = histograms(3, 4, spread=spread)
    found = strips(result)
    total = result.counts.sum(2) + result.special.sum(2)
    for k, name in enumerate(result.names):
        rows = [row for row, layer in enumerate(found.layers) if layer == name]
        # Where there are fewer bins than rows a bin fills several rows, so count each magnitude once.
        once = {float(found.low[row]): found.shares[row] for row in rows if found.shares[row].any()}
        np.testing.assert_allclose(sum(once.values()), result.counts[:, k].sum(1) / total[:, k])
    assert [name for _, name in found.centres] == ["layer2", "layer1", "layer0"]  # the first on top
    assert [step for _, step in found.broken] == [3]


def test_many_layers_are_thinned_and_counted() -> None:
    found = strips(histograms(60, 3))
    assert len(found.centres) == MOST
    assert found.left_out == 60 - MOST


def test_both_figures_show_the_same_shares() -> None:
    result = histograms(4, 5)
    found = strips(result)
    figure = result.figure()
    np.testing.assert_allclose(np.asarray(figure.data[0].z, float) ** 2, found.shares, rtol=1e-5)
    axes = result.plot().axes
    drawn = np.ma.filled(np.ma.asarray(axes[0].images[0].get_array()).astype(float), np.nan)
    np.testing.assert_allclose(drawn**2, found.shares, rtol=1e-5)
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["layer3", "layer2", "layer1", "layer0"]
