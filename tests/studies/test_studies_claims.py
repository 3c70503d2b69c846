"""Intervals against scipy, closed forms and simulation; each claim comes out yes, no and undecided."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from orograph.results import Barrier, Distances, Line, Provenance, Run
from orograph.studies import statistics
from orograph.studies.initial_values import claims


def made(cls, **known):
    """A result with only the fields that a claim reads."""
    found = object.__new__(cls)
    names = {field.name for field in dataclasses.fields(cls)}
    assert known.keys() <= names, known.keys() - names
    for name, value in {"provenance": Provenance(), **known}.items():
        object.__setattr__(found, name, value)
    return found


def runs(*accuracies):
    return [made(Run, test_accuracy=np.array([0.1, value])) for value in accuracies]


def distances(matrix):
    matrix = np.asarray(matrix, dtype=float)
    return made(Distances, names=tuple(map(str, range(len(matrix)))), matrix=matrix)


def equilateral(n, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    upper = np.triu(40 * (1 + noise * rng.standard_normal((n, n))), 1)
    return distances(upper + upper.T)


def lines(*heights, rises=None):
    alphas = np.linspace(0, 1, 5)
    found = {}
    for index, height in enumerate(heights):
        barrier = made(Barrier, height=1.0, error_height=height, resolved=True) if height is not None else None
        rise = rises[index] if rises else 0.0
        accuracy = 0.1 + 0.2 * alphas + rise * np.array([0, 0.5, 1, 0.5, 0])
        counted = np.full(5, 10_000)
        found[str(index)] = made(Line, barrier=barrier, alphas=alphas, accuracy=accuracy, n_examples=counted)
    return found


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=9))
def test_the_mean_interval_is_scipys(values):
    low, high = statistics.mean_interval(values)
    if np.std(values) > 1e-6:
        wanted = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
        assert (low, high) == pytest.approx(wanted, rel=1e-9, abs=1e-9)
    else:
        assert low == pytest.approx(high, abs=1e-4)


def test_intervals_that_cannot_be_had_are_none():
    assert statistics.mean_interval([1.0]) is None
    assert statistics.mean_interval([1.0, math.inf]) is None
    assert statistics.deviation_interval([1.0]) is None
    assert statistics.jackknife_interval(lambda chosen: float(len(chosen)), 2) is None
    assert math.isnan(statistics.finite_mean([]))


def test_three_heights_that_are_all_far_above_zero_bound_their_mean_from_below():
    heights = [0.2, 0.4, 0.6]
    assert statistics.mean_interval(heights)[0] < 0  # Student's t with two degrees of freedom knows nothing
    assert statistics.height_interval(heights)[0] == pytest.approx(0.2 * 0.025 ** (1 / 3))
    assert statistics.height_interval(heights)[1] == statistics.mean_interval(heights)[1]
    even = [0.400, 0.401, 0.402]
    assert statistics.height_interval(even) == statistics.mean_interval(even)
    assert statistics.height_interval([0.0, 0.0, 0.3])[0] == 0
    assert statistics.height_interval([0.1]) is None
    assert statistics.height_interval([0.0, 0.5], most=1.0)[1] == 1.0


@pytest.mark.parametrize("shape", [0.3, 1.0, 4.0])
def test_the_lower_end_for_heights_holds_also_for_skewed_ones(shape):
    generator = np.random.default_rng(0)
    samples = generator.gamma(shape, 1 / shape, size=(4000, 3))  # mean 1
    too_high = np.mean([statistics.height_interval(sample)[0] > 1 for sample in samples])
    assert too_high < 0.05


def test_the_jackknife_of_a_mean_is_the_mean_interval():
    values = np.array([0.3, 1.7, 0.9, 2.2, -0.4])
    found = statistics.jackknife_interval(lambda chosen: float(values[chosen].mean()), len(values))
    assert found == pytest.approx(statistics.mean_interval(values))


@pytest.mark.parametrize(("interval", "truth"), [(statistics.mean_interval, 5.0), (statistics.deviation_interval, 2.0)])
def test_nineteen_of_twenty_intervals_hold_the_truth(interval, truth):
    rng = np.random.default_rng(0)
    found = [interval(rng.normal(5.0, 2.0, size=5)) for _ in range(2000)]
    covered = np.mean([low <= truth <= high for low, high in found])
    assert 0.93 < covered < 0.97


def test_the_jackknife_over_replicas_covers_statistics_of_pairs():
    # Pairs share replicas: points on a line, mean distance of pairs; an interval over pairs would be far too short.
    rng = np.random.default_rng(1)
    truth, hits = 2 / math.sqrt(math.pi), []
    for _ in range(400):
        points = rng.standard_normal(8)

        def mean_distance(chosen, points=points):
            some = points[chosen]
            return float(np.abs(some[:, None] - some)[np.triu_indices(len(some), 1)].mean())

        low, high = statistics.jackknife_interval(mean_distance, 8)
        hits.append(low <= truth <= high)
    assert 0.88 < np.mean(hits) <= 1.0


@pytest.mark.parametrize("rule", [statistics.at_most, statistics.above])
def test_a_rule_needs_the_whole_interval_on_one_side(rule):
    yes, no = (1.0, 3.0) if rule is statistics.at_most else (3.0, 1.0)
    assert rule(yes, (yes - 0.5, yes + 0.5), 2.0) == "reproduced"
    assert rule(no, (no - 0.5, no + 0.5), 2.0) == "not reproduced"
    assert rule(yes, (1.5, 2.5), 2.0) == "inconclusive"
    assert rule(yes, None, 2.0) == "inconclusive"  # one value decides nothing
    assert rule(math.nan, (math.nan, math.nan), 2.0) == "inconclusive"


BARRIER = ("id", "statement", "published")
PAIR_OF_NETWORKS = equilateral(8, 0.001)
CASES = {
    "equal accuracy": (
        lambda values: claims.equal_accuracy(runs(*values)),
        [0.9170, 0.9171, 0.9169, 0.9170, 0.9170, 0.9172],
        [0.5, 0.9, 0.7, 0.6, 0.8, 0.4],
        [0.91, 0.92, 0.915, 0.905],
    ),
    "equal distances": (
        lambda end: claims.equal_distances(PAIR_OF_NETWORKS, end),
        equilateral(8, 0.003),
        distances(np.abs(np.subtract.outer(np.arange(8.0), np.arange(8.0)))),
        equilateral(5, 0.06, seed=3),
    ),
    "start to end": (
        lambda own: claims.start_to_end(own, PAIR_OF_NETWORKS),
        [53.0, 53.2, 53.1, 53.3, 53.2, 53.1, 53.0, 53.4],
        [20.0, 20.1, 20.2, 20.1, 20.0, 20.1, 20.3, 20.2],
        [30.0, 55.0, 28.0, 52.0, 41.0, 39.0, 48.0, 33.0],
    ),
    "a barrier": (
        lambda heights: claims.barrier_separates(*BARRIER, lines(*heights)),
        [0.5, 0.52, 0.49],
        [0.0, 0.001, 0.0],
        [0.0, 0.01, 0.09],
    ),
    "no barrier": (
        lambda heights: claims.no_barrier(*BARRIER, lines(*heights)),
        [0.0, 0.001, 0.0],
        [0.5, 0.52, 0.49],
        [0.0, 0.01, 0.09],
    ),
    "shallower": (
        lambda both: claims.shallower(lines(*both[0]), lines(*both[1])),
        ([0.5, 0.52, 0.49], [0.1, 0.11, 0.09]),
        ([0.1, 0.11, 0.09], [0.5, 0.52, 0.49]),
        ([0.1, 0.3, 0.2], [0.1, 0.25, 0.2]),
    ),
    "many abysses": (
        lambda rises: claims.many_abysses(runs(0.0, 0.01), lines(*[0.0] * len(rises), rises=rises)),
        [0.5, 0.52, 0.49],
        [0.0, 0.001, 0.0],
        [0.0, 0.01, 0.09],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_claim_can_say_yes_no_and_undecided(name):
    claim, yes, no, open_question = CASES[name]
    verdicts = [claim(case).verdict for case in (yes, no, open_question)]
    assert verdicts == ["reproduced", "not reproduced", "inconclusive"]
    found = claim(yes)
    assert found.published
    assert found.rule
    assert found.interval[0] <= found.measured <= found.interval[1]


def test_one_pair_or_too_few_replicas_decide_nothing():
    assert claims.barrier_separates(*BARRIER, lines(0.9)).verdict == "inconclusive"
    assert claims.no_barrier(*BARRIER, lines(0.0)).verdict == "inconclusive"
    assert claims.no_barrier(*BARRIER, lines(None)).verdict == "inconclusive"
    three = claims.equal_distances(equilateral(3), equilateral(3))
    assert (three.verdict, three.interval) == ("inconclusive", None)
    assert "at least four replicas" in three.note


def test_the_rise_of_accuracy_is_measured_from_the_chord_between_the_networks():
    alphas = np.linspace(-1, 2, 7)
    accuracy = np.where((alphas >= 0) & (alphas <= 1), 0.2 + 0.1 * alphas, 0.9)
    accuracy[3] += 0.3  # alpha 0.5
    assert claims.accuracy_rise(made(Line, alphas=alphas, accuracy=accuracy)) == pytest.approx(0.3)


def test_the_welch_interval_is_scipys():
    a, b = [0.5, 0.7, 0.6, 0.65], [0.1, 0.3, 0.15]
    wanted = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert statistics.welch_interval(a, b) == pytest.approx((wanted.low, wanted.high))


def test_three_equal_heights_are_known_no_better_than_to_one_example():
    assert statistics.height_interval([0.0, 0.0, 0.0]) == (0.0, 0.0)
    low, high = statistics.height_interval([0.0, 0.0, 0.0], resolution=1 / 360)
    assert low == 0.0
    assert high == pytest.approx(statistics.mean_interval([-1 / 360, 0.0, 1 / 360])[1])
