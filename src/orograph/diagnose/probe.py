"""One batch through the network: what arrives at each layer, what flows back, and tests that need a pass or two.

Cost: one pass forward and backward of a batch, two more forward, and nearest neighbours of at most 1,500 examples.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from orograph.basics.errors import ModelError, in_a_line
from orograph.basics.seeds import reseed
from orograph.data.structure import batch_length, leaves
from orograph.diagnose.affine import affine
from orograph.diagnose.batches import only_tensor, with_targets
from orograph.diagnose.bounds import bounds_of
from orograph.diagnose.counting import Counting, breaks, counting_of, steady
from orograph.diagnose.dense import dense
from orograph.diagnose.dependence import Dependence, dependence_of
from orograph.diagnose.hidden import hidden
from orograph.diagnose.inputs_and_targets import batch_entropy, batch_variance, repetitions
from orograph.diagnose.knowing import Known, known
from orograph.diagnose.losses import parts_of
from orograph.diagnose.patient import Copy
from orograph.diagnose.pictures import Grain, grain_of
from orograph.diagnose.slopes import beside, slopes
from orograph.diagnose.task import Task, labels_of_batches, task_of
from orograph.diagnose.watching import Watch, first_tensor, reading_of, watching
from orograph.initialize.parts import parts_of as kernels_of
from orograph.initialize.probing import probing
from orograph.initialize.slots import slots_of
from orograph.results.diagnosis import LayerReading, ParameterReading


@dataclass
class Inputs:
    """The inputs of some batches: statistics of their numbers, and what is the same everywhere."""

    largest: float = float("nan")
    mean: float = float("nan")
    std: float = float("nan")
    not_finite: int = 0
    bad_batch: int = -1
    between: float = float("nan")  # standard deviation over examples, over that of all numbers
    uneven: float = 1.0  # the largest standard deviation of a column over the tenth smallest, of (n, columns)
    blank: float = 0.0  # the share of examples of which all numbers are the same
    table: bool = False  # all inputs are (n, columns)
    integral: bool = False
    same_token: float = 0.0  # the share of the most frequent one, where inputs are tokens
    bad_targets: int = 0
    distinct: int = 0  # examples that differ, of ``seen``
    pairs: int = 0  # the same, with their targets
    seen: int = 0


@dataclass
class Probe:
    """What one batch showed before training."""

    task: Task
    loss: float
    outputs: Tensor | None
    layers: list[LayerReading]
    parameters: list[ParameterReading]
    inputs: Inputs
    no_gradient: list[str] = field(default_factory=list)  # trainable, and backward left None
    zero_gradient: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)  # of layers that never ran
    hidden: dict[str, int] = field(default_factory=dict)  # numbers of tensors with gradients that nobody registered
    detached: bool = False  # the loss does not depend on any parameter
    given: Tensor | None = None  # what the network got, where that is one tensor
    depends: Dependence = field(default_factory=Dependence)
    counts: Counting = field(default_factory=lambda: Counting({}))
    grain: Grain = field(default_factory=Grain)
    bounds: tuple[float, float] = (-math.inf, math.inf)  # of the outputs, however large the last weights are
    attends: bool = False  # places of a sequence are weighed against each other
    beside: float = float("nan")  # how large gradients are that do not come by way of the outputs, over those that do
    after_last: float = float("nan")  # the outputs over those of the last weights, where they are a multiple of them
    slopes: dict[str, float] = field(default_factory=dict)
    error: str = ""
    known: Known = field(default_factory=Known)
    batch_entropy: float = float("nan")  # how mixed the targets of a batch are, 1 as if drawn at random


def look_at(made: Copy, batches: Sequence[Any], epoch: int = 0) -> Probe:
    """Pass the first batch through the copy as it stands, forward and backward. Raises ModelError, naming the layer and
    the shapes, where the network or the loss fails."""
    model, batch = made.model, batches[0]
    inputs = inputs_of_batches(batches)
    for parameter in model.parameters():
        parameter.grad = None
    with watching(model) as watch, torch.enable_grad():
        loss = _run(made, batch)
        detached = not loss.requires_grad
        pulled = first_tensor(watch.outputs)
        if not detached:
            if pulled is not None and pulled.requires_grad and not pulled.is_leaf:
                pulled.retain_grad()
            try:
                loss.backward(retain_graph=pulled is not None)  # type: ignore[no-untyped-call]
            except RuntimeError as error:
                raise ModelError(f"backward() fails: {str(error).splitlines()[0]}") from error
        # At once, as batch norm's statistics must not have changed since.
        aside = math.nan
        alone = pulled is watch.outputs and watch.passes == 1  # else a loss of several outputs, or of several passes
        if pulled is not None and alone and not pulled.is_leaf and pulled.grad is not None:
            whole = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
            aside = beside(whole, pulled, pulled.grad, dict(model.named_parameters()))
    pull = None if pulled is None or pulled.is_leaf else pulled.grad
    value = float(loss.detach())
    own = made.loss.of_outputs is False
    inputs.seen, inputs.distinct, inputs.pairs = repetitions(batches[: epoch or len(batches)], whole=own)
    if isinstance(watch.outputs, Tensor):
        watch.outputs = watch.outputs.detach()
    del loss, pulled  # and with them the graph
    if _ignores_targets(made, batch):
        task = Task("other")
    else:
        task = task_of(watch.outputs, batch, value, batches, _forms_elsewhere(made, batches))
    if own and not task.form and _unclear(watch.outputs, batches, task):
        task = Task("other", output_shape=task.output_shape)
    if aside <= 0.02:
        task = affine(made, batch, task)
    examples = batch_length(batch)
    layers = [reading_of(one, examples) for one in watch.readings]
    ran = {one.layer.split("#")[0] for one in watch.readings}
    outputs = first_tensor(watch.outputs)
    probe = Probe(task, value, None if outputs is None else outputs.detach(), layers, _parameters(model), inputs,
                  detached=detached)  # fmt: skip
    probe.beside, probe.after_last = aside, _after_last(watch, model, outputs)
    # What a step goes down by need not be the slope of anything: advantages and goals are held fixed in it.
    probe.slopes = {} if detached or made.loss.of_step else slopes(made, batch)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.grad is None:
            owner = name.rpartition(".")[0]
            (probe.no_gradient if _ran(owner, ran, model) else probe.unused).append(name)
        elif not bool(dense(parameter.grad).any()):
            probe.zero_gradient.append(name)
    for path, tensor in hidden(made.model).items():
        if tensor.grad is not None and bool(dense(tensor.grad).any()):
            probe.hidden[path] = tensor.numel()
        tensor.grad = None
    for parameter in model.parameters():
        parameter.grad = None
    probe.given = watch.inputs
    probe.depends = dependence_of(made, watch.inputs, parts_of(batches[1 % len(batches)])[0])
    if len([x for _, x in leaves(watch.outputs) if isinstance(x, Tensor)]) == 1:  # else which of them is the answer?
        probe.bounds = bounds_of(made, watch.inputs)
    probe.counts = steady(counting_of(pull, probe.outputs, batch, task), made, batch, task)
    if task.kind in ("classes", "binary"):
        probe.counts = replace(probe.counts, breaks=breaks(made, batch))
    probe.known, probe.grain, probe.attends = known(batches, task), grain_of(batches), _attends(watch, model)
    if task.kind in ("classes", "binary"):
        probe.batch_entropy = batch_entropy(batches, task)
    elif task.kind == "numbers":
        probe.batch_entropy = batch_variance(batches)
    return probe


def _unclear(outputs: Any, batches: Sequence[Any], task: Task) -> bool:
    """Whether only the user's loss knows which tensor is the answer, or the targets: a mean and a variance, labels that
    are none."""
    if task.kind == "classes":
        labels = labels_of_batches(batches)
        return len(labels) > 0 and float(labels.max()) >= task.classes
    many = math.prod(task.target_shape)
    return sum(isinstance(x, Tensor) and x.numel() == many for _, x in leaves(outputs)) > 1


def _after_last(watch: Watch, model: Any, outputs: Tensor | None) -> float:
    """The factor between the outputs of the last layer with weights and the network's; NaN for any other relation."""
    modules = dict(model.named_modules())
    kernels = [one for one in watch.readings
               if any(p.dim() > 1 for p in modules[one.layer.split("#")[0]].parameters(recurse=False))
               ] if all(one.layer.split("#")[0] in modules for one in watch.readings) else []  # fmt: skip
    if outputs is None or not kernels or kernels[-1].output.numel() != outputs.numel():
        return float("nan")
    last, whole = kernels[-1].output.double().reshape(-1), outputs.detach().double().reshape(-1)
    size = float(last @ last)
    factor = float(last @ whole) / size if size > 0 else float("nan")
    return factor if float((whole - factor * last).norm()) <= 1e-4 * float(whole.norm()) else float("nan")


def _attends(watch: Watch, model: Any) -> bool:
    """By the names of its layers, or by a softmax over square tables."""
    if any("Attention" in (kind := type(module).__name__) or "Transformer" in kind for module in model.modules()):
        return True
    tables = [one.output for one in watch.readings if one.kind == "Softmax" and one.output.dim() > 2]
    return any(one.kind == "Attention" for one in watch.readings) or any(x.shape[-1] == x.shape[-2] > 2 for x in tables)


def _ignores_targets(made: Copy, batch: Any) -> bool:
    """Whether a loss of (model, batch) stays the same to the last bit when targets come in another order, or are all
    the first."""
    targets = parts_of(batch)[1]
    if made.loss.of_outputs or not isinstance(targets, Tensor) or targets.dim() == 0 or len(targets) < 2:
        return False
    if bool((targets == targets.flip(0)).all()):
        return False
    found = []
    with probing(made.model):
        for change in (torch.clone, lambda t: t.flip(0), lambda t: t[:1].expand_as(t).clone()):
            reseed(0, next(made.model.parameters()).device.type)
            try:
                found.append(float(made.loss(made.model, with_targets(made.change(batch), change)).detach()))
            except Exception:  # a loss that works in training only
                return False
    return len(set(found)) == 1 and math.isfinite(found[0])


def _forms_elsewhere(made: Copy, batches: Sequence[Any]) -> Collection[str] | None:
    """The formulas that the loss agrees with on each of the next batches; None where there is none."""
    outputs: list[Any] = []
    common: set[str] | None = None
    handle = made.model.register_forward_hook(lambda model, args, output: outputs.append(output))
    try:
        with probing(made.model), torch.no_grad():
            for batch in batches[1:4]:
                value = float(made.loss(made.model, made.change(batch)))
                found = set(task_of(outputs[-1], batch, value, batches).matches)
                common = found if common is None else common & found
    except Exception:  # the others are another matter
        return None
    finally:
        handle.remove()
    return common


def inputs_of_batches(batches: Sequence[Any]) -> Inputs:
    """Statistics of the inputs' numbers over some batches."""
    found = Inputs()
    numbers: list[Tensor] = []
    tokens: list[Tensor] = []
    for index, batch in enumerate(batches):
        given, targets = parts_of(batch)
        for _, leaf in leaves(given):
            if not isinstance(leaf, Tensor):
                continue
            if not leaf.is_floating_point():
                found.integral = True
                if only_tensor(given) is leaf:  # else it may be a mask
                    tokens.append(leaf.reshape(-1).cpu())
                continue
            bad = int((~torch.isfinite(leaf)).sum())
            if bad and found.bad_batch < 0:
                found.bad_batch = index
            found.not_finite += bad
            numbers.append(leaf.detach().float())
        if isinstance(targets, Tensor) and targets.is_floating_point():
            found.bad_targets += int((~torch.isfinite(targets)).sum())
    if tokens and not numbers:
        flat = torch.cat(tokens)
        found.same_token = float(torch.unique(flat, return_counts=True)[1].max()) / max(len(flat), 1)
    if numbers:
        flat = torch.cat([part[torch.isfinite(part)].reshape(-1) for part in numbers[:16]])
        if flat.numel():
            found.integral = False
            found.largest, found.mean = float(flat.abs().max()), float(flat.mean())
            found.std = float(flat.std(correction=0))
        rows = [part.reshape(len(part), -1) for part in numbers[:16] if part.dim()]
        if rows and all(row.shape[1] == rows[0].shape[1] for row in rows):
            every = torch.cat(rows)
            whole = float(every.std(correction=0))
            if every.shape[1] > 1:
                found.blank = float((every.std(1, correction=0) == 0).float().mean())
            found.table = all(isinstance(x := parts_of(b)[0], Tensor) and x.dim() == 2 for b in batches)
            if found.table:
                spreads = every.std(0, correction=0)
                spreads = spreads[spreads > 0]
                found.uneven = float(spreads.max() / spreads.quantile(0.1)) if len(spreads) > 1 else 1.0
            found.between = float(every.std(0, correction=0).mean()) / whole if whole > 0 else 0.0
    return found


def _run(made: Copy, batch: Any) -> Tensor:
    inside: list[tuple[str, Any]] = []
    handles = []
    for name, layer in made.model.named_modules():
        handles.append(layer.register_forward_pre_hook(lambda m, args, name=name: inside.append((name, args))))
        handles.append(layer.register_forward_hook(lambda m, args, out: inside.pop() and None))
    try:
        return made.loss(made.model, made.change(batch))
    except ModelError:
        raise
    except Exception as error:
        reason = in_a_line(error)
        if inside:
            name, args = inside[-1]
            shapes = ", ".join(str(tuple(a.shape)) for a in args if isinstance(a, Tensor)) or "no tensors"
            kind = type(dict(made.model.named_modules())[name]).__name__
            raise ModelError(
                f"the forward pass fails in {name or 'the network'} ({kind}), which got {shapes}: {reason}"
            ) from error
        raise ModelError(f"the loss {made.loss.name} fails on the first batch: {reason}") from error
    finally:
        for handle in handles:
            handle.remove()


def _parameters(model: Any) -> list[ParameterReading]:
    found = []
    for slot in slots_of(model):
        values, gradient = dense(slot.parameter.detach()), slot.parameter.grad
        gradient = None if gradient is None else dense(gradient)
        he = float("nan")
        parts = kernels_of(slot.layer, slot.own, values)
        std = float(values.float().std(correction=0)) if values.numel() else float("nan")
        if parts:
            he = std / math.sqrt(2 / max(parts[0].fan_in, 1))
        found.append(
            ParameterReading(
                parameter=slot.name,
                size=values.numel(),
                norm=float(values.float().norm()),
                std=std,
                he_ratio=he,
                gradient_norm=float("nan") if gradient is None else float(gradient.float().norm()),
                gradient_zeros=float("nan") if gradient is None else float((gradient == 0).float().mean()),
                not_finite=int((~torch.isfinite(values)).sum()) if values.is_floating_point() else 0,
            )
        )
    return found


def _ran(owner: str, ran: set[str], model: Any) -> bool:
    """Whether the layer that owns a parameter was seen to run (or its parent, where it runs by itself)."""
    if owner in ran:
        return True
    above = owner.rpartition(".")[0]
    kind = type(dict(model.named_modules()).get(owner, model)).__name__
    return kind == "NonDynamicallyQuantizableLinear" or not owner or (above in ran)
