"""VGGs from scratch: what is drawn and what copied, claims that can be yes, no and undecided, and a small run."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from orograph import studies
from orograph.basics.errors import UsageError
from orograph.data import load
from orograph.results import Comparison, Provenance
from orograph.studies.statistics import share_interval, welch_interval
from orograph.studies.vgg_from_scratch import claims
from orograph.studies.vgg_from_scratch.arms import (
    GLOROT,
    GRAFTED,
    HE,
    Arm,
    arms,
    between,
    grafted_normal,
    normal,
    scaled,
)
from orograph.studies.vgg_from_scratch.layers import look, weighty
from orograph.studies.vgg_from_scratch.networks import vgg
from orograph.studies.vgg_from_scratch.options import VggFromScratch
from orograph.studies.vgg_from_scratch.tasks import begin
from orograph.studies.vgg_from_scratch.trial import QUANTITIES, FromScratch

TINY = {
    "width": 0.03,
    "side": 8,
    "repeats": 2,
    "train.epochs": 2,
    "train.precision": "float32",
    "train.batch_size": 50,
    "source_epochs": 2,
    "train_size": 100,
    "test_size": 50,
    "early": 2,
    "probe": 20,
    "clips": (0.5,),
}
WIDTH = 0.125


def net(configuration="D", **options):
    torch.manual_seed(0)
    return vgg(configuration, classes=10, channels=1, image_size=8, **{"width": WIDTH, **options})


def drawn(start, configuration="D", source=None):
    """Standard deviations by layer name, short, and the layers copied."""
    model = net(configuration)
    copied = begin(model, start.scheme(WIDTH), 1, source)
    return {name.rpartition(".")[2]: float(layer.weight.detach().std()) for name, layer in weighty(model)}, copied


def fans(configuration="D"):
    found = {}
    for name, layer in weighty(net(configuration)):
        window = math.prod(layer.kernel_size)
        found[name.rpartition(".")[2]] = (layer.in_channels * window, layer.out_channels * window, layer.weight.numel())
    return found


OPTIONS = VggFromScratch()
ENDS = {"conv1_1", "conv1_2", "conv2_1", "conv2_2", "fc6", "fc7", "fc8"}


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (normal(OPTIONS), lambda name, fan_in, fan_out: 0.01 * math.sqrt(8)),
        (GLOROT, lambda name, fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out))),
        (HE, lambda name, fan_in, fan_out: math.sqrt(2 / fan_in)),
        (
            between(0.2),
            lambda name, fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out)) if name in ENDS else 0.2 * math.sqrt(8),
        ),
    ],
)
def test_every_layer_gets_the_deviation_of_its_configuration(start, expected):
    got, copied = drawn(start)
    assert copied == ()
    assert len(got) == 16
    for name, (fan_in, fan_out, count) in fans().items():
        # The sample deviation of n normal numbers strays by about 1 / sqrt(2 n) of itself.
        assert got[name] == pytest.approx(expected(name, fan_in, fan_out), rel=5 / math.sqrt(2 * count))


def test_a_narrow_net_keeps_what_a_layer_does_to_the_signal():
    channels, width = 512, 1 / 8
    for std in (0.01, 0.03, 0.2):
        wide, narrow = std * math.sqrt(9 * channels / 2), scaled(std, width) * math.sqrt(9 * channels * width / 2)
        assert narrow == pytest.approx(wide)


@pytest.mark.parametrize("start", [GRAFTED, grafted_normal(OPTIONS)])
def test_a_transplant_copies_the_ends_by_stage_and_draws_the_rest(start):
    shallow, deep = net("A"), net("D")
    begin(shallow, "he-normal", 7)
    copied = begin(deep, start.scheme(WIDTH), 1, shallow)
    # A's first four convolutions are the first of stages 1 and 2 and both of stage 3.
    assert copied == ("conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8")
    alone, _ = drawn(start)
    theirs = {name.rpartition(".")[2]: layer for name, layer in weighty(shallow)}
    for name, layer in weighty(deep):
        short = name.rpartition(".")[2]
        if short in copied:
            assert torch.equal(layer.weight, theirs[short].weight)
        else:
            assert float(layer.weight.detach().std()) == alone[short]


def test_small_images_are_enlarged_and_large_ones_are_not():
    assert net(side=32).size == (32, 32)
    assert vgg("A", 10, 1, (8, 16), side=32, width=WIDTH).size == (32, 64)
    assert vgg("A", 10, 3, 48, side=32, width=WIDTH).size == (48, 48)
    one, images = net(side=32).eval(), torch.randn(3, 1, 8, 8)
    larger = F.interpolate(images, size=(32, 32), mode="bilinear", align_corners=False)
    assert torch.equal(one(images), one(larger))


def test_layers_tell_a_dead_start_from_a_sound_one():
    images, labels = torch.randn(64, 1, 8, 8), torch.arange(64) % 10
    looks = {}
    for scheme in ("he-normal", "normal(0.0283)"):
        model = net()
        begin(model, scheme, 1)
        looks[scheme] = look(model, images, labels)
        assert all(parameter.grad is None for parameter in model.parameters())
        assert model.training
    sound, dead = looks["he-normal"], looks["normal(0.0283)"]
    assert sound.shape == (len(QUANTITIES), 16)
    assert sound[0, -1] > 1e3 * dead[0, -1]
    assert np.nanmin(sound[1]) > 1e3 * np.nanmin(dead[1])
    assert ((sound[3] > 0) & (sound[3] <= 1)).all()
    assert np.isnan(sound[2, -1])  # no activation behind the logits
    assert np.isfinite(sound[2, :-1]).all()


def test_at_the_start_weights_and_gradient_have_one_scalar_product_in_all_layers():
    """What the report says of gradients that rise and fall together (Euler, for a net without biases)."""
    model = net().double().eval()
    begin(model, "he-normal", 1)
    loss = F.cross_entropy(model(torch.randn(16, 1, 8, 8, dtype=torch.float64)), torch.arange(16) % 10)
    loss.backward()
    products = [float((layer.weight * layer.weight.grad).sum().detach()) for _, layer in weighty(model)]
    assert products == pytest.approx([products[0]] * 16, rel=1e-9)


def trial(accuracy=0.5, top=0.2, *, diverged=False):
    nothing = np.full((4, 2), np.nan)
    return FromScratch(
        name="", scheme="", layers=("a", "b"), drawn=np.ones(2), copied=(), start=nothing, early=nothing,
        accuracy=accuracy, most=0.2, top=top, ratio=1.0, diverged=diverged, provenance=Provenance(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("run", "ending"),
    [
        (trial(0.41), "learns"),  # above 0.2 + 0.25 * 0.8
        (trial(0.39), "between"),
        (trial(0.2, 0.96), "one class"),
        (trial(0.9, diverged=True), "diverged"),
        (trial(float("nan"), float("nan"), diverged=True), "diverged"),
    ],
)
def test_endings(run, ending):
    assert run.ending(0.25, 0.95) == ending
    assert run.learns(0.25) == (ending == "learns")


@pytest.mark.parametrize(
    ("yes", "verdict"),
    [
        ([True] * 6, "reproduced"),
        ([False] * 6, "not reproduced"),
        ([True] * 5, "inconclusive"),  # 5 of 5 leave 0.478 possible
        ([True, False] * 3, "inconclusive"),
        ([], "inconclusive"),
    ],
)
def test_shares_of_runs_are_judged_by_half(yes, verdict):
    for make in (
        claims.normal_everywhere,
        claims.small_middle,
        claims.own_middle,
        claims.middle,
        claims.large_middle,
        claims.no_cure,
    ):
        assert make(0.01, yes, "").verdict == verdict
    assert claims.glorot_shallow(yes, "").verdict == verdict


@pytest.mark.parametrize(
    ("differences", "verdict", "opposite"),
    [
        ((0.8, 0.82, 0.79), "reproduced", "not reproduced"),
        ((0.0, 0.0, 0.0), "not reproduced", "reproduced"),
        ((0.8, 0.0, 0.1), "inconclusive", "inconclusive"),
        ((0.8,), "inconclusive", "inconclusive"),
    ],
)
def test_differences_are_judged_by_ten_points(differences, verdict, opposite):
    one = 1 / 360
    assert claims.glorot_deep(differences, "", one).verdict == verdict
    assert claims.cliff(0.1, differences, "", one).verdict == verdict
    assert claims.saved(0.5, 0.1, differences, "", one).verdict == verdict
    assert claims.transplant(differences, "", one, source=0.9, taught=True).verdict == verdict
    assert claims.transplant_normal(0.01, differences, "", one, source=0.9, taught=True).verdict == opposite


def test_a_source_that_did_not_learn_decides_nothing():
    found = claims.transplant((0.8, 0.82, 0.79), "", 1 / 360, source=0.1, taught=False)
    assert found.verdict == "inconclusive"
    assert "0.100" in found.note


@pytest.mark.parametrize(
    ("learning", "failing", "verdict"),
    [
        ((-1.0, -1.1, -0.9), (-7.0, -6.0, -6.5), "reproduced"),
        ((-7.0, -6.0, -6.5), (-1.0, -1.1, -0.9), "not reproduced"),
        ((-1.0, -6.0, -3.0), (-7.0, 3.0, -4.0), "inconclusive"),
        ((), (-7.0, -6.0), "inconclusive"),
    ],
)
def test_gradients_of_runs_that_learn_are_the_larger_ones(learning, failing, verdict):
    assert claims.gradient_floor(learning, failing, "").verdict == verdict


def test_intervals_agree_with_closed_forms():
    low, high = share_interval(6, 6)
    assert (low, high) == (pytest.approx(0.025 ** (1 / 6)), 1.0)
    assert share_interval(0, 0) is None
    low, high = welch_interval((1.0, 2.0, 3.0), (0.0, 1.0, 2.0))  # equal spreads: Student's t with 4 degrees
    assert ((low + high) / 2, (high - low) / 2) == (
        pytest.approx(1.0),
        pytest.approx(2.7764 * math.sqrt(2 / 3), rel=1e-4),
    )


def test_the_whole_study_runs_and_does_nothing_twice(tmp_path):
    once = {**TINY, "repeats": 1}
    result = studies.run("vgg-from-scratch", out=tmp_path, executor="local", **once)
    assert [claim.id for claim in result.claims] == [
        "normal-everywhere", "small-middle", "own-middle", "suitable-middle", "large-middle", "clipping-no-cure",
        "glorot-shallow", "glorot-deep", "cliff", "clipping-saves", "transplant", "transplant-normal", "gradient-floor",
    ]  # fmt: skip
    figure = result.results["layers of D at the start"]
    assert isinstance(figure, Comparison)
    assert {one.values.shape for one in figure.series.values()} == {(4, 16)}
    assert figure.logarithmic == QUANTITIES[:2]
    table = result.sections[0].tables[0]
    assert len(table.rows) == len(arms(VggFromScratch(clips=(0.5,)))) + 1
    plan = studies.plan("vgg-from-scratch", out=tmp_path, **once)
    assert {task.name for task in plan.tasks} == plan.done
    assert studies.run("vgg-from-scratch", out=tmp_path, executor="local", **once).equals(result)


def test_an_option_redoes_only_what_depends_on_it(tmp_path):
    first = {task.name: task.arguments for task in studies.plan("vgg-from-scratch", **TINY).tasks}
    other = {task.name: task.arguments for task in studies.plan("vgg-from-scratch", **TINY, large_middle=0.3).tasks}
    assert {name for name in other if first.get(name) != other[name]} == {name for name in other if "0.3)" in name}
    longer = {
        task.name: task.arguments for task in studies.plan("vgg-from-scratch", **TINY | {"source_epochs": 3}).tasks
    }
    assert {name for name in longer if first[name] != longer[name]} == {f"A for its layers, seed {i}" for i in (1, 2)}


def test_what_is_compared_is_paired():
    tasks = {task.name: task for task in studies.plan("vgg-from-scratch", **TINY).tasks}
    one, other = (tasks[f"{Arm('D', HE, 0.1, clip).name}, seed 1"].arguments["streams"] for clip in (None, 0.5))
    assert one == other
    assert one != tasks[f"{Arm('D', HE, 0.1).name}, seed 2"].arguments["streams"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"early": 1000}, "a run has 4"),
        ({"clips": ()}, "clips are norms"),
        ({"clips": (5.0, 0.5)}, "ascending"),
        ({"middle": 0.0}, "middle must be above 0"),
        ({"train.clip_norm": 1.0}, "by --clips"),
        ({"margin": 1.0}, "between 0 and 1"),
        ({"probe": 1}, "at least 10"),
        ({"repeats": 0}, "repeats must be at least 1"),
    ],
)
def test_options_that_cannot_be_right(options, message):
    with pytest.raises(UsageError, match=message):
        studies.plan("vgg-from-scratch", **{**TINY, **options})


def test_a_user_brings_pictures_and_vectors_are_refused(tmp_path):
    data = load("digits", train_size=100, test_size=50)
    path = tmp_path / "mine.npz"
    flat = {"x_train": data.train.inputs.flatten(1).numpy(), "y_train": data.train.targets.numpy()}
    flat |= {"x_test": data.test.inputs.flatten(1).numpy(), "y_test": data.test.targets.numpy()}
    np.savez(path, **flat)
    with pytest.raises(UsageError, match="needs images"):
        studies.plan("vgg-from-scratch", **{**TINY, "data": str(path), "train_size": None, "test_size": None})
