"""One batch through the network: what arrives at each layer, what flows back, and tests that need a pass or two.

Cost: one pass forward and backward of a batch, two more forward, and nearest neighbours of at most 1,500 examples.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orograph.basics.errors import ModelError
from orograph.data.structure import batch_length, leaves
from orograph.diagnose.losses import called, parts_of
from orograph.diagnose.patient import Copy
from orograph.diagnose.task import Task, labels_of_batches, task_of
from orograph.diagnose.watching import first_tensor, reading_of, watching
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
    integral: bool = False
    bad_targets: int = 0
    distinct: int = 0  # examples that differ, of ``seen``
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
    detached: bool = False  # the loss does not depend on any parameter
    leak: float = 0.0  # how far an example's outputs change with the others of its batch
    error: str = ""
    label_signal: float = float("nan")  # nearest neighbours' accuracy over that of the most frequent class
    batch_entropy: float = float("nan")  # how mixed the targets of a batch are, 1 as if drawn at random


def look_at(made: Copy, batches: Sequence[Any], epoch: int = 0) -> Probe:
    """Pass the first batch through the copy as it stands, forward and backward. Raises ModelError, naming the layer and
    the shapes, where the network or the loss fails."""
    model, batch = made.model, batches[0]
    inputs = inputs_of_batches(batches)
    repetitions(inputs, batches[: epoch or len(batches)])
    for parameter in model.parameters():
        parameter.grad = None
    with watching(model) as watch, torch.enable_grad():
        loss = _run(made, batch)
        detached = not loss.requires_grad
        if not detached:
            try:
                loss.backward()  # type: ignore[no-untyped-call]
            except RuntimeError as error:
                raise ModelError(f"backward() fails: {str(error).splitlines()[0]}") from error
    value = float(loss.detach())
    task = task_of(watch.outputs, batch, value, batches, _forms_elsewhere(made, batches))
    examples = batch_length(batch)
    layers = [reading_of(one, examples) for one in watch.readings]
    ran = {one.layer.split("#")[0] for one in watch.readings}
    probe = Probe(task, value, first_tensor(watch.outputs), layers, _parameters(model), inputs, detached=detached)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.grad is None:
            owner = name.rpartition(".")[0]
            (probe.no_gradient if _ran(owner, ran, model) else probe.unused).append(name)
        elif not bool(parameter.grad.any()):
            probe.zero_gradient.append(name)
    for parameter in model.parameters():
        parameter.grad = None
    probe.leak = _leak(made, batch)
    if task.kind == "classes":
        probe.label_signal = label_signal(batches, task)
        probe.batch_entropy = batch_entropy(batches, task)
    elif task.kind == "numbers":
        probe.label_signal = number_signal(batches)
        probe.batch_entropy = batch_variance(batches)
    return probe


def _forms_elsewhere(made: Copy, batches: Sequence[Any]) -> Collection[str] | None:
    """The formulas that the loss agrees with on the second batch; None where there is none."""
    if len(batches) < 2:
        return None
    outputs: list[Any] = []
    handle = made.model.register_forward_hook(lambda model, args, output: outputs.append(output))
    try:
        with probing(made.model), torch.no_grad():
            value = float(made.loss(made.model, made.change(batches[1])))
        return task_of(outputs[-1], batches[1], value, batches).matches
    except Exception:  # the second batch is another matter
        return None
    finally:
        handle.remove()


def inputs_of_batches(batches: Sequence[Any]) -> Inputs:
    """Statistics of the inputs' numbers over some batches."""
    found = Inputs()
    numbers: list[Tensor] = []
    for index, batch in enumerate(batches):
        given, targets = parts_of(batch)
        for _, leaf in leaves(given):
            if not isinstance(leaf, Tensor):
                continue
            if not leaf.is_floating_point():
                found.integral = True
                continue
            bad = int((~torch.isfinite(leaf)).sum())
            if bad and found.bad_batch < 0:
                found.bad_batch = index
            found.not_finite += bad
            numbers.append(leaf.float())
        if isinstance(targets, Tensor) and targets.is_floating_point():
            found.bad_targets += int((~torch.isfinite(targets)).sum())
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
            found.between = float(every.std(0, correction=0).mean()) / whole if whole > 0 else 0.0
    return found


def repetitions(inputs: Inputs, batches: Sequence[Any]) -> None:
    """Count the examples of one epoch, and those that differ, by a random projection of their inputs."""
    random = torch.Generator().manual_seed(0)
    marks: set[tuple[float, ...]] = set()
    for batch in batches:
        leaf = next((x for _, x in leaves(parts_of(batch)[0]) if isinstance(x, Tensor) and x.dim()), None)
        if leaf is None:
            return
        flat = leaf.reshape(len(leaf), -1).double().cpu()
        random.manual_seed(0)
        weights = torch.rand(flat.shape[1], 2, dtype=torch.float64, generator=random)
        marks.update(map(tuple, torch.nan_to_num(flat @ weights).tolist()))
        inputs.seen += len(leaf)
    inputs.distinct = len(marks)


def label_signal(batches: Sequence[Any], task: Task, limit: int = 1500) -> float:
    """Accuracy of five nearest neighbours, left one out, over the share of the most frequent class; NaN where inputs
    do not stack."""
    x, y = _rows(batches, limit)
    if x is None or y is None or y.dim() != 1 or len(x) < 50:
        return float("nan")
    guesses = _neighbours(x)
    votes = torch.zeros(len(x), max(task.classes, int(y.max()) + 1))
    votes.scatter_add_(1, y[guesses].long(), torch.ones(guesses.shape))
    right = float((votes.argmax(1) == y).float().mean())
    most = float(torch.bincount(y.long()).max()) / len(y)
    return right / most


def number_signal(batches: Sequence[Any], limit: int = 1500) -> float:
    """The share of the targets' variance that five nearest neighbours explain, plus 1 (so that 1 is none, as above)."""
    x, y = _rows(batches, limit)
    if x is None or y is None or len(x) < 50:
        return float("nan")
    y = y.reshape(len(y), -1).float()
    guess = y[_neighbours(x)].mean(1)
    total = float((y - y.mean(0)).square().sum())
    return 2 - float((guess - y).square().sum()) / total if total > 0 else float("nan")


def batch_entropy(batches: Sequence[Any], task: Task) -> float:
    """Mean entropy of a batch's labels over that of batches drawn at random; 1 for shuffled data."""
    every = labels_of_batches(batches).long()
    whole = _entropy(every, task.classes)
    sizes = [len(labels_of_batches([batch])) for batch in batches]
    if whole <= 0.05 or min(sizes) < 4:
        return float("nan")
    each = [_entropy(labels_of_batches([batch]).long(), task.classes) for batch in batches]
    # What batches of this size have when they are drawn at random, as the yardstick.
    random = torch.Generator().manual_seed(0)
    drawn = [_entropy(every[torch.randint(len(every), (size,), generator=random)], task.classes) for size in sizes]
    expected = sum(drawn) / len(drawn)
    return (sum(each) / len(each)) / expected if expected > 0 else float("nan")


def batch_variance(batches: Sequence[Any]) -> float:
    """The same for numbers: variance within batches over that of all targets; 1 for shuffled data."""
    rows = [t.reshape(len(t), -1).float() for b in batches if isinstance(t := parts_of(b)[1], Tensor) and len(t) > 3]
    if len(rows) < 3 or any(row.shape[1] != rows[0].shape[1] for row in rows):
        return float("nan")
    whole = float(torch.cat(rows).var(0).mean())
    within = sum(float(row.var(0).mean()) for row in rows) / len(rows)
    return within / whole if whole > 0 else float("nan")


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
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
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
        values, gradient = slot.parameter.detach(), slot.parameter.grad
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


def _leak(made: Copy, batch: Any) -> float:
    """Largest change of the first half's outputs when the other half of a batch comes in another order, relative to the
    spread of outputs; 0 where outputs have no row for each example."""
    inputs = parts_of(batch)[0]
    n = batch_length(batch)
    if n < 4 or not isinstance(inputs, Tensor) or len(inputs) != n:
        return 0.0
    with probing(made.model, norm="running"), torch.no_grad():
        try:
            one = first_tensor(called(made.model, inputs.clone()))
            half = n // 2
            order = torch.cat([torch.arange(half), torch.arange(n - 1, half - 1, -1)]).to(inputs.device)
            other = first_tensor(called(made.model, inputs[order]))
        except Exception:
            return 0.0
    if one is None or other is None or one.shape != other.shape or one.shape[0] != n:
        return 0.0
    spread = float(one.float().std(correction=0))
    gap = float((one[:half].float() - other[:half].float()).abs().max())
    return gap / spread if spread > 0 and math.isfinite(gap) else 0.0


def _rows(batches: Sequence[Any], limit: int) -> tuple[Tensor | None, Tensor | None]:
    """Inputs as rows of standardised numbers and the targets, of up to ``limit`` distinct examples, on the CPU."""
    xs, ys, count = [], [], 0
    for batch in batches:
        inputs, targets = parts_of(batch)
        if not isinstance(inputs, Tensor) or not isinstance(targets, Tensor) or len(inputs) != len(targets):
            return None, None
        rows = inputs.reshape(len(inputs), -1)
        if not inputs.is_floating_point():
            if inputs.dim() != 2 or int(inputs.max()) > 5000:
                return None, None
            counts = torch.zeros(len(inputs), int(inputs.max()) + 1).scatter_add_(
                1, inputs.cpu().long(), torch.ones(inputs.shape)
            )
            rows = counts
        xs.append(rows.float().cpu())
        ys.append(targets.cpu())
        count += len(rows)
        if count >= limit:
            break
    width = max(x.shape[1] for x in xs)
    if any(y.shape[1:] != ys[0].shape[1:] for y in ys):
        return None, None
    x = torch.cat([torch.nn.functional.pad(x, (0, width - x.shape[1])) for x in xs])[:limit]
    y = torch.cat(ys)[:limit]
    x, kept = torch.from_numpy(np.unique(x.numpy(), axis=0, return_index=True)[1]), x
    first = x.sort().values
    x = kept[first]
    x = torch.nan_to_num(x)
    deviation = x.std(0, correction=0)
    return (x - x.mean(0)) / torch.where(deviation > 0, deviation, torch.ones(())), y[first]


def _neighbours(x: Tensor, count: int = 5) -> Tensor:
    distances = torch.cdist(x, x)
    distances.fill_diagonal_(float("inf"))
    return distances.topk(count, largest=False).indices


def _entropy(labels: Tensor, classes: int) -> float:
    if not len(labels):
        return 0.0
    shares = torch.bincount(labels.clamp_min(0), minlength=max(classes, 1)).double() / len(labels)
    shares = shares[shares > 0]
    return float(-(shares * shares.log()).sum())
