"""Laws and splits of pools whose truth is a finite sum, and of pools with collapsed networks in them."""

from dataclasses import replace

import numpy as np
import pytest
from sample_pools import coin_nll, coin_pool, nll_after, nll_before, pool
from scipy.stats import binom

from orograph.basics.errors import UsageError
from orograph.ensemble import before_averaging, calibrated_nll, combine, folds, memory_split, power_law, width_law
from orograph.ensemble.pool import Pool, Resampling, ladder
from orograph.results.power_law import MemorySplit, PowerLaw
from orograph.results.predictions import Predictions

COIN = (0.9, 0.2, 0.75)
QUICK = {"partitions": 4, "resamples": 25}


def test_sizes_grow_by_half_octaves():
    assert ladder(33) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32]
    assert ladder(1) == [1]


def test_points_are_means_over_groups_that_share_no_network():
    found = pool(12, 300)
    whole = Pool(found, "before")
    points = whole.points([1, 2, 6, 12], Resampling(partitions=1, resamples=400))
    assert points.groups.tolist() == [5, 5, 2, 1]
    halves = folds(300)
    everyone = calibrated_nll(before_averaging(found.logits, found.labels), halves)
    assert points.y[-1] == pytest.approx(everyone.value, rel=1e-6)
    assert points.draws[:, -1].std() == pytest.approx(everyone.se, rel=0.15)
    assert (np.diff(points.y) < 0).all()  # members beyond half the pool count too
    assert points.se[-1] == pytest.approx(points.se[2] * 2**0.5)  # borrowed: one group has the spread of one
    singles = whole.points([1], Resampling(groups=100, partitions=1))
    assert singles.groups == [12]
    alone = [calibrated_nll(before_averaging(found.logits[[i]], found.labels), halves).value for i in range(12)]
    assert singles.y[0] == pytest.approx(np.mean(alone), rel=1e-6)
    assert singles.se[0] == pytest.approx(np.std(alone, ddof=1) / 12**0.5, rel=1e-3)
    with pytest.raises(UsageError, match="at least 1"):
        whole.points([1], Resampling(resamples=0))
    with pytest.raises(UsageError, match="1 to 12 networks"):
        whole.points([13], Resampling())


def test_the_place_of_the_temperature_is_kept():
    found = pool(4, 200)
    log_p = combine(found.logits)
    group = np.arange(4)
    assert Pool(found, "none").nll(group).mean() == pytest.approx(nll_before(found.logits, found.labels, 1.0).mean())
    taus = np.geomspace(0.5, 4, 30)
    after = Pool(found, "after").nll(group).mean()
    assert after == pytest.approx(min(nll_after(log_p, found.labels, t).mean() for t in taus), rel=0.02)
    assert after != Pool(found, "before").nll(group).mean()
    with pytest.raises(UsageError, match="place of the temperature"):
        Pool(found, "during")


def test_intervals_hold_the_true_nll_of_each_size():
    """Fresh pools from one truth: the sum over coin throws lies inside the resamples' interval often enough."""
    sizes, trials = [1, 2, 4], 40
    truth = [coin_nll(n, *COIN) for n in sizes]
    inside = np.zeros(3)
    for seed in range(trials):
        points = Pool(coin_pool(20, 500, *COIN, seed=seed), "none").points(sizes, Resampling(partitions=8))
        low, high = np.percentile(points.draws, [2.5, 97.5], axis=0)
        inside += (low <= truth) & (truth <= high)
    assert (inside >= binom.ppf(0.0005, trials, 0.95)).all()


def test_a_pool_forecasts_the_networks_it_has_not_seen():
    law = power_law(coin_pool(32, 4000, *COIN), held_out=16, temperature="none", forecasts=[64], **QUICK)
    assert law.x.tolist() == [1, 2, 3, 4, 6, 8, 12, 16]
    assert law.x[law.fitted].max() == 6
    far, near = law.forecasts
    assert near.x == 16
    assert near.error_interval[0] < near.predicted - near.measured < near.error_interval[1]
    assert abs(near.predicted - near.measured) < 0.01
    assert far.interval[0] < coin_nll(64, *COIN) < far.interval[1]
    assert law.groups.tolist() == [5, 5, 5, 4, 2, 2, 1, 1]
    assert "a single group at 12, 16" in law.summary()
    assert "predicted less measured" in law.summary()
    with pytest.raises(UsageError, match="cannot be held out"):
        power_law(coin_pool(4, 50, *COIN), held_out=4)
    with pytest.raises(UsageError, match="at least 4"):
        power_law(coin_pool(3, 50, *COIN))


def test_networks_held_out_are_in_no_group_of_the_fit(monkeypatch):
    whole, asked = Pool(coin_pool(12, 50, *COIN), "none"), []
    original = whole.nll
    monkeypatch.setattr(whole, "nll", lambda group: (asked.append(set(group.tolist())), original(group))[1])
    points = whole.points([1, 2, 3, 4], Resampling(partitions=6), held_out=5)
    assert points.sizes.tolist() == [1, 2, 3, 4, 5]
    assert points.groups.tolist() == [5, 3, 2, 1, 1]
    per_partition = len(asked) // 6
    for k in range(0, len(asked), per_partition):
        *fitted, kept = asked[k : k + per_partition]
        assert len(kept) == 5
        assert not kept & set().union(*fitted)
    assert len({frozenset(asked[k]) for k in range(per_partition - 1, len(asked), per_partition)}) > 1


def test_the_interval_of_a_forecasts_error_knows_other_networks():
    """Networks of unequal worth: the law of some is off for others by more than their examples tell."""
    chance, inside, trials = np.random.default_rng(0), 0, 25
    for seed in range(trials):
        members = [coin_pool(1, 800, 0.9, chance.uniform(0.1, 0.5), 0.8, seed=40 * seed + k) for k in range(16)]
        found = Predictions.of([each.logits[0] for each in members], members[0].labels)
        forecast = power_law(found, held_out=8, temperature="none", partitions=20, resamples=5, seed=seed).forecasts[0]
        low, high = forecast.error_interval
        inside += low <= 0 <= high
    assert inside >= binom.ppf(0.001, trials, 0.9)


def test_calibrated_laws_are_reproduced_by_their_seed():
    one, other = (power_law(pool(12, 300), seed=3, **QUICK) for _ in "ab")
    assert one.equals(other)
    assert -1.2 < one.a < -0.4
    assert not one.equals(power_law(pool(12, 300), seed=4, **QUICK))


def collapsed_pool(value):
    """Seven networks and an eighth that says the same of everything, or nothing."""
    found = coin_pool(8, 600, *COIN)
    logits = found.logits.copy()
    logits[5] = [value, 0.0]
    return Predictions.of(logits, found.labels, [*"abcdefgh"])


def test_a_collapsed_network_is_listed_and_stays_in_the_law():
    found = collapsed_pool(2.0)
    law = power_law(found, temperature="none", **QUICK)
    assert list(law.collapsed) == ["f"]
    rest = power_law(found.subset([0, 1, 2, 3, 4, 6, 7]), temperature="none", **QUICK)
    assert law.without_collapsed.equals(rest)
    assert law.y[-1] > rest.y[-1]  # all eight are in the ensemble of eight
    assert law.x.max() == 8
    assert "collapsed, and in this law: f" in law.summary()
    assert "without the collapsed: c + b x^a" in law.summary()


def test_a_network_that_is_not_finite_leaves_the_law_without_it(tmp_path):
    law = power_law(collapsed_pool(np.nan), temperature="before", **QUICK)
    assert np.isnan(law.c)
    assert law.collapsed == {"f": "non-finite logits"}
    assert np.isfinite(law.without_collapsed.c)
    assert PowerLaw.load(law.save(tmp_path / "law")).equals(law)
    few = collapsed_pool(np.nan).subset([0, 1, 2, 5])
    assert power_law(few, **QUICK).without_collapsed is None


def test_a_law_in_width_names_its_axis():
    pools = {w: coin_pool(6, 3000, 0.95, 0.5 - 0.8 / w, 0.9, seed=w) for w in (2, 4, 8, 16, 32)}
    law = width_law(pools, axis="width", temperature="none", **QUICK)
    truth = [coin_nll(1, 0.95, 0.5 - 0.8 / w, 0.9) for w in (2, 4, 8, 16, 32)]
    np.testing.assert_allclose(law.y, truth, atol=0.03)
    assert law.axis == "width"
    assert law.groups.tolist() == [5] * 5
    two = width_law(pools, axis="parameters", n=2, temperature="none", **QUICK)
    assert (two.y < law.y).all()
    with pytest.raises(UsageError, match="'width' or 'parameters'"):
        width_law(pools, axis="depth")
    with pytest.raises(UsageError, match="different examples"):
        width_law(pools | {64: coin_pool(6, 2999, *COIN)}, axis="width")


SPLITS = {100: (0.8, 0.3, 0.6), 200: (0.92, 0.15, 0.75), 400: (0.95, 0.1, 0.8), 800: (0.96, 0.1, 0.82)}


@pytest.fixture(scope="module")
def coin_pools():
    return {size: coin_pool(16, 6000, *coin, seed=size) for size, coin in SPLITS.items()}


def test_the_best_split_is_the_true_one(coin_pools):
    budgets = [100, 200, 400, 800, 1600]
    split = memory_split(coin_pools, budgets, temperature="none", **QUICK)
    truth = np.array([[coin_nll(b // s, *SPLITS[s]) if s <= b else np.nan for s in SPLITS] for b in budgets])
    assert split.n.tolist() == [[b // s for s in SPLITS] for b in budgets]
    np.testing.assert_allclose(split.measured, truth, atol=0.02)
    np.testing.assert_allclose(split.predicted, truth, atol=0.03)
    assert split.best_n.tolist() == [1, 1, 2, 2, 4]
    assert split.predicted_n.tolist() == split.best_n.tolist()
    assert split.regret == pytest.approx(0, abs=1e-12)
    rows = np.arange(5)
    assert (split.share[rows, split.best] > 0.5).all()
    np.testing.assert_allclose(split.share.sum(1), 1)
    assert split.indistinguishable[rows, split.best].all()
    assert not split.indistinguishable[np.isnan(truth)].any()
    assert split.indistinguishable[-1].sum() < 4


def test_the_advantage_is_over_one_network_of_the_whole_budget(coin_pools):
    split = memory_split(coin_pools, temperature="none", **QUICK)  # a budget for one network of each size
    alone = [coin_nll(1, *coin) for coin in SPLITS.values()]
    assert split.advantage[:2] == pytest.approx(0)
    assert split.advantage[3] == pytest.approx(alone[3] - coin_nll(2, *SPLITS[400]), abs=0.02)
    assert split.advantage_interval[3, 0] > 0
    assert np.isnan(memory_split(coin_pools, [1600], temperature="none", **QUICK).advantage).all()
    assert "800: n* = 2" in split.summary()


def test_predictions_reach_beyond_the_pool(coin_pools, tmp_path):
    few = {size: found.subset(range(6)) for size, found in coin_pools.items()}
    split = memory_split(few, [100, 200, 400, 800, 1600, 10_000], fit_on=6, temperature="none", **QUICK)
    assert np.isnan(split.measured[4, :2]).all()
    assert np.isfinite(split.predicted[4]).all()
    assert split.predicted_n[4] == 4
    assert split.best[5] == -1  # no pool has so many
    assert split.best_n[5] == 0
    assert np.isnan(split.regret[5])
    assert split.envelope.axis == "total parameters"
    assert split.envelope.x.tolist() == [100, 200, 400, 800, 1600]
    assert split.used[1].tolist() == [200, 200, 0, 0]
    assert MemorySplit.load(split.save(tmp_path / "split")).equals(split)
    with pytest.raises(UsageError, match="holds no network"):
        memory_split(few, [50])


def test_a_split_says_which_networks_collapsed(coin_pools):
    broken = coin_pools[200].logits.copy()
    broken[3] = 0.0
    pools = {**coin_pools, 200: Predictions.of(broken, coin_pools[200].labels)}
    with pytest.raises(UsageError, match="different examples"):
        memory_split({100: coin_pools[100], 200: pool(4, 50)})
    split = memory_split(pools, temperature="none", **QUICK)
    assert list(split.collapsed) == ["200: 3"]
    assert split.without_collapsed.best_n.tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda p: power_law(p, forecasts=[0]), "name fewer"),
        (lambda p: memory_split({0: p}), "whole numbers from 1"),
        (lambda p: memory_split({0.5: p, 1.0: p}), "whole numbers from 1"),
    ],
)
def test_sizes_that_are_none(ask, message):
    with pytest.raises(UsageError, match=message):
        ask(pool(8))


def test_an_estimate_outside_its_own_interval_is_told():
    found = power_law(pool(12), sizes=[1, 2, 3, 4])
    moved = replace(found, cloud=found.cloud + np.array([10.0, 0.0, 0.0]))
    assert "c" in moved.untypical
    assert "not typical of the pool" in moved.summary()


def test_a_law_in_the_width_is_asked_for_the_widest():
    pools = {float(2**k): pool(6, 400, noise=3.0 / 2 ** (k / 2), seed=3) for k in range(6)}
    whole = width_law(pools, axis="width", **QUICK)
    asked = width_law(pools, axis="width", hold_out_largest=True, **QUICK)
    assert whole.forecasts == ()
    assert asked.fitted.tolist() == [True] * 5 + [False]
    (foretold,) = asked.forecasts
    assert foretold.x == 32.0
    assert foretold.measured == pytest.approx(whole.y[-1])
    assert foretold.predicted == pytest.approx(float(asked.predict(32.0)))
    low, high = foretold.error_interval
    assert low < high
