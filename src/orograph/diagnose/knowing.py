"""What the inputs of a data set know of its targets, before any network is asked: by neighbours, lines and counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from orograph.diagnose.batches import pairs_of
from orograph.diagnose.task import Task
from orograph.objective.criterion import IGNORED

_FEW_PLACES = 4  # of whole numbers: names of things, of which the neighbours mean nothing


class Known(NamedTuple):
    """What neighbours in the inputs know of each other's targets; NaN where that cannot be said.

    ``signal``: their accuracy over the share of the most frequent class; for numbers 1 and the share of the variance
    that they explain. ``surprise``: the correlation between guess and truth in standard deviations of chance, of
    neighbours' guesses or of a linear fit's, which tells a weak signal from none.
    """

    signal: float = math.nan
    surprise: float = math.nan


def known(batches: Sequence[Any], task: Task, limit: int = 1500) -> Known:
    """Five nearest neighbours, left one out, of up to ``limit`` examples as the loader yields them."""
    if task.kind == "classes" and (pairs := _tokens(batches)) is not None:
        return _known_of_tokens(*pairs)
    if task.kind == "classes":
        batches = _patches(batches) or batches
    x, y = _rows(batches, limit)
    if x is None or y is None or len(x) < 50 or task.kind == "other":
        return Known()
    if task.kind == "binary" and y.numel() == len(y):
        y = y.reshape(-1).long()
    if task.kind == "numbers":
        near = _neighbours(x)
        y = y.reshape(len(y), -1).float()
        y = y.argsort(0).argsort(0).float()  # ranks, as one wild target would be all of the variance
        guess = y[near].mean(1)
        total = float((y - y.mean(0)).square().sum())
        signal = 2 - float((guess - y).square().sum()) / total if total > 0 else math.nan
        return Known(signal, _larger(_surprise(guess, y), _by_line(x, y)))
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
    marks = torch.nn.functional.one_hot(y.long(), classes).float()
    return Known(right / most, _larger(_surprise(votes, marks), _by_line(x, marks)))


def _known_of_tokens(x: Tensor, y: Tensor) -> Known:
    """What a token knows of the target at its place, or of its neighbours': the best of the three."""
    shifts = ((slice(None), slice(None)), (slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1)))
    found = [_of_tokens(x[:, own], y[:, other]) for own, other in shifts]
    return max(found, key=lambda one: one.surprise if math.isfinite(one.surprise) else -math.inf)


def _of_tokens(x: Tensor, y: Tensor) -> Known:
    """By the shares of targets that a token had in the other half of the sequences, which count as one each."""
    if x.numel() < 200 or len(x) < 20:
        return Known()
    half = len(x) // 2
    (seen, answers), (asked, truth) = ((a[a_y != IGNORED], a_y[a_y != IGNORED]) for a, a_y in
                                       ((x[:half], y[:half]), (x[half:], y[half:])))  # fmt: skip
    if not len(seen) or not len(truth):
        return Known()
    kinds = (int(x.max()) + 1, max(int(y.max()) + 1, 1))
    table = torch.zeros(kinds).index_put_((seen, answers), torch.ones(len(seen)), accumulate=True)
    votes = table[asked]
    right = float((votes.argmax(1) == truth).float().mean())
    most = float(torch.bincount(truth).max()) / len(truth)
    expected = votes / votes.sum(1, keepdim=True).clamp_min(1)
    whole = _surprise(expected, torch.nn.functional.one_hot(truth, kinds[1]).float())
    return Known(right / most, whole * math.sqrt((len(x) - half) / len(truth)))


def _patches(batches: Sequence[Any]) -> list[tuple[Tensor, Tensor]] | None:
    """For pictures with a label at each pixel: the neighbourhoods of some pixels, and these pixels' labels."""
    pairs = pairs_of(batches[:16])
    if pairs is None or any(x.dim() != 4 or y.dim() != 3 or y.shape[1:] != x.shape[2:] for x, y in pairs):
        return None
    found, random = [], torch.Generator().manual_seed(0)
    for x, y in pairs:
        patches = torch.nn.functional.unfold(x.float().cpu(), 3, padding=1).transpose(1, 2).flatten(0, 1)
        rows = torch.randint(len(patches), (100,), generator=random)
        found.append((patches[rows], y.cpu().flatten()[rows]))
    return found


def _tokens(batches: Sequence[Any]) -> tuple[Tensor, Tensor] | None:
    """Tokens and the targets at their places, (n, length) both; None where targets are no such, or of many kinds."""
    pairs = pairs_of(batches)
    if pairs is None or any(
        x.is_floating_point()
        or y.is_floating_point()
        or x.dim() != 2
        or x.shape[1:] != pairs[0][0].shape[1:]
        or x.shape != y.shape
        for x, y in pairs
    ):
        return None
    x, y = (torch.cat(column).cpu().long() for column in zip(*pairs, strict=True))
    first = torch.from_numpy(np.unique(x.numpy(), axis=0, return_index=True)[1]).sort().values  # each once
    x, y = x[first], y[first]
    return (x, y) if int(x.min()) >= 0 and max(int(x.max()), int(y.max())) < 5000 else None


def _surprise(guess: Tensor, truth: Tensor) -> float:
    """The correlation of all entries, each column about its mean, times the root of the number of examples."""
    a, b = guess - guess.mean(0), truth - truth.mean(0)
    scale = float(a.norm() * b.norm())
    return float((a * b).sum()) / scale * math.sqrt(len(guess)) if scale > 0 else math.nan


def _by_line(x: Tensor, truth: Tensor) -> float:
    """:func:`_surprise` of linear (ridge) guesses, each half of the examples by the other; weak signals in many noisy
    columns are seen by it and not by neighbours."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    alike = x.double() @ x.double().T / x.shape[1]
    guess = torch.zeros_like(truth, dtype=torch.float64)
    half = len(x) // 2
    for seen, asked in ((order[:half], order[half:]), (order[half:], order[:half])):
        answers = truth[seen].double()
        fitted = torch.linalg.solve(alike[seen][:, seen] + torch.eye(len(seen)), answers - answers.mean(0))
        guess[asked] = alike[asked][:, seen] @ fitted
    return _surprise(guess, truth.double())


def _larger(one: float, other: float) -> float:
    return other if math.isnan(one) else max(one, other)


def _rows(batches: Sequence[Any], limit: int) -> tuple[Tensor | None, Tensor | None]:
    """Inputs as rows of standardised numbers and the targets, of up to ``limit`` distinct examples, on the CPU."""
    xs, ys, count = [], [], 0
    for inputs, targets in pairs_of(batches) or []:
        inputs = inputs.detach()
        rows = inputs.reshape(len(inputs), -1)
        if not inputs.is_floating_point():
            if inputs.dim() != 2 or inputs.shape[1] < _FEW_PLACES or int(inputs.max()) > 5000:
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
    if not xs:
        return None, None
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
