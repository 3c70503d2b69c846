"""Initialisation and architecture: whether the signal arrives at the end, and the gradient at the beginning."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.rules.signal import REDRAW, signal
from orograph.diagnose.thresholds import threshold
from orograph.diagnose.untrained import unshaped
from orograph.initialize.parts import is_norm
from orograph.initialize.slots import Slot, slots_of
from orograph.results.diagnosis import Evidence

_RECURRENT = (nn.RNNBase, nn.RNNCellBase)


def start(chart: Chart) -> Iterator[Suspicion]:
    """What is wrong with the initial weights."""
    slots = list(slots_of(chart.patient.model))
    yield from _broken(chart, slots)
    yield from _constant(chart, slots)
    yield from _gains(chart, slots)
    yield from _recurrent(chart)
    yield from signal(chart, slots)


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
            REDRAW,
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
        REDRAW,
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
