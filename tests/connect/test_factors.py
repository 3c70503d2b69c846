"""Axes as products and sums of factors: what unifying, cutting and freezing do to positions."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orograph.connect.factors import Factor, cut, flat, freeze, places, product_of, sum_of, unify


def test_heads_and_their_entries_split_a_width() -> None:
    width, heads, entries = Factor(12), Factor(3), Factor(4)
    unify([width], [heads, entries], "view")
    found = dict(places([width]))
    assert set(found) == {heads.root(), entries.root()}
    assert found[heads.root()].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert found[entries.root()].tolist() == [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]


def test_a_split_is_seen_by_all_that_share_the_factor() -> None:
    a, b = Factor(6), Factor(6)
    unify([a], [b], "add")
    unify([b], [Factor(2), Factor(3)], "view")
    assert [factor.size for factor in flat([a])] == [2, 3]


def test_sizes_that_do_not_fit_are_frozen() -> None:
    a, b, c = Factor(4), Factor(9), Factor(6)
    unify([a, b], [c, Factor(6)], "view")
    assert a.root().reason == "view"
    assert c.root().reason == "view"


def test_frozen_is_inherited_by_merging_and_by_splitting() -> None:
    a, b = Factor(6, "input"), Factor(6)
    unify([a], [b], "add")
    unify([b], [Factor(2), Factor(3)], "view")
    assert [factor.reason for factor in flat([b])] == ["input", "input"]


def test_a_concatenation_cuts_what_it_is_added_to() -> None:
    one, two, whole = Factor(2), Factor(3), Factor(5)
    unify([sum_of([one, two])], [whole], "add")
    found = {f: p.ravel().tolist() for f, p in places([whole])}
    assert found == {one.root(): [0, 1], two.root(): [2, 3, 4]}


def test_two_concatenations_are_cut_where_either_is() -> None:
    left = [Factor(2), Factor(3)]
    right = [Factor(4), Factor(1)]
    unify([sum_of(left)], [sum_of(right)], "add")
    assert [p.ravel().tolist() for _, p in places([right[0]])] == [[0, 1], [2, 3]]
    assert left[0].root() is next(f for f, _ in places([right[0]]))


def test_a_flattened_concatenation_keeps_its_parts() -> None:
    channels = sum_of([Factor(2), Factor(3)])
    flattened = Factor(10)
    unify([channels, Factor(2, "pool")], [flattened], "flatten")
    free = [(f.size, p.shape) for f, p in places([flattened]) if f.reason is None]
    assert free == [(2, (2, 2)), (3, (3, 2))]


def test_cutting_gives_a_part_of_its_own() -> None:
    whole = Factor(12)
    query, key = cut([whole], 0, 4, "chunk"), cut([whole], 4, 8, "chunk")
    assert [p.ravel().tolist() for _, p in places([whole])] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert query[0].root() is not key[0].root()
    assert cut([whole], 0, 12, "slice")[0].root() is whole.root()


def test_cutting_through_an_inner_factor_freezes() -> None:
    heads, entries = Factor(3), Factor(4)
    cut([heads, entries], 2, 8, "slice")
    assert heads.reason == entries.reason == "slice"


def test_freezing_reaches_every_part() -> None:
    one, two = Factor(2), Factor(3)
    freeze([product_of([sum_of([one, two]), Factor(2)])], "roll")
    assert one.reason == two.reason == "roll"


@st.composite
def _axes(draw: st.DrawFn, depth: int = 2) -> Factor:
    if not depth or draw(st.booleans()):
        return Factor(draw(st.integers(2, 5)))
    parts = draw(st.lists(_axes(depth=depth - 1), min_size=2, max_size=3))
    return draw(st.sampled_from([sum_of, product_of]))(parts)


@given(_axes())
def test_positions_of_all_factors_cover_an_axis_as_often_as_it_has_factors(axis: Factor) -> None:
    for _, positions in places([axis]):
        assert len(np.unique(positions)) == positions.size  # no entry twice under one occurrence
    seen = np.unique(np.concatenate([positions.ravel() for _, positions in places([axis])]))
    assert seen.tolist() == list(range(axis.size))
