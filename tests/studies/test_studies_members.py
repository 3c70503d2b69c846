"""Studies of ensembles: claims that can be yes, no and undecided, and small runs with every part."""

import numpy as np
import pytest

from orograph import models, studies
from orograph.basics.errors import UsageError
from orograph.execute.schedule import task_keys
from orograph.results import Comparison, Polyline, Predictions
from orograph.store import Store
from orograph.studies.fast_ensembling import claims as fast
from orograph.studies.fast_ensembling.published import PUBLISHED as BUDGETS
from orograph.studies.mean_claim import mean_claim
from orograph.studies.members.standing import Standing, joined
from orograph.studies.options import paper
from orograph.studies.registry import known
from orograph.studies.running import resolve
from orograph.studies.snapshot_ensembles import claims as snapshots
from orograph.studies.snapshot_ensembles.published import PUBLISHED as FAMILY
from orograph.studies.statistics import difference_interval, mean_interval

_RECIPE = {"train.epochs": 2, "train.batch_size": 50, "train_size": 200, "test_size": 60}
FAST = {**_RECIPE, "repeats": 2, "budgets": 2, "fge_cycle": 0.5, "fge_start": 0.5, "snapshots": 2, "train_examples": 50}
SNAPSHOTS = {**_RECIPE, "repeats": 2, "cycles": 2}


def gains(means, examples=1000, seed=0):
    """A gain for each repetition: in so many of the examples one method is right and the other wrong."""
    chance = np.random.default_rng(seed)
    found = []
    for mean in means:
        error = np.zeros(examples)
        error[chance.permutation(examples)[: round(abs(mean) * examples)]] = np.sign(mean)
        found.append(Standing(error, np.zeros(examples)))
    return found


@pytest.mark.parametrize(
    ("means", "verdict"),
    [
        ((0.05, 0.052, 0.049), "reproduced"),
        ((-0.05, -0.052, -0.049), "not reproduced"),
        ((0.0, 0.0, 0.0), "inconclusive"),
        ((0.05, -0.05, 0.02), "inconclusive"),
        ((0.05,), "inconclusive"),
    ],
)
def test_a_gain_is_decided_over_repetitions_and_examples(means, verdict):
    for claim in (
        fast.fge_beats_one_network, fast.snapshots_beat_one_network, fast.fge_beats_snapshots, fast.more_members_help,
        snapshots.snapshots_beat_one_network, snapshots.cycles_matter, snapshots.memory_matters,
        snapshots.single_cycles_are_too_short, snapshots.higher_rate_is_better,
    ):  # fmt: skip
        found = claim(gains(means))
        assert found.verdict == verdict
        assert found.measured == pytest.approx(np.mean(means), abs=1e-9)
    assert fast.fge_beats_independent(3, gains(means)).verdict == verdict


def test_few_examples_make_a_gain_uncertain():
    """The same gain in each of three repetitions, on ever more examples."""
    verdicts = [fast.fge_beats_one_network(gains((0.02, 0.02, 0.02), n)).verdict for n in (100, 10_000)]
    assert verdicts == ["inconclusive", "reproduced"]


@pytest.mark.parametrize(
    ("values", "close", "alike"),
    [
        ((0.18, 0.17, 0.19), "reproduced", "reproduced"),
        ((2.0, 2.1, 1.9), "not reproduced", "not reproduced"),
        ((0.2, 1.9, 0.9), "inconclusive", "inconclusive"),
    ],
)
def test_ratios_are_decided_over_repetitions(values, close, alike):
    assert fast.members_lie_close(values).verdict == close
    assert fast.members_disagree_less(values).verdict == alike


def test_a_member_may_be_one_point_worse():
    assert fast.members_are_nearly_as_good(gains((0.001, 0.002, 0.001))).verdict == "reproduced"
    assert fast.members_are_nearly_as_good(gains((0.08, 0.081, 0.08))).verdict == "not reproduced"


def test_equal_values_vary_by_the_resolution():
    assert mean_interval([0.0, 0.0, 0.0]) == (0.0, 0.0)
    low, high = mean_interval([0.0, 0.0, 0.0], resolution=0.01)
    assert high == pytest.approx(4.302653 * 0.01 / 3**0.5)
    assert low == -high
    assert mean_claim("a", "b", "c", [0.0] * 3, unit="", bound=0.0, side="at most", resolution=0.01).verdict == (
        "inconclusive"
    )


def test_both_sources_of_a_difference_add_in_squares():
    """Against a simulation of repetitions with effects of their own on examples with effects of their own."""
    chance = np.random.default_rng(0)
    covered, tries, repetitions, examples = 0, 400, 4, 200
    for _ in range(tries):
        common = chance.standard_normal(examples)
        each = chance.standard_normal(repetitions) * 0.05
        table = 0.1 + common[None, :] * 0.4 + each[:, None] + 0.1 * chance.standard_normal((repetitions, examples))
        low, high = difference_interval(table.mean(1), table.mean(0))
        covered += low <= 0.1 <= high
    assert covered / tries > 0.94
    assert difference_interval([0.1], common) is None


def test_published_tables_are_whole():
    assert len(BUDGETS) == 18
    assert {row[0] for row in FAMILY} == {"ResNet-110", "Wide-ResNet-32", "DenseNet-40", "DenseNet-100"}
    assert len(FAMILY) == 23
    best = [row for row in FAMILY if row[1] == "snapshots 0.2"]
    single = [row for row in FAMILY if row[1] == "single"]
    number = [[float(str(x).rstrip("*")) for x in row[2:] if x is not None] for row in (*best, *single)]
    # What the claim says of the table: lower in all 14 cells.
    cells = [a < b for one, other in zip(number[:4], number[4:], strict=True) for a, b in zip(one, other, strict=True)]
    assert (len(cells), all(cells)) == (14, True)


@pytest.fixture(scope="module")
def fast_study(tmp_path_factory):
    """The study's folder and result."""
    folder = tmp_path_factory.mktemp("fast")
    return folder, studies.run("fast-ensembling", out=folder, executor="local", **FAST)


def test_the_study_of_fast_ensembles_runs_and_does_nothing_twice(fast_study):
    folder, result = fast_study
    assert [claim.id for claim in result.claims] == [
        "fge-beats-one", "snapshots-beat-one", "fge-beats-snapshots", "fge-beats-independent", "members-help",
        "member-error", "disagreement", "distance", "legs",
    ]  # fmt: skip
    assert all(panel.result in result.results for section in result.sections for panel in section.panels)
    table = result.sections[0].tables[0]
    assert [row[2] for row in table.rows[:3]] == ["independent", "snapshots", "fge"]
    assert "1.000 budgets (fge)" in result.sections[0].text
    assert isinstance(result.results["legs through fge 1"], Polyline)
    walk = result.results["cycles of fge 1.1"]
    assert isinstance(walk, Comparison)
    assert len(walk.series["collected"].x) == 2
    assert len(result.results["error against members"].series["fge"].x) == 4
    plan = studies.plan("fast-ensembling", out=folder, **FAST)
    assert {task.name for task in plan.tasks} == plan.done
    assert studies.run("fast-ensembling", out=folder, executor="local", **FAST).equals(result)
    redone = studies.plan("fast-ensembling", out=folder, **{**FAST, "fge_high": 0.04})
    left = {task.name for task in redone.tasks if task.name not in redone.done}
    assert left
    assert all("fge" in name or "distances" in name for name in left)


def test_the_pool_of_two_budgets_is_all_members_of_two_runs(fast_study):
    folder, result = fast_study
    plan = studies.plan("fast-ensembling", out=folder, **FAST)
    errors = []
    for repeat in (1, 2):
        pool = joined([Predictions.load(_output(folder, plan, f"answers: fge {repeat}.{run}")) for run in (1, 2)])
        assert len(pool) == 4
        assert {member.run for member in pool.members} == {f"fge {repeat}.1", f"fge {repeat}.2"}
        p = np.exp(pool.logits.astype(np.float64))
        errors.append(((p / p.sum(-1, keepdims=True)).mean(0).argmax(-1) != pool.labels).mean())
    assert result.results["budgets"].series["fge"].values[0, 1] == pytest.approx(np.mean(errors))


def test_the_study_of_snapshots_runs(tmp_path):
    result = studies.run("snapshot-ensembles", out=tmp_path, executor="local", **SNAPSHOTS)
    assert [claim.id for claim in result.claims] == [
        "snapshots-beat-one", "cycles-matter", "memory-matters", "single-cycle-too-short", "higher-rate",
    ]  # fmt: skip
    rows = result.sections[0].tables[0].rows
    assert [row[0] for row in rows] == [
        "single", "dropout", "no cycle", "single cycle", "snapshots 0.05", "snapshots 0.1",
    ]  # fmt: skip
    assert {row[-1] for row in rows} == {"1.000"}
    without = studies.plan("snapshot-ensembles", **{**SNAPSHOTS, "dropout": None, "model": "mlp"})
    assert not any("dropout" in task.name for task in without.tasks)


@pytest.mark.parametrize(
    ("study", "options", "message"),
    [
        ("fast-ensembling", {"repeats": 0}, "repeats must be at least 1"),
        ("fast-ensembling", {"budgets": 0}, "budgets must be at least 1"),
        ("fast-ensembling", {"train.direction": "climb"}, "must be descend"),
        ("fast-ensembling", {"data": "nowhere"}, "nowhere"),
        ("fast-ensembling", {"fge_cycle": 50.0}, "no cycle of 50 epochs fits"),
        ("fast-ensembling", {"fge_high": 1e-4}, "low must be below high"),
        ("fast-ensembling", {"snapshots": 10_000}, "train longer"),
        ("snapshot-ensembles", {"cycles": 10_000}, "train longer"),
        ("snapshot-ensembles", {"lrs": (0.1, 0.05)}, "the lower one first"),
        ("snapshot-ensembles", {"dropout": 1.0}, "share of units"),
        ("snapshot-ensembles", {"model": "mlp"}, "--dropout none"),
    ],
)
def test_options_that_cannot_be_right(study, options, message):
    with pytest.raises(UsageError, match=message):
        studies.plan(study, **options)


def test_a_folder_belongs_to_one_study(tmp_path):
    studies.run("snapshot-ensembles", out=tmp_path, executor="local", **{**SNAPSHOTS, "repeats": 1, "train.epochs": 1})
    with pytest.raises(UsageError, match="is the folder of the study snapshot-ensembles"):
        studies.run("fast-ensembling", out=tmp_path, executor="local", **FAST)


def test_vectors_cannot_be_cropped(tmp_path):
    chance = np.random.default_rng(0)
    arrays = {
        f"{name}_{part}": chance.standard_normal((40, 5)).astype("f4") for name in "x" for part in ("train", "test")
    }
    arrays |= {f"y_{part}": chance.integers(0, 3, 40) for part in ("train", "test")}
    np.savez(tmp_path / "vectors.npz", **arrays)
    with pytest.raises(UsageError, match=r"--train.crop 0"):
        studies.plan("fast-ensembling", data=str(tmp_path / "vectors.npz"), model="mlp", **{"train.crop": 1})
    studies.plan("fast-ensembling", data=str(tmp_path / "vectors.npz"), model="mlp")


def test_a_paper_s_size_is_where_options_start():
    _, options = resolve("fast-ensembling", {"paper": "wrn-28-10-cifar100", "repeats": 1})
    assert (options.model, options.train.epochs, options.fge_cycle, options.repeats) == ("wrn-28-10", 200, 4.0, 1)
    for study in known():
        assert study.options.papers
        for name in study.options.papers:
            size = paper(study.options, name)
            assert size.data in ("cifar10", "cifar100", "svhn+extra", "multi30k", "./imagenet")
            # A study may bring a network of its own, by reference.
            assert ":" in size.network_name() or size.network_name() in models.known()
    with pytest.raises(UsageError, match="did you mean 'vgg16-cifar10'"):
        resolve("fast-ensembling", {"paper": "vgg16-cifar"})


def _output(folder, plan, task):
    with Store(folder, writable=False) as store:
        return store.outputs(task_keys(plan.tasks)[task])["result"]
