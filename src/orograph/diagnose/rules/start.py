"""Initialisation and architecture: whether the signal arrives at the end, and the gradient at the beginning."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.thresholds import threshold
from orograph.diagnose.untrained import unshaped
from orograph.initialize.parts import is_norm
from orograph.initialize.slots import Slot, slots_of
from orograph.results.diagnosis import Evidence, LayerReading, ParameterReading

_RECURRENT = (nn.RNNBase, nn.RNNCellBase)
_REDRAW = "og.initialize.apply(model, 'he-normal')"


def start(chart: Chart) -> Iterator[Suspicion]:
    """What is wrong with the initial weights."""
    slots = list(slots_of(chart.patient.model))
    yield from _broken(chart, slots)
    yield from _constant(chart, slots)
    yield from _gains(chart, slots)
    yield from _recurrent(chart)
    yield from _scale(chart, slots)
    yield from _units(chart)
    yield from _gradients(chart)


def architecture(chart: Chart) -> Iterator[Suspicion]:
    """What is wrong with the layers themselves."""
    strongest = max(
        (
            (m.p, name)
            for name, m in chart.patient.model.named_modules()
            if isinstance(m, nn.modules.dropout._DropoutNd)
        ),
        default=(0.0, ""),
    )
    if strongest[0] >= 0.8:
        yield Suspicion(
            "A01",
            f"dropout of {strongest[0]:.0%}",
            "warning",
            0.8,
            "so few units are left in a step that hardly any signal comes through",
            "use dropout of 0.1 to 0.5",
            "nn.Dropout(0.3)",
            where=strongest[1],
            evidence=(Evidence("share of units dropped", strongest[0], 0.8, "0 to 0.5"),),
            explains=("O01", "O02", "O00"),
            edit=edits.dropout(0.2),
            needs="proof",
        )


def _broken(chart: Chart, slots: list[Slot]) -> Iterator[Suspicion]:
    bad = [p for p in chart.probe.parameters if p.not_finite]
    if bad:
        yield Suspicion(
            "I10",
            "weights are NaN or infinite before training",
            "critical",
            0.99,
            f"{bad[0].parameter} holds {bad[0].not_finite} entries that are no numbers",
            "draw or load the weights anew",
            _REDRAW,
            where=bad[0].parameter,
            evidence=(Evidence("entries that are not finite", bad[0].not_finite, 0.0, "0"),),
            explains=("O08", "O01", "O03", "O00", "I02"),
            edit=edits.redrawn(),
        )


def _gains(chart: Chart, slots: list[Slot]) -> Iterator[Suspicion]:
    norms = [s for s in slots if is_norm(s.layer) and s.own == "weight"]
    small = [s for s in norms if float(s.parameter.detach().float().abs().mean()) < 0.02]
    if not small:
        return
    yield Suspicion(
        "I08",
        "norm layers multiply by (almost) zero",
        "critical",
        0.9,
        f"the gain of {small[0].name} is about 0, so that no signal leaves its layer",
        "begin with gains of 1 and shifts of 0",
        "nn.init.ones_(norm.weight)",
        where=small[0].name,
        stage=1,
        evidence=(Evidence("norm layers with a gain below 0.02", len(small), 0.0, "0, or the last of each branch"),),
        explains=("I01", "I06", "O02", "O00", "A00"),
        limits="residual branches that begin at zero on purpose",
        edit=edits.gains(),
        needs="proof" if len(small) > len(norms) / 2 else "harm",
    )


def _constant(chart: Chart, slots: list[Slot]) -> Iterator[Suspicion]:
    kernels = [s for s in slots if s.parts and s.parameter.shape[0] > 1 and s.parameter.requires_grad]
    alike = [s for s in kernels if _alike(s)]
    hidden = [s for s in alike if s is not kernels[-1]]
    nonzero = [s for s in hidden if bool(s.parameter.detach().any())]
    if not hidden:
        return
    found = nonzero or hidden
    yield Suspicion(
        "I03",
        "all units of a layer begin with the same weights",
        "critical",
        0.95 if nonzero else 0.8,
        f"the rows of {found[0].name} are equal, so all its units compute, and learn, the same",
        "draw the weights at random",
        _REDRAW,
        where=found[0].name,
        evidence=(Evidence("kernels with equal rows", len(found), 0.0, "0"),),
        explains=("I01", "I02", "I04", "I06", "O00", "O02"),
        limits="a last layer, or residual branches, that begin at zero on purpose",
        edit=edits.redrawn(),
        needs="nothing" if len(nonzero) > len(kernels) / 3 else "harm",
    )


def _alike(slot: Slot) -> bool:
    values = slot.parameter.detach().float()
    rows = values.reshape(len(values), -1)
    middle = float(rows.abs().mean())
    return middle == 0 or float(rows.std(0, correction=0).mean()) / middle < threshold("constant_weights")


def _recurrent(chart: Chart) -> Iterator[Suspicion]:
    worst, place, drawn = 0.0, "", False
    for name, layer in chart.patient.model.named_modules():
        if not isinstance(layer, _RECURRENT):
            continue
        for own, parameter in layer.named_parameters(recurse=False):
            if not own.startswith("weight_hh"):
                continue
            size = parameter.shape[1]
            for gate in torch.split(parameter.detach().double(), size):
                if gate.shape[0] == gate.shape[1] and bool(torch.isfinite(gate).all()):
                    radius = float(torch.linalg.eigvals(gate.cpu()).abs().max())
                    if radius > worst:
                        worst, place, drawn = radius, f"{name}.{own}", unshaped(gate)
    if worst > threshold("recurrent_radius"):
        yield Suspicion(
            "I07",
            "the recurrence amplifies itself",
            "critical",
            0.85,
            f"the hidden-to-hidden matrix has spectral radius {worst:.3g}: states and gradients grow step by step",
            "draw it orthogonal (radius 1), and clip gradients",
            "nn.init.orthogonal_(rnn.weight_hh_l0)",
            where=place,
            stage=1,
            evidence=(Evidence("spectral radius", worst, threshold("recurrent_radius"), "0.5 to 1"),),
            explains=("I02", "I05", "O01", "O03", "O08", "O00", "I06"),
            edit=edits.redrawn("orthogonal"),
            needs="nothing" if worst > 2 and drawn else "proof",
        )


def _scale(chart: Chart, slots: list[Slot]) -> Iterator[Suspicion]:
    """The signal on its way: too small at the end, or too large."""
    task, run = chart.probe.task, chart.run
    weights = [one for one in chart.probe.layers if _has_kernel(chart, one.layer)]
    gain = float("nan")
    if len(weights) > 1 and weights[0].std > 0 and weights[-1].std > 0:
        gain = (weights[-1].std / weights[0].std) ** (1 / (len(weights) - 1))
    spread = run.glances[0].spread if run is not None and run.glances else float("nan")
    reference = task.spread if task.kind == "numbers" and math.isfinite(task.spread) else 1.0
    odd = _odd(chart.probe.parameters)
    if math.isfinite(spread) and spread < threshold("spread_low") * reference:
        where, what = _where_it_dies(chart.probe.layers), "the signal dies on its way to the outputs"
        yield from _alone_or_with_adam(
            Suspicion(
                "I01",
                what,
                "critical",
                0.85,
                f"outputs differ between examples by {spread:.2g} only: weights are too small for this depth",
                "draw the weights to suit the fan in, and reset norm layers",
                _REDRAW,
                where=where or (odd.parameter if odd else ""),
                stage=1,
                evidence=(
                    Evidence(
                        "standard deviation of outputs over examples",
                        spread,
                        threshold("spread_low") * reference,
                        "0.1 to 3",
                    ),
                    Evidence("gain of a layer (geometric mean)", gain, threshold("gain_low"), "0.6 to 1.2"),
                ),
                explains=("I06", "O02", "O00", "D05", "I04"),
                limits="a last layer that begins at zero on purpose",
                edit=edits.redrawn(),
                needs="harm",
            )
        )
    start = chart.probe.loss - task.constant
    baseline = task.baseline
    if task.kind == "classes" and math.isfinite(task.entropy):  # few classes in use are no reason for a high loss
        baseline = math.log(max(task.classes, 2)) * (task.times if math.isfinite(task.times) else 1.0)
    scale = run.glances[0].scale if run is not None and run.glances else float("nan")
    # Of a loss of no known form nobody knows what a constant answer costs.
    high = (
        bool(task.form) and math.isfinite(baseline) and baseline > 0 and start > threshold("loss_explodes") * baseline
    )
    wide = math.isfinite(scale) and scale > 10 * reference
    if (high or wide or not math.isfinite(start)) and not (task.kind == "numbers" and not wide):
        yield Suspicion(
            "I02",
            "the network begins with outputs far too large",
            "critical",
            0.8,
            f"the loss begins at {start:.3g}, where knowing nothing costs {baseline:.3g}: weights are too large",
            "draw the weights to suit the fan in",
            _REDRAW,
            where=odd.parameter if odd else "",
            stage=1,
            evidence=(
                Evidence("loss at the start over that of a constant answer", start / baseline if baseline else math.nan,
                         threshold("loss_explodes"), "1 to 1.5"),
                Evidence("standard deviation of the outputs", scale, 10 * reference, "0.1 to 3"),
                Evidence("gain of a layer (geometric mean)", gain, threshold("gain_high"), "0.6 to 1.2"),
            ),
            explains=("I05", "O01", "O03", "O08", "O00", "I04", "I09"),
            edit=edits.redrawn(),
            needs="proof",
        )  # fmt: skip


def _units(chart: Chart) -> Iterator[Suspicion]:
    layers = chart.probe.layers
    dead = [one for one in layers if one.kind in ("ReLU", "ReLU6") and one.dead > threshold("dead_units")]
    if dead:
        yield Suspicion(
            "I04",
            "units of a layer are dead",
            "critical",
            0.85,
            f"{dead[0].dead:.0%} of the units of {dead[0].layer} are zero on the whole batch and get no gradient",
            "set biases to zero and draw the weights to suit the fan in",
            _REDRAW,
            where=dead[0].layer,
            stage=1,
            evidence=(
                Evidence(
                    "share of units that are zero on the whole batch",
                    dead[0].dead,
                    threshold("dead_units"),
                    "below 0.3",
                ),
            ),
            explains=("I01", "I06", "O02", "O00"),
            edit=edits.redrawn(),
            needs="harm",
        )
    flat = [one for one in layers[:-1] if one.kind in ("Sigmoid", "Tanh") and one.saturated > threshold("saturated")]
    if flat:
        smaller = ("draw smaller weights, or standardise what goes in", "og.initialize.apply(model, 'glorot-uniform')",
                   edits.redrawn("glorot-uniform"))  # fmt: skip
        other = ("use ReLU within the network, with weights to suit", f"nn.ReLU()   # {_REDRAW}", edits.rectified())
        for prescription, code, edit in (smaller, other):
            yield Suspicion(
                "I05",
                f"{flat[0].kind.lower()} units are saturated",
                "warning" if chart.trains else "critical",
                0.8,
                f"{flat[0].saturated:.0%} of the outputs of {flat[0].layer} lie where no gradient passes",
                prescription,
                code,
                where=flat[0].layer,
                stage=1,
                evidence=(
                    Evidence("share of saturated outputs", flat[0].saturated, threshold("saturated"), "below 0.1"),
                ),
                explains=("I06", "O02", "O00", "I02"),
                edit=edit,
            )
    biases = [p for p in chart.probe.parameters if "bias" in p.parameter and p.size and p.norm / math.sqrt(p.size) > 3]
    if biases:
        worst = max(biases, key=lambda p: p.norm / math.sqrt(p.size))
        rms = worst.norm / math.sqrt(worst.size)
        yield Suspicion(
            "I09",
            "biases are large",
            "warning",
            0.8,
            f"{worst.parameter} has entries of size {rms:.3g}, beside which the inputs hardly count",
            "begin with biases of zero",
            "nn.init.zeros_(layer.bias)",
            where=worst.parameter,
            stage=1,
            evidence=(Evidence("root mean square of the bias", rms, 3.0, "below 0.5"),),
            explains=("I01", "I02", "I04", "I05", "O00", "I06", "O01"),
            edit=edits.redrawn(),
            needs="proof",
        )


def _gradients(chart: Chart) -> Iterator[Suspicion]:
    kernels = [p for p in chart.probe.parameters if math.isfinite(p.he_ratio) and math.isfinite(p.gradient_norm)]
    if len(kernels) < 3:
        return
    first, last = kernels[0], kernels[-1]
    relative = first.gradient_norm / first.norm if first.norm > 0 else float("nan")
    ratio = first.gradient_norm / last.gradient_norm if last.gradient_norm > 0 else float("nan")
    if relative < threshold("relative_gradient") or ratio < threshold("gradient_ratio"):
        squashing = any(one.kind in ("Sigmoid", "Tanh") for one in chart.probe.layers)
        what = " (sigmoid and tanh let less than a quarter pass in each layer)" if squashing else ""
        edit = edits.rectified() if squashing else edits.redrawn()
        yield from _alone_or_with_adam(
            Suspicion(
                "I06",
                "gradients vanish before they reach the first layer",
                "critical",
                0.8,
                f"the first layer's gradient is {ratio:.1e} of the last one's{what}",
                "use ReLU, normalisation or residual connections, and weights that suit the fan in",
                "nn.Sequential(nn.Linear(…), nn.LayerNorm(…), nn.ReLU(), …)",
                where=first.parameter,
                stage=1,
                evidence=(
                    Evidence("first over last layer's gradient norm", ratio, threshold("gradient_ratio"), "0.1 to 10"),
                    Evidence(
                        "first layer's gradient over its weights", relative, threshold("relative_gradient"), "1e-3 to 1"
                    ),
                ),
                explains=("O02", "O00", "A00", "I01"),
                edit=edit,
                needs="harm",
            )
        )


def _alone_or_with_adam(one: Suspicion) -> Iterator[Suspicion]:
    """A suspicion as it is, and with a rate that suits a network which is another one after the change."""
    yield one
    if one.edit is not None:
        both = edits.both(one.edit, edits.trusted_optimizer())
        yield replace(one, edit=both, prescription=f"{one.prescription}; and a rate to suit, such as Adam's 1e-3")


def _has_kernel(chart: Chart, layer: str) -> bool:
    name = layer.split("#")[0]
    module = dict(chart.patient.model.named_modules()).get(name)
    return module is not None and any(p.dim() > 1 for p in module.parameters(recurse=False))


def _where_it_dies(layers: list[LayerReading]) -> str:
    """The first layer in which what lies between examples is a hundredth of the layer before, if there is one."""
    before = None
    for one in layers:
        if not math.isfinite(one.between):
            continue
        now = one.between * one.std
        if before is not None and now < before / 100:
            return one.layer
        before = now if now > 0 else before
    return ""


def _odd(parameters: list[ParameterReading]) -> ParameterReading | None:
    """The kernel whose standard deviation is farthest from what is usual in this network."""
    known = [p for p in parameters if math.isfinite(p.he_ratio) and p.he_ratio > 0]
    if not known:
        return None
    middle = statistics.median(math.log(p.he_ratio) for p in known)
    return max(known, key=lambda p: (abs(math.log(p.he_ratio) - middle), abs(math.log(p.he_ratio))))
