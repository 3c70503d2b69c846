"""Gradients on their way: whether they reach the parameters, which way they point, and what of them the step gets."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence

from torch import nn

from orograph.basics.words import counted
from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.thresholds import threshold
from orograph.results.diagnosis import Evidence

_LOST = 3  # steps in which a gradient came and was gone


def arriving(chart: Chart) -> Iterator[Suspicion]:
    """What keeps gradients from the parameters, or turns them round."""
    yield from _gradients(chart)
    yield from _cut(chart)
    yield from _reversed(chart)


def _cut(chart: Chart) -> Iterator[Suspicion]:
    """A way through the network that values take and gradients do not, as recurrent states that are detached."""
    cut = chart.probe.depends.cut
    if threshold("cut") < cut < 1:  # all of them: inputs that are made whole numbers on purpose
        yield Suspicion(
            "W04",
            "gradients are cut off on their way back to some inputs",
            "warning",
            0.85,
            f"{cut:.0%} of the inputs (places of a sequence) change the outputs and have a gradient of exactly zero by "
            "them: something between is detached, so that nothing is learned about them",
            "keep states and features attached within one example; detach them between batches at most",
            "h, state = self.cell(x[:, t], state)      # no state.detach() within the sequence",
            stage=1,
            evidence=(Evidence("share of the inputs with an effect and no gradient", cut, threshold("cut"), "0"),),
            explains=("O00", "A00"),
            limits="backpropagation through time that is cut on purpose",
            edit=edits.attached(),
        )


def _gradients(chart: Chart) -> Iterator[Suspicion]:
    probe, run = chart.probe, chart.run
    if probe.detached:
        yield Suspicion(
            "L08",
            "the loss does not depend on the parameters",
            "critical",
            0.99,
            "the loss has no graph: something on its way was detached, converted to a number, or made under no_grad",
            "keep tensors as they are from the network to the loss",
            "loss = criterion(model(x), y)   # no .detach(), .item(), .data, numpy() or torch.no_grad() between",
            stage=1,
            explains=("W04", "W06", "O00"),
        )
        return
    missing = [name for name in probe.no_gradient if run is None or not run.losses or name in run.missing]
    missing += _zeros(chart)
    if not missing:
        return
    sizes = {name: p.numel() for name, p in chart.patient.model.named_parameters()}
    share = sum(sizes[name] for name in missing) / max(sum(sizes.values()), 1)
    few = 1 if share < 0.01 else 0  # one number, as the height of an energy that only enters by its slope
    yield Suspicion(
        "W04",
        f"no gradient reaches {counted(len(missing), 'parameter')}",
        "critical" if share > 0.05 else "warning" if any(sizes[name] > few for name in missing) else "question",
        0.95,
        f"{names_of(missing)} took part in the forward pass, and backward() left no gradient, or zeros alone: the "
        "graph is cut after it",
        "find the cut between these layers and the loss: detach(), .data, no_grad(), item(), argmax or rounding",
        "h = self.body(x)            # not self.body(x).detach()\nreturn self.head(h)",
        where=missing[-1],
        stage=1,
        evidence=(Evidence("share of all numbers without a gradient", share, 0.0, "0"),),
        explains=("O02", "I01", "I06", "O00"),
        limits="layers whose outputs are not meant to count",
        edit=edits.attached(),
    )


def _zeros(chart: Chart) -> list[str]:
    """Parameters whose gradients are exactly zero in every step, where neither weights nor units say why."""
    run, probe = chart.run, chart.probe
    if run is None or len(run.losses) < 10 or run.stopped is not None:
        return []
    if any(isinstance(layer, nn.RNNBase) for layer in chart.patient.model.modules()):  # they forget down to zero
        return []
    if probe.inputs.between < 1e-3 or probe.inputs.blank > 0.5:
        return []
    if probe.depends.unused > threshold("unused_inputs"):  # what does not reach the outputs gets no gradient
        return []
    asleep = any(one.dead > threshold("dead_units") or one.saturated > threshold("dead_units") or one.std == 0
                 for one in probe.layers[:-1])  # fmt: skip
    empty = any(p.norm == 0 and math.isfinite(p.he_ratio) for p in probe.parameters)
    numbers = {name: p.numel() for name, p in chart.patient.model.named_parameters()}
    found = [name for name in probe.zero_gradient if name in run.silent]
    share = sum(numbers[name] for name in found) / max(sum(numbers.values()), 1)
    return [] if asleep or empty or share < 0.05 else found


def _reversed(chart: Chart) -> Iterator[Suspicion]:
    found = chart.probe.slopes
    wrong = {name: ratio for name, ratio in found.items() if ratio < -0.3}
    if len(wrong) >= 2 or (wrong and len(wrong) == len(found)):
        name = min(wrong, key=lambda one: wrong[one])
        yield Suspicion(
            "W22",
            "gradients point the wrong way",
            "critical",
            0.9,
            f"along the gradient of {name} the loss falls where it should rise: something between there and the loss "
            "turns gradients round",
            "look for a gradient reversal, a hook, or a backward() of your own with a wrong sign",
            "class Mine(torch.autograd.Function): …      # torch.autograd.gradcheck(Mine.apply, inputs)",
            where=name,
            stage=1,
            evidence=tuple(Evidence(f"measured over promised change along {one}", ratio, -0.3, "1")
                           for one, ratio in list(wrong.items())[:3]),
            explains=("O00", "A00", "O01", "L04", "O02", "I00", "O03"),
            limits="adversarial layers on purpose",
        )  # fmt: skip


def lost(chart: Chart) -> Iterator[Suspicion]:
    """Gradients of some parameters that come and are gone before the step."""
    run = chart.run
    assert run is not None
    numbers = {name: p.numel() for name, p in chart.patient.model.named_parameters() if p.requires_grad}
    still = [name for name in numbers if run.lost.get(name, 0) >= _LOST and name not in run.moved]
    share = sum(numbers[name] for name in still) / max(sum(numbers.values()), 1)
    if share > threshold("still") and len(still) < len(numbers):
        yield Suspicion(
            "W06",
            "gradients of some parameters are gone before the step",
            "critical" if share > 0.05 else "warning",
            0.9,
            f"backward() reaches {names_of(still)}, and when optimizer.step() is called they are zero or gone",
            "call zero_grad() of the whole network before backward(), and look for code that sets gradients to zero or "
            "None, or writes the old weights back",
            "optimizer.zero_grad()\nloss.backward()\noptimizer.step()",
            where=still[0],
            stage=2,
            evidence=(
                Evidence("share of the numbers that have gradients and never change", share, threshold("still")),
            ),
            explains=("O02", "O00", "I01", "W00"),
            limits="weights that are meant to stay; freeze them with requires_grad_(False)",
            edit=edits.ordinary_step(),
        )


def stale(chart: Chart) -> Iterator[Suspicion]:
    run = chart.run
    assert run is not None
    first = slice(2, 40)  # later, a run that blows up drowns what is left of old gradients
    rows = [
        (given / raw, cosine)
        for raw, given, cosine in zip(run.raw[first], run.given[first], run.cosine[first], strict=True)
        if raw > 0 and math.isfinite(cosine) and math.isfinite(given)
    ]
    if len(rows) < 3:
        return
    ratio, cosine = statistics.median(r for r, _ in rows), statistics.median(c for _, c in rows)
    known = [one for one in run.stale[first] if math.isfinite(one)]
    kept = statistics.median(known) if known else 1.0  # what is beside the fresh gradient is what was given before
    if kept < threshold("stale_kept"):
        yield from _changed(chart, cosine)
        return
    if ratio > threshold("stale_growth") and cosine < threshold("stale_cosine"):
        yield Suspicion(
            "W05",
            "old gradients are never cleared",
            "critical",
            0.95,
            "the optimiser gets the sum of all gradients so far: zero_grad() is missing",
            "call optimizer.zero_grad() before every backward pass",
            "optimizer.zero_grad()\nloss.backward()\noptimizer.step()",
            stage=2,
            evidence=(
                Evidence("norm of what the step gets over the fresh gradient's", ratio, threshold("stale_growth"), "1"),
                Evidence("cosine between the two", cosine, threshold("stale_cosine"), "1"),
            ),
            explains=("O01", "O03", "O00"),
            limits="an optimiser that is given gradients on purpose",
            edit=edits.fresh_gradients(),
        )


def _changed(chart: Chart, cosine: float) -> Iterator[Suspicion]:
    if cosine < threshold("stale_cosine") / 2:
        yield Suspicion(
            "W21",
            "gradients are changed between backward() and the step",
            "warning",
            0.85,
            f"what the optimiser gets has a cosine of {cosine:.2f} with the gradients that backward() made: noise, a "
            "wrong scaling of parts, or values that are written over",
            "look at what changes gradients after backward(); noise for privacy has to be far smaller than they are",
            "loss.backward()\noptimizer.step()",
            stage=2,
            evidence=(Evidence("cosine between the two", cosine, threshold("stale_cosine") / 2, "1"),),
            explains=("O01", "O03", "O00", "W00", "W05"),
            limits="gradients that are changed on purpose",
            edit=edits.ordinary_step(),
            needs="proof",
        )


def names_of(names: Sequence[str]) -> str:
    """The first three names, and how many more."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
