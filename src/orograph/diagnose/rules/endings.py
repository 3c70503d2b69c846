"""How outputs end: whether they can become confident, or reach the targets."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.losses import parts_of
from orograph.diagnose.thresholds import threshold
from orograph.results.diagnosis import Evidence, LayerReading

_SHAPES = ("Flatten", "Unflatten", "Identity")
_SQUASHING = (nn.Sigmoid, nn.Tanh, nn.ReLU, nn.Softmax, nn.Hardtanh, nn.ReLU6, nn.Softplus)
_NAMES = tuple(kind.__name__ for kind in _SQUASHING)


def clipped(chart: Chart, flat: Tensor) -> Iterator[Suspicion]:
    """Logits that are rectified."""
    zeros = float((flat == 0).float().mean())
    some = (flat != 0).any(1)  # rows of zeros alone have another cause
    mixed = float((flat[some] == 0).float().mean()) if bool(some.any()) else 0.0
    positive = bool((flat >= 0).all())
    last = last_kind(chart)
    if chart.probe.task.form == "cross-entropy of ReLU" or (
        positive and (mixed > threshold("clipped_logits") or last == "ReLU")
    ):
        yield Suspicion(
            "L02",
            "logits are rectified",
            "critical",
            0.93,
            "a ReLU follows the last layer: classes whose logit is zero get no gradient",
            "end the network with a linear layer",
            "return self.head(h)      # no activation after it",
            stage=1,
            evidence=(Evidence("share of exact zeros among the logits", zeros, threshold("clipped_logits"), "0"),),
            explains=("I04", "O00"),
            edit=edits.without(nn.ReLU, "no ReLU at the end", last=True) if last == "ReLU" else None,
        )


def squashed(chart: Chart) -> Iterator[Suspicion]:
    """Logits that cannot move far enough apart for a confident answer."""
    task, (low, high) = chart.probe.task, chart.probe.bounds
    if "Norm" in last_kind(chart) or task.form not in ("cross-entropy", "binary cross-entropy of logits"):
        return
    if task.kind == "binary":
        least = max(_softplus(low), _softplus(-high))
    else:
        least = _softplus(math.log(max(task.classes - 1, 1)) - (high - low))
    if least > threshold("least_loss"):
        last = last_kind(chart) if last_kind(chart) in _NAMES else ""
        yield Suspicion(
            "L02",
            f"logits are squashed{f' by {last.lower()}' if last else ''}",
            "warning",
            0.8,
            f"outputs stay between {low:.3g} and {high:.3g} whatever the weights are, so that the loss of a perfect "
            f"answer is {least:.2g} and confidence is out of reach",
            "end the network with a linear layer",
            "return self.head(h)      # no activation, no clamp() after it",
            stage=1,
            evidence=(Evidence("loss of the best possible answers", least, threshold("least_loss"), "0"),),
            explains=("I04", "I06", "I05", "O00", "L00"),
            limits="cosines with a scale that is learned elsewhere",
            edit=edits.without(_SQUASHING, "no squashing at the end", last=True) if last else None,
            needs="proof" if last else "nothing",
        )


def _softplus(x: float) -> float:
    """log(1 + exp(x))."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def reach(chart: Chart) -> Iterator[Suspicion]:
    """Targets beyond the bounds of the outputs."""
    last = last_kind(chart)
    targets = [t for b in chart.patient.batches if isinstance(t := parts_of(b)[1], Tensor) and t.is_floating_point()]
    low, high = {"Sigmoid": (0.0, 1.0), "Softmax": (0.0, 1.0), "Tanh": (-1.0, 1.0), "ReLU": (0.0, math.inf)}.get(
        last, chart.probe.bounds
    )
    if not targets or "Norm" in last:  # which is a fault of its own
        return
    every = torch.cat([t.reshape(-1).float() for t in targets])
    outside = float(((every < low - 1e-3) | (every > high + 1e-3)).float().mean())
    if outside > 0.05:
        yield Suspicion(
            "L06",
            f"the network ends in {last.lower() if last in _NAMES else 'bounds'} and cannot reach the targets",
            "critical",
            0.95,
            f"outputs lie in [{low:g}, {high:g}], and {outside:.0%} of the targets do not",
            "end the network with a linear layer, or scale the targets into this range",
            "return self.head(h)      # no activation after it",
            stage=1,
            evidence=(Evidence("share of targets out of reach", outside, 0.05, "0"),),
            explains=("I05", "O02", "D08", "I04", "O00"),
            edit=edits.without(_SQUASHING, "no activation at the end", last=True),
        )


def scaled(chart: Chart) -> Iterator[Suspicion]:
    """Outputs that are divided after the last weights."""
    factor = chart.probe.after_last
    if math.isfinite(factor) and 0 < abs(factor) < threshold("after_last"):
        yield Suspicion(
            "L14",
            f"the outputs are divided by {1 / factor:.3g} after the last layer",
            "warning",
            0.8,
            "a temperature or scale after the last weights makes answers, and all gradients, as much smaller",
            "leave logits as they are; a temperature is for probabilities after training",
            "return self.head(h)",
            stage=1,
            evidence=(Evidence("outputs over those of the last weights", factor, threshold("after_last"), "1"),),
            explains=("I01", "O02", "O00", "I06", "L01"),
            limits="a parametrisation that counts on it (muP)",
            edit=edits.outputs_times(1 / factor),
        )


def ended(chart: Chart) -> Iterator[Suspicion]:
    """Dropout or a norm layer after the last weights."""
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
