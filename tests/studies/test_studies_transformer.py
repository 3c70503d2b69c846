"""The study of transformers without warm-up: losses per token, outcomes, claims by counts, and a small run."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import orograph as og
from orograph import studies
from orograph.basics.errors import UsageError
from orograph.execute.schedule import task_keys
from orograph.results import Comparison, LearnedScales, Provenance
from orograph.store import Store
from orograph.studies.statistics import share_interval
from orograph.studies.transformer_warmup import claims
from orograph.studies.transformer_warmup.plan import LONGER, PLAIN, REFERENCE, run_of, scales_of
from orograph.studies.transformer_warmup.record import Translation
from orograph.studies.transformer_warmup.tokens import PerToken, greedy_bleu, loss_per_token, unigram_entropy

TINY = {
    "layers": 1,
    "dimension": 8,
    "heads": 2,
    "train_size": 60,
    "test_size": 20,
    "batch_tokens": 100,
    "repeats": 1,
    "train.epochs": 1,
    "train.warmup": 0.5,
    "rates": (0.001, 0.01),
    "sgd_rates": (0.1,),
    "iterations": 2,
    "sentences": 6,
}


# -- losses per token ----------------------------------------------------------------------------------------------


class Frequencies(nn.Module):
    """Answers every position with the same logits."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, source, prefix):
        return self.logits.expand(*prefix.shape, -1)


def test_a_network_that_knows_frequencies_alone_reaches_their_entropy():
    data = og.data.load("copy-reverse", train_size=200, test_size=50, batch_tokens=150)
    batches = list(data.train.batches(1))
    labels = torch.cat([batch["labels"][batch["labels"] != -100] for batch in batches])
    counts = torch.bincount(labels, minlength=len(data.target_vocabulary)).double()
    network = Frequencies((counts / counts.sum()).clamp_min(1e-12).log().float())
    entropy = unigram_entropy(batches)
    assert entropy == pytest.approx(stats.entropy(counts.numpy()))
    assert loss_per_token(network, batches, "cpu") == pytest.approx(entropy, rel=1e-5)
    by_sentence = np.mean([og.objective.Criterion()(network, batch).losses.mean().item() for batch in batches])
    assert by_sentence != pytest.approx(entropy, rel=1e-4)  # what a mean over sentences would say
    whole = nn.CrossEntropyLoss(label_smoothing=0.2)(network.logits.expand(len(labels), -1), labels)
    weights = torch.tensor([int((batch["labels"] != -100).sum()) for batch in batches]).double()
    smoothed = torch.tensor([PerToken(0.2)(network, batch).item() for batch in batches]).double()
    assert float((smoothed * weights).sum() / weights.sum()) == pytest.approx(whole.item(), rel=1e-5)


def test_translations_are_scored_against_the_references_of_the_same_sentences():
    class Reverses(nn.Module):
        """Writes the source backwards, for one batch after the other."""

        def encode(self, source):
            return source

        def decode(self, prefix, memory, source):
            states = torch.zeros(*prefix.shape, 30)
            for row, words in enumerate(source.tolist()):
                wanted = [*words[: words.index(2)][::-1], 2]
                states[row, -1, wanted[min(prefix.shape[1], len(wanted)) - 1]] = 1
            return states

        def output(self, states):
            return states

    data = og.data.load("copy-reverse", train_size=50, test_size=20, batch_tokens=60)
    assert greedy_bleu(Reverses(), data, 11, "cpu") == 1.0


# -- outcomes and claims -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "outcome"),
    [(1.0, "trained"), (2.84, "trained"), (2.86, "plateaued"), (5.9, "plateaued"), (6.1, "diverged"),
     (math.nan, "diverged"), (math.inf, "diverged")],
)  # fmt: skip
def test_outcomes_by_the_entropy_of_words(loss, outcome):
    empty = np.array([])
    found = Translation(
        entropy=3.0, train_loss=loss, test_loss=loss, bleu=0.0, steps=empty, curve=empty, provenance=Provenance()
    )
    assert found.outcome(0.95) == outcome


def test_intervals_of_shares_hold_what_they_should():
    assert share_interval(0, 0) is None
    for hits, trials in product(range(8), [7]):
        low, high = share_interval(hits, trials)
        assert low <= hits / trials <= high
        if hits:  # by definition: so many hits or more have a probability of 2.5 % at the lower end
            assert stats.binom.sf(hits - 1, trials, low) == pytest.approx(0.025)
        if hits < trials:
            assert stats.binom.cdf(hits, trials, high) == pytest.approx(0.025)
    assert share_interval(5, 5)[0] < 0.5 < share_interval(6, 6)[0]


ALL, NONE, HALF = [True] * 6, [False] * 6, [True, False] * 3


@pytest.mark.parametrize(
    ("warm", "plain", "verdict"),
    [
        (ALL, NONE, "reproduced"),
        (ALL, HALF, "inconclusive"),  # three pairs that differ cannot decide
        (HALF * 2, [True] * 12, "inconclusive"),  # too easy
        (NONE, NONE, "inconclusive"),  # too hard
        ([True] + [False] * 7, [False] + [True] * 7, "inconclusive"),
        ([True] + [False] * 11, [False] + [True] * 11, "not reproduced"),
    ],
)
def test_whether_warmup_is_needed(warm, plain, verdict):
    assert claims.warmup_needed("adam", warm, plain).verdict == verdict


def test_what_is_too_easy_says_so():
    for claim in (
        claims.warmup_needed("adam", ALL, ALL),
        claims.gradinit_trains("adam", ALL, ALL),
        claims.as_many_as_warmup("adam", ALL, ALL, ALL),
        claims.more_than_compute("adam", ALL, ALL, NONE),
        claims.more_than_one_scale("adam", ALL, ALL, NONE),
    ):
        assert claim.verdict == "inconclusive"
        assert "too easy" in claim.note
    assert "too hard" in claims.warmup_needed("sgd", NONE, NONE).note
    assert "too hard" in claims.as_many_as_warmup("sgd", NONE, NONE, ALL).note


@pytest.mark.parametrize(
    ("learned", "verdict"), [(ALL, "reproduced"), (NONE, "not reproduced"), (HALF, "inconclusive")]
)
def test_what_gradinit_must_train(learned, verdict):
    assert claims.gradinit_trains("sgd", NONE, learned).verdict == verdict
    easy = claims.gradinit_trains("sgd", NONE + [True] * 9, learned + [False] * 9)
    assert easy.verdict == verdict  # runs that train anyway say nothing
    assert easy.measured == sum(learned) / 6
    assert claims.as_many_as_warmup("sgd", ALL, NONE, learned).verdict == verdict
    assert claims.as_many_as_warmup("sgd", ALL + NONE, NONE * 2, learned + ALL).measured == sum(learned) / 6


@pytest.mark.parametrize("control", [claims.more_than_compute, claims.more_than_one_scale])
def test_controls_may_do_as_well_or_better(control):
    assert control("adam", NONE, ALL, NONE).verdict == "reproduced"
    assert control("adam", NONE, NONE, ALL).verdict == "not reproduced"
    same = control("adam", NONE, ALL, ALL)
    assert same.verdict == "inconclusive"
    assert same.measured is None
    assert "no pairs that differ" in same.note


# -- the whole study -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transformer")
    return folder, studies.run("transformer-warmup", out=folder, executor="local", **TINY)


def test_the_whole_study_says_what_it_found(small):
    _, result = small
    kinds = ("warmup-needed", "gradinit-trains", "as-many-as-warmup", "more-than-compute", "more-than-one-scale")
    assert [claim.id for claim in result.claims] == [f"{kind}: {by}" for by in ("adam", "sgd") for kind in kinds]
    curves = result.results["training loss: adam"]
    assert isinstance(curves, Comparison)
    assert len(curves.quantities) == 2
    assert set(curves.series) == {
        "base, warm-up", "base", "GradInit", "+k iterations", "one global scale", "entropy of the words",
    }  # fmt: skip
    assert [section.title for section in result.sections] == ["By adam", "By sgd"]
    rows = result.sections[0].tables[0].rows
    assert [row[:2] for row in rows] == [
        (rate, arm) for rate in ("0.001", "0.01")
        for arm in ("base, warm-up", "base", "GradInit", "+k iterations", "one global scale")
    ]  # fmt: skip


def test_arms_share_what_they_should(small):
    folder, _ = small
    tasks = studies.plan("transformer-warmup", out=folder, **TINY).tasks
    by_name = {task.name: task for task in tasks}
    warm, bare = (by_name[run_of("adam", 0.01, 1, arm)].arguments for arm in (REFERENCE, PLAIN))
    assert warm["recipe"]["warmup"] == 0.5
    assert bare["recipe"]["warmup"] == 0
    assert {**warm["recipe"], "warmup": 0.0} == bare["recipe"]
    assert warm["streams"] == bare["streams"]
    files = _files(folder, tasks)
    learned = LearnedScales.load(files[scales_of("adam", 1)]["result"])
    longer = Translation.load(files[run_of("adam", 0.01, 1, LONGER)]["result"])
    base = Translation.load(files[run_of("adam", 0.01, 1, PLAIN)]["result"])
    assert longer.before == round(learned.iterations_worth) > 0 == base.before
    assert longer.provenance.cost.backward > base.provenance.cost.backward
    assert learned.gamma == pytest.approx(1000)
    assert len(base.curve) == len(base.steps) > 2
    by_sgd = LearnedScales.load(files[scales_of("sgd", 1)]["result"])
    assert by_sgd.gamma == pytest.approx(1.0)


def test_nothing_is_computed_twice_and_the_rule_can_be_changed_afterwards(small):
    folder, result = small
    tasks = studies.plan("transformer-warmup", out=folder, **{**TINY, "plateau": 0.5})
    assert {task.name for task in tasks.tasks} == tasks.done
    again = studies.run("transformer-warmup", out=folder, executor="local", **TINY)
    assert again.equals(result)
    more = studies.plan("transformer-warmup", out=folder, **{**TINY, "rates": (0.001, 0.01, 0.02)})
    left = {task.name for task in more.tasks} - more.done
    assert left
    assert all(name.startswith("adam 0.02") for name in left)


def test_a_run_that_diverges_is_an_answer(tmp_path):
    wild = {**TINY, "rates": (0.001,), "sgd_rates": (1e30,)}
    result = studies.run("transformer-warmup", out=tmp_path, executor="local", **wild)
    by_sgd = {row[1]: row[2] for row in result.sections[1].tables[0].rows}
    assert by_sgd["base"] == "0, 0, 1"
    assert "too hard" in {claim.id: claim.note for claim in result.claims}["warmup-needed: sgd"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rates": ()}, "one learning rate"),
        ({"rates": (0.01, 0.001)}, "rising"),
        ({"sgd_rates": (0.0,)}, "above 0"),
        ({"train.warmup": 0.0}, "above 0 and below"),
        ({"train.optimizer": "sgd"}, "--sgd-rates"),
        ({"plateau": 1.5}, "at most 1"),
        ({"gamma": -1.0}, "above 0"),
        ({"repeats": 0}, "at least 1"),
        ({"data": "digits", "model": "mlp", "train_size": None, "test_size": None}, "no sentences"),
    ],
)
def test_options_that_cannot_be_right(options, message):
    with pytest.raises(UsageError, match=message):
        studies.plan("transformer-warmup", **options)


def test_without_rates_sgd_is_left_out():
    tasks = studies.plan("transformer-warmup", **{**TINY, "sgd_rates": ()}).tasks
    assert not any("sgd" in task.name for task in tasks)


def _files(folder, tasks):
    store = Store(folder, writable=False)
    try:
        return {task.name: store.outputs(task_keys(tasks)[task.name]) for task in tasks}
    finally:
        store.close()
