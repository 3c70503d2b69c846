"""What the network computes, whatever its weights: on what its outputs depend, and how they end."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.losses import parts_of
from orograph.diagnose.thresholds import threshold
from orograph.objective.criterion import IGNORED
from orograph.results.diagnosis import Evidence, LayerReading

_SHAPES = ("Flatten", "Unflatten", "Identity")


def function(chart: Chart) -> Iterator[Suspicion]:
    """What is wrong with the function that the network is."""
    yield from _mixed(chart)
    yield from _future(chart)
    yield from _unused(chart)
    yield from _linear(chart)
    yield from _order(chart)
    yield from _end(chart)


def _mixed(chart: Chart) -> Iterator[Suspicion]:
    leak = chart.probe.depends.others
    if leak > threshold("leak"):
        yield Suspicion(
            "W09",
            "an example's output depends on the other examples of its batch",
            "critical",
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
            limits="networks that are meant to compare the examples of a batch",
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
    inputs, targets = parts_of(chart.patient.batches[0])
    itself = isinstance(targets, Tensor) and isinstance(inputs, Tensor) and targets.numel() == inputs.numel()
    yield Suspicion(
        "A02",
        "the network is linear: its layers collapse into one matrix",
        "question" if itself else "warning",
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
    order = chart.probe.depends.order
    attends = any("Attention" in type(m).__name__ or "Transformer" in type(m).__name__
                  for m in chart.patient.model.modules())  # fmt: skip
    if attends and math.isfinite(order) and order < threshold("linear"):
        yield Suspicion(
            "A04",
            "the network does not know the order of its tokens",
            "warning",
            0.85,
            "when the places of a sequence change, its outputs are the same: attention alone sees a set, no sequence",
            "add embeddings of the places to those of the tokens",
            "h = self.tokens(x) + self.places.weight[: x.shape[1]]",
            stage=1,
            evidence=(Evidence("change of outputs with the order, over their spread", order, threshold("linear")),),
            explains=("O00", "A00"),
            limits="sets, whose order means nothing",
        )


def _end(chart: Chart) -> Iterator[Suspicion]:
    kind = last_kind(chart)
    layer = last_layer(chart)
    last = layer.layer.split("#")[0] if kind and layer is not None else ""
    if kind in ("Dropout", "Dropout1d", "Dropout2d", "AlphaDropout"):
        what = ("dropout on the outputs", "answers themselves are set to zero at random in training",
                "put dropout before the last layer, not after it")  # fmt: skip
    elif kind in ("BatchNorm1d", "BatchNorm2d", "LayerNorm", "GroupNorm", "InstanceNorm2d"):
        what = ("a norm layer on the outputs", "answers are brought to mean 0 and variance 1, which logits and numbers "
                "do not have", "end the network with a linear layer")  # fmt: skip
    else:
        return
    module = chart.patient.model.get_submodule(last) if last else chart.patient.model
    if last and not (isinstance(module, nn.modules.dropout._DropoutNd) and module.p == 0):
        yield Suspicion(
            "A03",
            what[0],
            "warning",
            0.75,
            what[1],
            what[2],
            "return self.head(self.dropout(h))",
            where=last,
            stage=1,
            explains=("O00", "I01", "A00"),
            edit=edits.stripped([last], "without the layer after the last weights"),
            needs="proof",
        )


def last_layer(chart: Chart) -> LayerReading | None:
    """The last layer that does more than to change a shape."""
    return next((one for one in reversed(chart.probe.layers) if one.kind not in _SHAPES), None)


def last_kind(chart: Chart) -> str:
    """The kind of the layer whose output is the network's."""
    last, outputs = last_layer(chart), chart.probe.outputs
    if outputs is None or last is None:
        return ""
    x = outputs.detach().float()
    same = math.isclose(last.mean, float(x.mean()), rel_tol=1e-4, abs_tol=1e-7) and math.isclose(
        last.std, float(x.std(correction=0)), rel_tol=1e-4, abs_tol=1e-7
    )
    return last.kind if same and bool(torch.isfinite(x).all()) else ""
