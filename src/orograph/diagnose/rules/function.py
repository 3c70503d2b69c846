"""What the network computes, whatever its weights: on what its outputs depend, and how they end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.losses import parts_of
from orograph.diagnose.passing import all_passes
from orograph.diagnose.rules.endings import ended, last_layer, scaled
from orograph.diagnose.thresholds import threshold
from orograph.objective.criterion import IGNORED
from orograph.results.diagnosis import Evidence


def function(chart: Chart) -> Iterator[Suspicion]:
    """What is wrong with the function that the network is."""
    yield from _mixed(chart)
    yield from _future(chart)
    yield from _unused(chart)
    yield from _linear(chart)
    yield from _order(chart)
    yield from _chance(chart)
    yield from _narrow(chart)
    yield from _softmax_inside(chart)
    yield from scaled(chart)
    yield from ended(chart)


def _mixed(chart: Chart) -> Iterator[Suspicion]:
    leak = chart.probe.depends.others
    if leak > threshold("leak"):
        # Sequences with time on the first axis, as torch's recurrent layers have it unless told otherwise.
        by_time = chart.probe.depends.columns and not chart.patient.stacks
        yield Suspicion(
            "W09",
            "an example's output depends on the other examples of its batch",
            "question" if by_time else "critical",
            0.9,
            "examples are mixed on their way: a reshape, transpose or softmax runs over the wrong axis",
            "keep the batch as the first axis everywhere; check view, reshape, permute, batch_first and dim=",
            "x = x.flatten(1)        # not x.view(-1, features) of another order; nn.LSTM(…, batch_first=True)",
            stage=1,
            evidence=(
                Evidence(
                    "change of an output when the others change order, over the spread", leak, threshold("leak"), "0"
                ),
            ),
            explains=("D05", "I01", "L10", "O00", "W18"),
            limits="networks that are meant to compare the examples of a batch; batches with time on the first axis",
        )


def predicts_next(chart: Chart) -> bool:
    """Whether the targets are the network's own tokens, one place later."""
    given, targets = chart.probe.given, parts_of(chart.patient.batches[0])[1]
    if given is None or given.is_floating_point() or given.dim() != 2:
        return False
    if isinstance(targets, Tensor) and targets.shape == given.shape and not targets.is_floating_point():
        return _alike(targets[:, :-1], given[:, 1:])
    whole = parts_of(chart.patient.batches[0])[0]  # tokens alone, which the loss shifts by itself
    outputs = chart.probe.outputs
    if targets is not None or not isinstance(whole, Tensor) or outputs is None or outputs.dim() != 3:
        return False
    length = min(outputs.shape[1], whole.shape[1] - 1)
    if whole.dim() != 2 or int(whole.max()) >= outputs.shape[2] or int(whole.min()) < 0:
        return False
    loss = F.cross_entropy(outputs[:, :length].detach().float().flatten(0, 1), whole[:, 1 : length + 1].flatten())
    return math.isclose(float(loss), chart.probe.loss, rel_tol=2e-3)


def _alike(one: Tensor, other: Tensor) -> bool:
    counts = one != IGNORED
    return bool(counts.any()) and float((one == other)[counts].float().mean()) > threshold("same_tokens")


def _future(chart: Chart) -> Iterator[Suspicion]:
    future = chart.probe.depends.future
    if math.isfinite(future) and future > threshold("leak") and predicts_next(chart):
        yield Suspicion(
            "W18",
            "the network sees the tokens that it has to predict",
            "critical",
            0.9,
            "outputs change when only later tokens do, and the targets are the next tokens: training copies them, and "
            "what is generated has none to copy",
            "hide the future: a causal mask in every attention, padding on the left in convolutions, one direction in "
            "recurrent layers",
            "mask = nn.Transformer.generate_square_subsequent_mask(length)\nh = self.encoder(x, mask=mask, "
            "is_causal=True)",
            stage=1,
            evidence=(
                Evidence("change of an output with later tokens, over the spread", future, threshold("leak"), "0"),
            ),
            explains=("W09", "O00"),
            limits="a network that is meant to read both ways",
        )


def _unused(chart: Chart) -> Iterator[Suspicion]:
    unused = chart.probe.depends.unused
    asleep = any(one.dead > threshold("dead_units") for one in chart.probe.layers if one.kind in ("ReLU", "ReLU6"))
    if math.isfinite(unused) and threshold("unused_inputs") < unused < 1 and not asleep:
        yield Suspicion(
            "W19",
            f"{unused:.0%} of the inputs have no effect",
            "warning",
            0.75,
            "the outputs' gradient by them is exactly zero for every example, though they differ between examples",
            "look for a wrong index (one time step, one channel, one token), a slice, a mask or a stride that leaves "
            "them out",
            "h, _ = self.rnn(x)\nreturn self.head(h[:, -1])      # the last step, not h[:, 0]",
            stage=1,
            evidence=(
                Evidence("share of the varying inputs without effect", unused, threshold("unused_inputs"), "below 0.2"),
            ),
            explains=("O00", "A00", "D05"),
            limits="inputs that are not meant to count",
        )


def _linear(chart: Chart) -> Iterator[Suspicion]:
    bent = chart.probe.depends.bent
    if not (math.isfinite(bent) and bent < threshold("linear")):
        return
    yield Suspicion(
        "A02",
        "the network is linear: its layers collapse into one matrix",
        "question" if chart.reconstructs else "warning",
        0.8,
        "what goes into its last weights is a linear function of the inputs: there is no activation between the layers",
        "put an activation after every layer but the last",
        "nn.Sequential(nn.Linear(…), nn.ReLU(), nn.Linear(…))",
        stage=1,
        evidence=(
            Evidence("distance from a linear function, over the spread", bent, threshold("linear"), "above 0.1"),
        ),
        explains=("O00", "A00"),
        limits="a linear network on purpose (principal components, factorisation)",
        edit=edits.bent(),
    )


def _order(chart: Chart) -> Iterator[Suspicion]:
    order, inputs = chart.probe.depends.order, chart.probe.given
    well = chart.quality >= threshold("second_look")
    if chart.probe.attends and math.isfinite(order) and order < threshold("linear"):
        yield Suspicion(
            "A04",
            "the network does not know the order of its tokens",
            "question" if well or inputs is None or inputs.is_floating_point() else "warning",  # points may be a set
            0.85,
            "when the places of a sequence change, its outputs are the same: attention alone sees a set, no sequence",
            "add embeddings of the places to those of the tokens",
            "h = self.tokens(x) + self.places.weight[: x.shape[1]]",
            stage=1,
            evidence=(Evidence("change of outputs with the order, over their spread", order, threshold("linear")),),
            explains=("O00", "A00"),
            limits="sets, whose order means nothing",
        )


def _chance(chart: Chart) -> Iterator[Suspicion]:
    chance = chart.probe.depends.chance
    if math.isfinite(chance) and chance > threshold("chance"):
        yield Suspicion(
            "W23",
            "the network is random in evaluation mode",
            "question" if chart.reconstructs or chart.probe.task.kind == "other" else "warning",
            0.85,
            f"two passes in evaluation differ by {chance:.2g} of the outputs' spread: dropout that is never off, "
            "or layers that are made anew in forward()",
            "give functional dropout its flag, make layers in __init__, draw noise in training only",
            "x = F.dropout(x, 0.5, training=self.training)      # or nn.Dropout(0.5) in __init__",
            stage=1,
            evidence=(Evidence("change with random numbers alone, over the spread", chance, threshold("chance"), "0"),),
            explains=("A00", "O00", "I01"),
            limits="networks that draw samples on purpose",
        )


def _narrow(chart: Chart) -> Iterator[Suspicion]:
    """A hidden layer of one or two units that everything has to pass, before a wider one."""
    layers = {name: m for name, m in chart.patient.model.named_modules() if isinstance(m, nn.Linear)}
    ran = [layers[one.layer] for one in chart.probe.layers if one.layer in layers]  # each the first time
    names = {id(m): name for name, m in layers.items()}
    for one, other in pairwise(ran):
        width = one.out_features
        if width > 2 or other.in_features != width or one.in_features < 4 * width or chart.reconstructs:
            continue
        if other.out_features < 4 * width or not all_passes(chart.patient, names[id(one)]):
            continue
        yield Suspicion(
            "A06",
            f"a hidden layer of {width} unit{'s' if width > 1 else ''}",
            "question" if chart.quality >= threshold("trained") else "warning",
            0.75,
            f"all that the network knows of an example has to pass {names[id(one)]}, which has {width}",
            "make it wider: as many units as the layers around it",
            f"nn.Linear({one.in_features}, {one.in_features})",
            where=names[id(one)],
            stage=1,
            evidence=(Evidence("units", width, 2, "16 or more"),),
            explains=("O00", "A00", "I01", "I04", "I06", "I00"),
            limits="a layer to be drawn, or a task of one number",
        )
        return


def _softmax_inside(chart: Chart) -> Iterator[Suspicion]:
    layers = chart.probe.layers
    modules = dict(chart.patient.model.named_modules())
    last = last_layer(chart)
    found = [
        one.layer.split("#")[0]
        for one in layers
        if one.kind == "Softmax" and one is not last and isinstance(modules.get(one.layer.split("#")[0]), nn.Softmax)
    ]
    found = [name for name in found if not any(word in name.lower() for word in ("att", "gate", "rout", "pool"))]
    if found:
        yield Suspicion(
            "A07",
            "a softmax between hidden layers",
            "warning",
            0.8,
            f"{found[0]} divides one among all units, so that hardly any signal and gradient pass",
            "use ReLU between layers; softmax is for the outputs, and within the loss",
            "nn.ReLU()",
            where=found[0],
            stage=1,
            explains=("I01", "I06", "O02", "O00", "A00", "I00", "O01"),
            edit=edits.stripped(found, "without the softmax between layers"),
            needs="proof",
        )
