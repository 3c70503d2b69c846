"""What the inputs of a data set know of its targets, how mixed batches are, and how often examples come again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from orograph.data.structure import leaves
from orograph.diagnose.losses import parts_of
from orograph.diagnose.task import Task, labels_of_batches
from orograph.objective.criterion import IGNORED


class Known(NamedTuple):
    """What neighbours in the inputs know of each other's targets; NaN where that cannot be said.

    ``signal``: their accuracy over the share of the most frequent class; for numbers 1 and the share of the variance
    that they explain. ``surprise``: the correlation between guess and truth in standard deviations of chance, which
    tells a weak signal from none.
    """

    signal: float = math.nan
    surprise: float = math.nan


def repetitions(batches: Sequence[Any]) -> tuple[int, int]:
    """How many examples some batches hold, and how many of them differ, by a random projection; 0, 0 where unknown."""
    random = torch.Generator().manual_seed(0)
    marks: set[tuple[float, ...]] = set()
    seen = 0
    for batch in batches:
        leaf = next((x for _, x in leaves(parts_of(batch)[0]) if isinstance(x, Tensor) and x.dim()), None)
        if leaf is None:
            return 0, 0
        flat = leaf.detach().reshape(len(leaf), -1).double().cpu()
        random.manual_seed(0)
        weights = torch.rand(flat.shape[1], 2, dtype=torch.float64, generator=random)
        marks.update(map(tuple, torch.nan_to_num(flat @ weights).tolist()))
        seen += len(leaf)
    return seen, len(marks)


def ignored(batches: Sequence[Any]) -> float:
    """The share of integer targets that carry the index which cross-entropy leaves out."""
    found = [t.reshape(-1) for b in batches if isinstance(t := parts_of(b)[1], Tensor) and not t.is_floating_point()]
    return float((torch.cat(found) == IGNORED).float().mean()) if found else 0.0


def known(batches: Sequence[Any], task: Task, limit: int = 1500) -> Known:
    """Five nearest neighbours, left one out, of up to ``limit`` examples as the loader yields them."""
    x, y = _rows(batches, limit)
    if x is None or y is None or len(x) < 50 or task.kind == "other":
        return Known()
    if task.kind == "binary" and y.numel() == len(y):
        y = y.reshape(-1).long()
    if task.kind == "numbers":
        near = _neighbours(x)
        y = y.reshape(len(y), -1).float()
        guess = y[near].mean(1)
        total = float((y - y.mean(0)).square().sum())
        return Known(2 - float((guess - y).square().sum()) / total if total > 0 else math.nan, _surprise(guess, y))
    if y.dim() != 1:
        return Known()
    counts = y != IGNORED
    x, y = x[counts], y[counts]
    if len(x) < 50:
        return Known()
    near = _neighbours(x)
    classes = max(task.classes, int(y.max()) + 1)
    votes = torch.zeros(len(x), classes).scatter_add_(1, y[near].long(), torch.ones(near.shape))
    right = float((votes.argmax(1) == y).float().mean())
    most = float(torch.bincount(y.long()).max()) / len(y)
    return Known(right / most, _surprise(votes, torch.nn.functional.one_hot(y.long(), classes).float()))


def _surprise(guess: Tensor, truth: Tensor) -> float:
    """The correlation of all entries, each column about its mean, times the root of the number of examples."""
    a, b = guess - guess.mean(0), truth - truth.mean(0)
    scale = float(a.norm() * b.norm())
    return float((a * b).sum()) / scale * math.sqrt(len(guess)) if scale > 0 else math.nan


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


def _rows(batches: Sequence[Any], limit: int) -> tuple[Tensor | None, Tensor | None]:
    """Inputs as rows of standardised numbers and the targets, of up to ``limit`` distinct examples, on the CPU."""
    xs, ys, count = [], [], 0
    for batch in batches:
        inputs, targets = parts_of(batch)
        inputs = inputs.detach() if isinstance(inputs, Tensor) else inputs
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
