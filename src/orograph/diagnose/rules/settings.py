"""Settings that no training survives, and layers that nobody knows of: seen without training."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from orograph.basics.words import counted
from orograph.data.structure import batch_length
from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.hidden import hidden
from orograph.diagnose.thresholds import threshold
from orograph.diagnose.untrained import looks_untrained
from orograph.initialize.parts import is_norm
from orograph.initialize.slots import slots_of
from orograph.results.diagnosis import Evidence


def settings(chart: Chart) -> Iterator[Suspicion]:
    """What is set so that nothing can be learned."""
    yield from _hidden(chart)
    yield from _rates(chart)
    yield from _momentum(chart)
    yield from _eps(chart)
    yield from _small_batches(chart)
    yield from _not_numbers(chart)


def _hidden(chart: Chart) -> Iterator[Suspicion]:
    optimizer = chart.patient.optimizer
    groups = optimizer.param_groups if optimizer is not None else []
    held = {id(p) for group in groups for p in group["params"]}
    known = {path for path, tensor in hidden(chart.patient.model).items() if id(tensor) in held}
    found = {path: size for path, size in chart.probe.hidden.items() if path not in known}
    if found:
        first = next(iter(found))
        yield Suspicion(
            "W10",
            "the network uses layers that it does not own",
            "critical",
            0.97,
            f"{counted(len(found), 'tensor')} ({first}, …) get gradients, and model.parameters() does not hold them: "
            "they stand in a plain list, tuple or dictionary, or are no nn.Parameter, so that no optimiser trains them",
            "keep layers in nn.ModuleList, nn.ModuleDict or nn.Sequential, and weights in nn.Parameter",
            "self.layers = nn.ModuleList([…])",
            where=first,
            stage=1,
            evidence=(Evidence("numbers that get gradients and belong to nobody", sum(found.values()), 0.0, "0"),),
            explains=("O02", "I01", "O00", "I06", "W04"),
            limits="an optimiser of their own",
            edit=edits.owned(),
        )


def _rates(chart: Chart) -> Iterator[Suspicion]:
    optimizer, run = chart.patient.optimizer, chart.run
    if optimizer is None:
        return
    names = {id(p): name for name, p in chart.patient.model.named_parameters()}
    bad, broken = [], False
    largest = max((float(group.get("lr", 1.0)) for group in optimizer.param_groups), default=0.0)
    for index, group in enumerate(optimizer.param_groups):
        lr = float(group.get("lr", 1.0))
        moved = run is not None and any(names.get(id(p)) in run.moved for p in group["params"])
        if lr < 0 or not math.isfinite(lr):
            broken = True
            bad.append((index, lr))
            continue
        slow = 0 < lr < threshold("group_rate") * largest and _fresh(chart, group)
        never = lr == 0 and run is not None and run.losses and not moved  # a warm-up may begin at 0
        if slow or never:
            bad.append((index, lr))
    if bad:
        every = len(bad) == len(optimizer.param_groups)
        which = "" if every else f" of group {bad[0][0]}"
        yield Suspicion(
            "W12",
            f"the learning rate{which} is {bad[0][1]:g}",
            "critical" if every or broken else "warning",
            0.97,
            "no step can do any good with it" if broken else "what is trained with it hardly changes, or never",
            "give every group a positive learning rate",
            f"for group in optimizer.param_groups: group['lr'] = {1e-3:g}",
            evidence=tuple(Evidence(f"learning rate of group {index}", lr, 0.0, "1e-4 to 0.1") for index, lr in bad),
            explains=("A05", "O02", "O00", "O01", "O03", "I01"),
            limits="" if broken else "layers that are meant to stay; freeze them with requires_grad_(False)",
            edit=edits.learning_rates(),
        )


def _fresh(chart: Chart, group: dict[str, Any]) -> bool:
    """Whether a group holds kernels that look as if they were never trained; trained ones may move slowly."""
    ids = {id(p) for p in group["params"]}
    kernels = [slot for slot in slots_of(chart.patient.model) if id(slot.parameter) in ids and slot.parts]
    return any(looks_untrained(slot) for slot in kernels)


def _momentum(chart: Chart) -> Iterator[Suspicion]:
    still = [
        name
        for name, layer in chart.patient.model.named_modules()
        if isinstance(layer, nn.modules.batchnorm._NormBase)
        and layer.track_running_stats
        and layer.momentum is not None
        and layer.momentum < threshold("norm_momentum")
        and layer.training
        and layer.num_batches_tracked is not None
        and int(layer.num_batches_tracked) == 0
    ]
    if still:
        momentum = float(chart.patient.model.get_submodule(still[0]).momentum)  # type: ignore[arg-type]
        yield Suspicion(
            "W15",
            "running statistics of norm layers hardly move",
            "warning",
            0.95,
            f"{still[0]} has momentum {momentum:g}: in evaluation it normalises by (almost) the mean 0 and variance 1 "
            "that it began with, however well it does in training",
            "use momentum 0.1 (None: a plain mean over all batches)",
            "nn.BatchNorm2d(channels, momentum=0.1)",
            where=still[0],
            evidence=(Evidence("momentum", momentum, threshold("norm_momentum"), "0.01 to 0.1"),),
        )


def _eps(chart: Chart) -> Iterator[Suspicion]:
    large = [
        (float(layer.eps), name)
        for name, layer in chart.patient.model.named_modules()
        if is_norm(layer) and isinstance(getattr(layer, "eps", None), float) and layer.eps > threshold("norm_eps")
    ]
    if large:
        eps, name = max(large)
        yield Suspicion(
            "W15",
            f"eps of a norm layer is {eps:g}",
            "warning",
            0.9,
            f"{name} divides by sqrt(variance + {eps:g}), so that it no longer brings its inputs to variance 1",
            "use eps=1e-5",
            "nn.BatchNorm2d(channels, eps=1e-5)",
            where=name,
            evidence=(Evidence("eps", eps, threshold("norm_eps"), "1e-6 to 1e-3"),),
            explains=("I01", "O02", "O00", "I06", "O01", "A00", "I00"),
            edit=edits.small_eps(),
        )


def _small_batches(chart: Chart) -> Iterator[Suspicion]:
    sizes = [batch_length(batch) for batch in chart.patient.batches]
    size = int(statistics.median(sizes)) if sizes else 0
    norms = [
        name
        for name, layer in chart.patient.model.named_modules()
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)) and layer.training
    ]
    if norms and 0 < size <= threshold("small_batch"):
        yield Suspicion(
            "W17",
            f"batch norm with batches of {counted(size, 'example')}",
            "warning",
            0.8,
            f"{norms[0]} normalises by the statistics of {counted(size, 'example')}, which say more of these examples "
            "than of all; in evaluation it uses others",
            "use larger batches (16 or more), or group norm, which needs none",
            "nn.GroupNorm(8, channels)",
            where=norms[0],
            evidence=(Evidence("examples in a batch", size, threshold("small_batch"), "16 or more"),),
            explains=("O00", "O01", "O03"),
            limits="statistics that several devices share",
            edit=edits.shuffled(chart.patient.batches, 16),
        )


def _not_numbers(chart: Chart) -> Iterator[Suspicion]:
    for path, layer in chart.patient.model.named_modules():
        own = {**{n: v for n, v in vars(layer).items() if isinstance(v, Tensor)}, **layer._buffers}
        for name, tensor in own.items():
            if tensor is None or not tensor.is_floating_point() or tensor.numel() < 2:  # one alone may mean "not yet"
                continue
            if bool(torch.isnan(tensor).any()):
                where = f"{path}.{name}" if path else name
                yield Suspicion(
                    "W20",
                    f"{where} holds NaN",
                    "critical",
                    0.97,
                    "it is no parameter, so no step changes it, and whatever meets it becomes NaN: a mask made by "
                    "multiplying with infinity, or statistics that were saved broken",
                    "make it anew; write masks with masked_fill or torch.where",
                    "mask = torch.zeros(n, n).masked_fill(hidden, float('-inf'))      # not hidden * float('-inf')",
                    where=where,
                    evidence=(Evidence("entries that are NaN", int(torch.isnan(tensor).sum()), 0.0, "0"),),
                    explains=("A05", "O00", "I02", "O01", "O03", "I01"),
                    edit=edits.numbers_again(),
                    needs="harm",
                )
                return
