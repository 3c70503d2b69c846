"""Histograms against a reference on finite data; what is not finite is counted exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orograph.diagnose.histogram import BINS, EDGES, HIGH, LOW, histogram, histograms, quantile, sorted_out

FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)


@given(st.lists(FLOATS, min_size=1, max_size=200))
def test_every_number_is_counted_where_it_belongs(values: list[float]) -> None:
    array = np.array(values, dtype=np.float32)
    counts, special = histogram(torch.from_numpy(array))
    finite = np.abs(array[np.isfinite(array) & (array != 0)]).astype(np.float64)
    places = np.clip(np.floor(np.log2(finite)), LOW, HIGH - 1).astype(int) - LOW
    # A logarithm may round up to the next power of two where the bits do not.
    exact = np.array([np.clip(np.frexp(v)[1] - 1, LOW, HIGH - 1) - LOW for v in finite], dtype=int)
    assert np.abs(places - exact).max(initial=0) <= 1
    np.testing.assert_array_equal(counts, np.bincount(exact, minlength=BINS))
    expected = [(array == 0).sum(), np.isnan(array).sum(), np.isposinf(array).sum(), np.isneginf(array).sum()]
    assert special.tolist() == expected


@given(st.lists(FLOATS, min_size=1, max_size=50), st.lists(FLOATS, min_size=1, max_size=50))
def test_histograms_merge_by_addition(one: list[float], other: list[float]) -> None:
    together, special = histogram(torch.tensor([*one, *other]))
    apart = sorted_out(histograms([torch.tensor(one), torch.tensor(other)]).numpy())
    np.testing.assert_array_equal(together, apart[0].sum(0))
    np.testing.assert_array_equal(special, apart[1].sum(0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_number_formats(dtype: torch.dtype) -> None:
    values = torch.tensor([0.0, 1.5, -3.0, float("nan"), float("inf"), 1e-4]).to(dtype)
    counts, special = histogram(values)
    assert counts.sum() == 3
    assert special.tolist() == [1, 1, 1, 0]


def test_quantiles_come_from_the_bins() -> None:
    values = torch.logspace(-3, 3, 100_001, dtype=torch.float64)
    counts, _ = histogram(values)
    for share in (0.1, 0.5, 0.9):
        assert np.log10(quantile(counts, share)) == pytest.approx(-3 + 6 * share, abs=0.02)
    assert np.isnan(quantile(np.zeros(BINS, dtype=np.int64), 0.5))
    assert len(EDGES) == BINS + 1
