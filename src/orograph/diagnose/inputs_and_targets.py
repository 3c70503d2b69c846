"""How examples repeat and how mixed batches are; whether a target is given away by an input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from orograph.data.structure import leaves
from orograph.diagnose.batches import pairs_of
from orograph.diagnose.losses import parts_of
from orograph.diagnose.task import Task, labels_of_batches
from orograph.diagnose.thresholds import threshold
from orograph.objective.criterion import IGNORED


def repetitions(batches: Sequence[Any], *, whole: bool = False) -> tuple[int, int, int]:
    """How many examples some batches hold, how many of them differ in any of their inputs (``whole``: in anything,
    where only the user's loss knows what are inputs), and how many in these or their targets; zeros where unknown."""
    inputs: set[tuple[float, ...]] = set()
    pairs: set[tuple[float, ...]] = set()
    seen = 0
    for batch in batches:
        parts = [x for _, x in leaves(batch if whole else parts_of(batch)[0]) if isinstance(x, Tensor) and x.dim()]
        every = [x for _, x in leaves(batch) if isinstance(x, Tensor) and x.dim()]
        if not parts or any(len(x) != len(parts[0]) for x in every):
            return 0, 0, 0
        inputs.update(_marks(parts))
        pairs.update(_marks(every))
        seen += len(parts[0])
    return seen, len(inputs), len(pairs)


def _marks(parts: Sequence[Tensor]) -> list[tuple[float, ...]]:
    """Two random projections of each example."""
    flat = torch.cat([x.detach().reshape(len(x), -1).double().cpu() for x in parts], 1)
    random = torch.Generator().manual_seed(0)
    weights = torch.rand(flat.shape[1], 2, dtype=torch.float64, generator=random)
    return list(map(tuple, torch.nan_to_num(flat @ weights).tolist()))


def ignored(batches: Sequence[Any]) -> float:
    """The share of integer targets that carry the index which cross-entropy leaves out."""
    found = [t.reshape(-1) for b in batches if isinstance(t := parts_of(b)[1], Tensor) and not t.is_floating_point()]
    return float((torch.cat(found) == IGNORED).float().mean()) if found else 0.0


def given_away(batches: Sequence[Any], task: Task) -> str:
    """Where the targets stand among the inputs, in words; empty where they do not.

    A sequence of tokens that is its own target; a column that is the target but for offset and scale.
    """
    pairs = pairs_of(batches[:16])
    if pairs is None:
        return ""
    x, y = pairs[0]
    if not x.is_floating_point() and x.dim() == 2 and x.shape == y.shape and task.form.startswith("cross-entropy"):
        counts = torch.cat([(y != IGNORED).reshape(-1) for _, y in pairs])
        same = torch.cat([(x == y).reshape(-1) for x, y in pairs])[counts]
        return (
            "each token is its own target"
            if len(same) and float(same.float().mean()) > threshold("same_tokens")
            else ""
        )
    single = task.kind in ("numbers", "classes", "binary") and y.numel() == len(y)
    if not x.is_floating_point() or not single or any(a.shape[1:] != x.shape[1:] for a, _ in pairs):
        return ""
    columns = torch.cat([a.reshape(len(a), -1) for a, _ in pairs]).double()
    if len(columns) < 50 or columns.shape[1] > 4096:
        return ""
    wanted = torch.cat([b.reshape(-1) for _, b in pairs]).double()
    columns, wanted = columns - columns.mean(0), wanted - wanted.mean()
    scale = columns.norm(dim=0) * wanted.norm()
    likeness = torch.where(scale > 0, (columns * wanted[:, None]).sum(0).abs() / scale.clamp_min(1e-300), 0.0)
    best = int(likeness.argmax())
    if not float(likeness[best]) > threshold("given_away"):
        return ""
    return f"input {best} is the target itself, but for offset and scale (correlation {float(likeness[best]):.5f})"


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


def _entropy(labels: Tensor, classes: int) -> float:
    if not len(labels):
        return 0.0
    shares = torch.bincount(labels.clamp_min(0), minlength=max(classes, 1)).double() / len(labels)
    shares = shares[shares > 0]
    return float(-(shares * shares.log()).sum())
