"""Whether the signal arrives at the end, and the gradient at the beginning."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import replace

from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.thresholds import threshold
from orograph.initialize.slots import Slot
from orograph.results.diagnosis import Evidence, LayerReading, ParameterReading

REDRAW = "og.initialize.apply(model, 'he-normal')"


def signal(chart: Chart, slots: list[Slot]) -> Iterator[Suspicion]:
    """Scales, units and gradients."""
    yield from _scale(chart, slots)
    yield from _units(chart)
    yield from _gradients(chart)


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
                REDRAW,
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
    if task.kind in ("classes", "binary") and math.isfinite(task.entropy):  # few in use, or rare, are no reason for it
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
            REDRAW,
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
            REDRAW,
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
        other = ("use ReLU within the network, with weights to suit", f"nn.ReLU()   # {REDRAW}", edits.rectified())
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
