"""The study of learned initial scales: its starts, its arms, claims that can be yes, no and undecided, a small run."""

import math

import numpy as np
import pytest
import torch
from tiny import NET
from torch import nn

import orograph as og
from orograph import studies
from orograph.basics.errors import UsageError
from orograph.execute.schedule import task_keys
from orograph.initialize.global_scale import GRID
from orograph.results import Comparison, LearnedScales, Run, load
from orograph.store import Store
from orograph.studies.gradinit import claims, published
from orograph.studies.gradinit.beyond.gan import Pair, frechet_distance
from orograph.studies.gradinit.measures import Reached
from orograph.studies.gradinit.options import GradInit, parted
from orograph.studies.gradinit.plan import BASE, CONSTANT, GRADINIT, WARMUP, run_of, scales_of
from orograph.studies.gradinit.starts import at_base
from orograph.studies.options import paper as paper_size
from orograph.studies.scaled_starts import chosen_scales, multiply, steps_worth, train_before
from orograph.studies.subject import model_options
from orograph.train import Recipe, Streams, fit
from orograph.weights import Weights

NETWORK = "resnet8(width=0.25)"
TINY = {
    "networks": (NETWORK,),
    "repeats": 2,
    "train.epochs": 1,
    "train.batch_size": 50,
    "train_size": 200,
    "test_size": 60,
    "iterations": 3,
    "metainit_iterations": 1,
    "gradient_batches": 2,
    "autoencoder_epochs": 0.5,
    "gan_epochs": 0.5,
}
BARE = {**TINY, "beyond": False}


# -- the starts ----------------------------------------------------------------------------------------------------


def test_the_base_is_he_normal_by_fan_out_and_small_for_what_classifies():
    data = og.data.load("digits")
    network = at_base({"name": "vgg-e", "options": {"head": 0}}, data, seed=3)
    for name, weight in network.named_parameters():
        if name.endswith("bias"):
            assert not weight.any()
            continue
        wanted = 0.01 if name.startswith("head") else math.sqrt(2 / (9 * weight.shape[0]))
        spread = weight.detach().double()
        assert abs(float(spread.std()) / wanted - 1) < 4 / math.sqrt(2 * weight.numel())
        assert abs(float(spread.mean())) < 4 * wanted / math.sqrt(weight.numel())
    normalised = at_base({"name": "resnet20", "options": {}}, data, seed=3)
    layers = dict(normalised.named_modules())
    linear = [layer for layer in layers.values() if isinstance(layer, nn.Linear)]
    norms = [layer for layer in layers.values() if isinstance(layer, nn.BatchNorm2d)]
    assert abs(float(linear[0].weight.detach().std()) / 0.01 - 1) < 4 / math.sqrt(2 * linear[0].weight.numel())
    assert all(bool((layer.weight == 1).all()) and not layer.bias.any() for layer in norms)
    again = at_base({"name": "resnet20", "options": {}}, data, seed=3)
    assert Weights.of(again).distance(Weights.of(normalised)) == 0


def test_multiplying_by_learned_scales_is_what_the_method_itself_does_to_the_bit():
    data = og.data.load("digits", train_size=100, test_size=20)
    model = {"name": "resnet8", "options": {"width": 0.25}}
    found = og.initialize.gradinit(at_base(model, data, 0), data, iterations=3, batch_size=32, dry_run=True)
    itself, ours = at_base(model, data, 0), at_base(model, data, 0)
    og.initialize.gradinit(itself, data, iterations=3, batch_size=32)
    multiply(ours, chosen_scales("learned", found))
    assert Weights.of(itself).distance(Weights.of(ours)) == 0
    for kind, wanted in (("mean", (found.geometric_mean,)), ("global", GRID)):
        chosen = chosen_scales(kind, found)
        assert len(set(chosen.values())) == 1
        assert next(iter(chosen.values())) in wanted
        roles = dict(zip(found.tensors, found.roles, strict=True))
        assert {roles[name] for name in chosen} == {"weight", "gain"}


def test_iterations_before_a_run_are_counted_and_follow_their_schedule():
    data, recipe = og.data.load("digits", train_size=200, test_size=20), Recipe(batch_size=50, lr=0.1, epochs=1)
    for rising, wanted in ((False, 0.1), (True, 0.1 * 7 / 8)):
        network = at_base({"name": "resnet8", "options": {"width": 0.25}}, data, 0)
        start = Weights.of(network)
        run = train_before(network, data, recipe, Streams(), 7, rising=rising, device="cpu")
        assert run.steps[-1] == 7
        assert run.learning_rate[-1] == pytest.approx(wanted)
        assert Weights.of(network).distance(start) > 0
        assert run.seeds["order"] != Streams().order


# -- options -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("vgg-a", ("vgg-a", ())),
        ("vgg-a(width=0.25, head=0)", ("vgg-a", ("width=0.25", "head=0"))),
        ("my/file.py:build(width=2)", ("my/file.py:build", ("width=2",))),
    ],
)
def test_a_network_has_options_in_brackets(text, found):
    assert parted(text) == found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"networks": ()}, "one or more"),
        ({"networks": ("mlp", "mlp")}, "each once"),
        ({"networks": ("mlp(",)}, "name\\(option=value"),
        ({"train.epochs": 0.5}, "at least 1"),
        ({"train.measure_every": 0.4}, "whole fraction"),
        ({"train.optimizer": "adam"}, "transformer-warmup"),
        ({"train.direction": "climb"}, "descend"),
        ({"scale_lr": 0.0}, "above 0"),
        ({"clip_plain": 0.0}, "above 0"),
        ({"gan_epochs": 0.0}, "--no-beyond"),
        ({"gradient_batches": 1}, "at least 2"),
        ({"data": "copy-reverse", "model": "transformer"}, "no classes"),
    ],
)
def test_options_that_cannot_be_right(options, message):
    with pytest.raises(UsageError, match=message):
        studies.plan("gradinit", **options)


def test_the_published_sizes_are_the_published_networks():
    millions = {"vgg19-nobn": 20.03, "vgg19": 20.04, "resnet110-nobn": 1.72, "resnet110": 1.73, "resnet1202": 19.42}
    assert set(GradInit.papers) == set(millions)
    for paper, wanted in millions.items():
        options = paper_size(GradInit, paper)
        name, words = parted(options.names[0])
        assert (options.repeats, options.train.epochs, options.train.lr) == (4, 200, 0.1)
        with torch.device("meta"):
            network = og.models.build(name, classes=10, channels=3, image_size=32, **model_options(words))
        count = sum(parameter.numel() for parameter in network.parameters())
        assert count / 1e6 == pytest.approx(wanted, abs=0.0101)


def test_the_published_table_is_whole():
    rows = published.rows()
    assert len(rows) == 2 * len(published.PUBLISHED)
    assert all(len(row) == 2 + len(published.COLUMNS) for row in rows)
    assert ("GradInit", "best", "94.7 ± 0.1", "95.1 ± 0.1", "94.6 ± 0.1", "95.4 ± 0.1", "96.2 ± 0.1") in rows


# -- claims --------------------------------------------------------------------------------------------------------

UP, DOWN, MIXED = (0.1, 0.11, 0.09), (-0.1, -0.11, -0.09), (0.1, -0.1, 0.02)


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [(UP, "reproduced"), (DOWN, "not reproduced"), (MIXED, "inconclusive"), ((0.1,), "inconclusive")],
)
def test_gains_are_judged_by_their_sign(gains, verdict):
    found = (
        claims.first_epoch("net", gains, 0.001),
        claims.over_warmup("net", gains, 0.001),
        claims.best_epoch("net", gains, gains, 0.001),
    )
    assert {claim.verdict for claim in found} == {verdict}
    assert len({claim.id for claim in found}) == 3
    assert all(claim.measured == pytest.approx(np.mean(gains)) for claim in found)


def test_scales_and_variance_are_judged_by_their_bounds():
    assert claims.scales_differ((0.5, 0.52, 0.49)).verdict == "reproduced"
    assert claims.scales_differ((0.01, 0.02, 0.015)).verdict == "not reproduced"
    assert claims.scales_differ((0.05, 0.2, 0.1)).verdict == "inconclusive"
    assert claims.variance_falls(DOWN).verdict == "reproduced"
    assert claims.variance_falls(UP).verdict == "not reproduced"
    assert claims.variance_falls(MIXED).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("gains", "by_one", "verdict"),
    [
        (UP, (0.0, 0.01, 0.0), "reproduced"),
        (UP, (0.09, 0.1, 0.08), "not reproduced"),
        (UP, (0.05, 0.06, 0.04), "inconclusive"),
        (DOWN, (-0.3, -0.3, -0.3), "inconclusive"),  # nothing gained, so nothing to explain
        (MIXED, (-0.3, -0.3, -0.3), "inconclusive"),
    ],
)
def test_one_scale_may_explain_half_of_a_gain_where_there_is_one(gains, by_one, verdict):
    claim = claims.more_than_one_scale(gains, by_one, 0.001)
    assert claim.verdict == verdict
    assert ("nothing to explain" in claim.note) == (gains is not UP)


def test_accuracies_at_three_moments():
    data = og.data.load("digits", train_size=100, test_size=50)
    recipe = Recipe(epochs=3, batch_size=25, measure_every=0.5)
    run = fit(og.models.build("mlp", data, seed=0), data, recipe)
    found = Reached.of(run)
    assert run.test_accuracy is not None
    assert found.first == run.test_accuracy[2]
    assert found.best == run.test_accuracy[1:].max()
    assert found.last == run.test_accuracy[-1]
    lost = fit(og.models.build("mlp", data, seed=0), data, Recipe(epochs=0))
    assert Reached.of(lost) == Reached(*[float(run.test_accuracy[0])] * 3)


# -- beyond --------------------------------------------------------------------------------------------------------


def test_the_distance_of_gaussians_is_that_of_their_means_and_covariances():
    random = np.random.default_rng(0)
    one = random.normal(size=(4000, 3))
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(one, one + np.array([3.0, 0.0, 4.0])) == pytest.approx(25)
    assert frechet_distance(one, 2 * one - one.mean(0)) == pytest.approx(np.trace(np.cov(one, rowvar=False)))


def test_each_network_of_a_gan_is_judged_by_its_own_loss():
    pair = Pair((1, 8, 8), seed=0)
    batch = {"real": torch.randn(6, 1, 8, 8), "noise": torch.randn(6, 16)}
    with torch.no_grad():
        for parameter in pair.discriminator.parameters():
            parameter.zero_()
        pair.discriminator.last.bias.fill_(2.0)  # sure that everything is real
    high, low = math.log1p(math.exp(2.0)), math.log1p(math.exp(-2.0))
    assert pair.generator_loss(pair.generator, batch).item() == pytest.approx(low)
    loss = pair.discriminator_loss(pair.discriminator, batch)
    assert loss.item() == pytest.approx(high + low)
    loss.backward()
    assert all(parameter.grad is None for parameter in pair.generator.parameters())


# -- the whole study -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gradinit")
    return folder, studies.run("gradinit", out=folder, executor="local", **TINY)


def test_the_whole_study_says_what_it_found(small):
    _, result = small
    assert [claim.id for claim in result.claims] == [
        f"first-epoch: {NETWORK}", f"equal-cost: {NETWORK}", f"best: {NETWORK}", "scales-differ", "variance-falls",
        "more-than-one-scale",
    ]  # fmt: skip
    curves = result.results[f"accuracy: {NETWORK}"]
    assert isinstance(curves, Comparison)
    assert set(curves.series) == {
        "Kaiming", "+k iterations, constant rate", "+k iterations, warm-up", "MetaInit", "GradInit",
        "one global scale", "geometric mean of GradInit",
    }  # fmt: skip
    gain = curves.series["GradInit"].values[0, 1] - curves.series["Kaiming"].values[0, 1]
    assert result.claims[0].measured == pytest.approx(gain)
    titles = [section.title for section in result.sections]
    assert titles == [
        NETWORK, "The published table", "By GradInit's own objective", "Beyond the paper: an autoencoder",
        "Beyond the paper: a GAN",
    ]  # fmt: skip
    assert {"zhu2021", "dauphin2019"} <= set(result.provenance.citations)


def test_equal_cost_arms_take_k_more_iterations_and_share_their_start_with_the_base(small):
    folder, _ = small
    files = _files(folder, TINY)
    for repeat in (1, 2):
        learned = LearnedScales.load(files[scales_of(NETWORK, repeat, "gradinit")]["result"])
        assert learned.iterations_worth > 2 * 3 - 1e-9  # two passes of each of three iterations, at least
        base, after = (Run.load(files[run_of(NETWORK, repeat, arm)]["run"]) for arm in (BASE, GRADINIT))
        for arm in (CONSTANT, WARMUP):
            before = Run.load(files[run_of(NETWORK, repeat, arm)]["prelude"])
            run = Run.load(files[run_of(NETWORK, repeat, arm)]["run"])
            assert before.steps[-1] == steps_worth(learned) == round(learned.iterations_worth)
            assert before.weight_norm[0] == base.weight_norm[0]
            assert run.weight_norm[0] == before.weight_norm[-1]
            assert run.steps[-1] == base.steps[-1]
            assert run.provenance.cost.backward - base.provenance.cost.backward == before.provenance.cost.backward
        assert after.weight_norm[0] != base.weight_norm[0]
        assert {run.seeds["order"] for run in (base, after)} == {base.seeds["order"]}
        assert "prelude" not in files[run_of(NETWORK, repeat, BASE)]


def test_nothing_is_computed_twice_and_an_option_redoes_what_depends_on_it(small):
    folder, result = small
    plan = studies.plan("gradinit", out=folder, **TINY)
    assert {task.name for task in plan.tasks} == plan.done
    assert studies.run("gradinit", out=folder, executor="local", **TINY).equals(result)
    redone = studies.plan("gradinit", out=folder, **{**TINY, "metainit_iterations": 2})
    left = {task.name for task in redone.tasks} - redone.done
    assert left
    assert all("metainit" in name.lower() for name in left)


def test_published_controls_last_one_epoch(tmp_path):
    bare = {**BARE, "repeats": 1, "published_control": True}
    result = studies.run("gradinit", out=tmp_path, executor="local", **bare)
    assert {claim.verdict for claim in result.claims} == {"inconclusive"}
    files = _files(tmp_path, bare)
    name = f"run 1, +1 epoch, warm-up: {NETWORK}"
    assert Run.load(files[name]["prelude"]).steps[-1] == Run.load(files[name]["run"]).steps[-1] == 4


def test_a_run_that_diverges_is_an_answer(tmp_path):
    wild = {**BARE, "repeats": 1, "model": "mlp", "train.lr": 1e12, "clip_plain": None, "train.weight_decay": 0.5}
    result = studies.run("gradinit", out=tmp_path, executor="local", **wild)
    assert any("Diverged" in note and "Kaiming" in note for note in result.notes)


def test_networks_of_ones_own(tmp_path):
    (tmp_path / "mine.py").write_text(NET)
    mine = {**BARE, "repeats": 1, "model": f"{tmp_path}/mine.py:build(width=6)", "data": f"{tmp_path}/mine.py:blobs"}
    mine |= {"train_size": None, "test_size": None, "train.batch_size": 30}
    result = studies.run("gradinit", out=tmp_path / "out", executor="local", **mine)
    assert result.results[f"accuracy: {mine['model']}"]
    with pytest.raises(UsageError, match="--no-beyond"):
        studies.plan("gradinit", **{**mine, "beyond": True})


def _files(folder, options):
    """Every output of a finished study by task."""
    tasks = studies.plan("gradinit", out=folder, **options).tasks
    store = Store(folder, writable=False)
    try:
        return {task.name: store.outputs(task_keys(tasks)[task.name]) for task in tasks}
    finally:
        store.close()


def test_results_are_read_back(small):
    folder, result = small
    assert load(folder / "result.npz").equals(result)
