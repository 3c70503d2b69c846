"""The run: whether steps are too long or too short, and what broke down on the way."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.producer import Producer
from orograph.diagnose.rules.options import options
from orograph.diagnose.run import Run
from orograph.diagnose.signals import Signals
from orograph.diagnose.thresholds import threshold
from orograph.results.diagnosis import Evidence


def running(chart: Chart, signals: Signals) -> Iterator[Suspicion]:
    """What is wrong with the optimisation."""
    run = chart.run
    if run is None or run.error:
        return
    yield from _numerics(chart, run)
    yield from options(chart, run)
    if run.losses and any(run.taken):
        yield from _lengths(chart, run, signals)


def update_sizes(run: Run) -> dict[str, float]:
    """The median relative change of each parameter over the steps after the first five."""
    found = {}
    for name, values in run.updates.items():
        finite = [value for value in values if math.isfinite(value)]
        if finite:
            found[name] = statistics.median(finite[5:] or finite)
    return found


def _numerics(chart: Chart, run: Run) -> Iterator[Suspicion]:
    producer = run.producer
    if run.stopped is None or producer is None or chart.probe.inputs.not_finite:
        return
    early = run.stopped == 0
    grew = run.losses[:-1] and _largest(run.losses) > 3 * max(abs(run.losses[0]), 1e-12)
    if producer.phase == "step":
        yield _by_the_optimizer(producer, run.stopped, bool(grew))
        return
    place = producer.module or "the network itself"
    hint = f"; {producer.hint}" if producer.hint else ""
    known = f" from {producer.low:.3g} to {producer.high:.3g}" if math.isfinite(producer.low) else ""
    yield Suspicion(
        "A05",
        f"{place} produces NaN or infinity in step {run.stopped}",
        "critical",
        0.9 if early or not grew else 0.5,
        f"in the {producer.phase} pass {place} ({producer.kind or 'loss'}) turns finite numbers{known} into "
        f"{producer.share:.0%} that are not{hint}",
        "guard the formula there: clamp what goes into logarithms, roots and divisions, or before exp",
        "torch.log(x.clamp_min(1e-8))",
        where=producer.module,
        stage=2,
        step=run.stopped,
        evidence=(Evidence("share of its output that is not finite", producer.share, 0.0, "0"),),
        explains=("O00",) if grew else ("O01", "O03", "O00"),
        limits="weights that grew without bound before: then the learning rate is the cause",
        needs="nothing" if early or not grew else "harm",
    )


def _by_the_optimizer(producer: Producer, step: int, grew: bool) -> Suspicion:
    return Suspicion(
        "A05",
        f"the step of {producer.kind} produces NaN or infinity before step {step}",
        "critical",
        0.5 if grew else 0.9,
        f"{producer.module} and its gradient were finite, and what {producer.kind} made of it is not",
        "look at the optimiser's rate, eps and state for this parameter, and at code that changes weights after a step",
        "torch.optim.AdamW(model.parameters(), lr=1e-3, eps=1e-8)",
        where=producer.module,
        stage=2,
        step=step,
        explains=("O00",) if grew else ("O01", "O03", "O00"),
        limits="weights that grew without bound before: then the learning rate is the cause",
        needs="harm" if grew else "nothing",
    )


def _lengths(chart: Chart, run: Run, signals: Signals) -> Iterator[Suspicion]:
    sizes = update_sizes(run)
    kernels = [p.parameter for p in chart.probe.parameters if math.isfinite(p.he_ratio)]
    found = [sizes[name] for name in kernels if name in sizes] or list(sizes.values())
    if not found:
        return
    middle, longest = statistics.median(found), max(found)
    peak = max((_largest(run.updates.get(name, [])) for name in kernels), default=0.0)
    broke = chart.broke
    worse = broke or run.end > max(run.start, run.best * 1.2 if math.isfinite(run.best) else run.start)
    clip = [g / r for g, r in zip(run.given, run.raw, strict=True) if r > 0 and math.isfinite(g)]
    squeeze = statistics.median(clip) if clip else 1.0
    if squeeze < threshold("clip_low") and not chart.probe.inputs.not_finite:
        yield Suspicion(
            "O06",
            "gradients are clipped to almost nothing",
            "critical",
            0.85,
            f"the optimiser gets {squeeze:.1e} of the gradient",
            "clip at about the norm that quiet steps have, or not at all",
            f"nn.utils.clip_grad_norm_(model.parameters(), {_quiet(run):.2g})",
            stage=2,
            evidence=(Evidence("clipped over raw gradient norm (median)", squeeze, threshold("clip_low"), "0.3 to 1"),),
            explains=("O02", "O00"),
            edit=edits.ordinary_step(),
            needs="proof",
        )
    high = longest > threshold("update_high") or peak > 1 or broke or worse
    evidence: tuple[Evidence, ...] = (
        Evidence(
            "relative change of a layer in a step, largest median", longest, threshold("update_high"), "1e-3 to 2e-2"
        ),
        Evidence("the same in the worst single step", peak, 1.0, "below 0.2"),
        Evidence(
            "the same, median over layers and steps",
            middle,
            math.nan if high else threshold("update_low"),
            "1e-3 to 2e-2",
        ),
    )
    lr = max((rate for rate in run.lr if math.isfinite(rate)), default=float("nan"))
    suggested = _suggested(chart, signals)
    if high:
        if not chart.trains and (edge := signals.edge) is not None:
            evidence = (
                *evidence,
                Evidence("largest eigenvalue of the Hessian times the rate", edge.product, edge.limit),
            )
        shorter = (suggested,) if suggested < 0.5 else ()
        for factor in (*shorter, 0.1, 0.01, 0.001, 1e-4):
            yield Suspicion(
                "O01",
                "the learning rate is too high",
                "critical",
                0.8,
                "steps are so long that they undo each other"
                + (": the loss explodes" if broke else " and the loss rises" if worse else ""),
                f"lower the learning rate from {lr:.3g} to about {lr * factor:.2g}",
                f"lr={lr * factor:.2g}",
                stage=2,
                step=run.stopped or 0,
                evidence=evidence,
                explains=("O03", "O04", "O08", "I04", "O00", "A05"),
                edit=edits.rate(factor),
                needs="nothing" if broke and peak > 1 and factor == 0.01 else "proof",
            )
        jumps = tuple(
            Evidence(f"jump of the loss at step {one.step}", one.height, usual="none, or back within 20 steps")
            for one in signals.cliffs
            if one.back is None
        )
        yield Suspicion(
            "O03",
            "single steps throw the network off a cliff",
            "warning",
            0.6,
            "some gradients are many times longer than usual",
            "clip the gradient's norm at what quiet steps have",
            f"nn.utils.clip_grad_norm_(model.parameters(), {_quiet(run):.2g})",
            stage=2,
            evidence=(*jumps, *evidence),
            explains=("O00",),
            edit=edits.clipped(_quiet(run)),
            needs="proof",
        )
    elif not chart.trains and longest > threshold("update_low"):
        yield from _quietly_high(chart, lr, evidence)
    if not high and (longest < 3e-3 or suggested > 3):
        longer = (suggested,) if suggested > 3 else ()
        for factor in (
            *longer,
            30.0,
            1000.0,
            *(() if chart.trains else (5.0,)),
            *((0.003 / longest, 0.0005 / longest) if 0 < longest < 1e-7 else ()),
        ):
            yield Suspicion(
                "O02",
                "the learning rate is too low",
                "critical" if longest < threshold("update_usual") else "question",  # beginnings may be slow
                0.8,
                f"a step changes a layer by {longest:.1e} of its size: nothing happens in a reasonable time",
                f"raise the learning rate from {lr:.2g} to about {lr * factor:.2g}",
                f"lr={lr * factor:.2g}",
                stage=2,
                evidence=evidence,
                explains=("O00",),
                edit=edits.rate(factor),
                needs="proof",
            )


def _quietly_high(chart: Chart, lr: float, evidence: tuple[Evidence, ...]) -> Iterator[Suspicion]:
    """Where it does not train and no sign says why: a lower rate by which it learns sooner is the cause."""
    for factor in (0.2, 0.03):
        yield Suspicion(
            "O01",
            "the learning rate is too high",
            "critical",
            0.7,
            "with shorter steps it learns sooner",
            f"lower the learning rate from {lr:.3g} to about {lr * factor:.2g}",
            f"lr={lr * factor:.2g}",
            stage=2,
            evidence=evidence,
            explains=("O03", "O04", "O08", "I04", "O00"),
            edit=edits.rate(factor),
            needs="proof",
        )


def _suggested(chart: Chart, signals: Signals) -> float:
    """The range test's rate over the one in use, where the network does not train; NaN where it says nothing."""
    if chart.trains or (found := signals.rates) is None or found.flat or found.lr <= 0:
        return math.nan
    return found.tenth / found.lr


def _quiet(run: Run) -> float:
    """The norm that gradients have in the quieter half of the steps."""
    finite = sorted(value for value in run.raw if math.isfinite(value) and value > 0)
    return finite[len(finite) // 4] if finite else 1.0


def _largest(values: list[float]) -> float:
    """The largest finite number, 0 for none."""
    return max((value for value in values if math.isfinite(value)), default=0.0)
