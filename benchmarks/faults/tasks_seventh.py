"""Tasks of the seventh part: a table, a segmentation, glyphs, sensors, padded sets, spectra, graphs and ratings."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from .case import Task
from .tasks import standardised


def held_apart(inputs: Tensor, targets: Tensor, classes: int, natural: tuple[float, float]) -> Task:
    """The last fifth becomes the held-out half; inputs stay as they are, for they hold flags, edges or names."""
    held = len(inputs) // 5
    floor = float(targets[-held:].bincount().max()) / held if classes else 0.0
    metric = "accuracy" if classes else "r2"
    return Task(inputs[:-held], targets[:-held], inputs[-held:], targets[-held:], metric, floor, classes, natural)


@cache
def loans(examples: int = 2400) -> Task:
    """A table of six numbers and three one-hot categories; whether a loan is repaid depends on how they interact."""
    draw = torch.Generator().manual_seed(701)
    numbers = torch.randn(examples, 6, generator=draw)
    kinds = [torch.randint(0, count, (examples,), generator=draw) for count in (4, 5, 6)]
    slope = torch.tensor([2.0, -2.0, 0.5, 1.2])[kinds[0]]
    offset = torch.tensor([1.0, -1.0, 0.3, -0.4, 0.0])[kinds[1]]
    margin = slope * numbers[:, 0] + offset + numbers[:, 1].abs() - 0.8 + 0.7 * numbers[:, 2]
    labels = (margin + 0.1 * torch.randn(examples, generator=draw) > 0).float()
    columns = [F.one_hot(kind, count).float() for kind, count in zip(kinds, (4, 5, 6), strict=True)]
    return standardised(torch.cat([numbers, *columns], 1), labels[:, None], examples // 5, "binary", 2, (60.0, 35.0))


@cache
def cells(examples: int = 900, side: int = 12) -> Task:
    """Two channels of noisy images; each pixel belongs to the ground, to a disc or to a bar, which overlap."""
    draw = torch.Generator().manual_seed(702)
    grid = torch.arange(side).float()
    row, column = grid[:, None].expand(side, side), grid[None].expand(side, side)
    centre = 2.5 + (side - 6) * torch.rand(examples, 2, 1, 1, generator=draw)
    radius = 2.2 + 1.6 * torch.rand(examples, 1, 1, generator=draw)
    disc = (row - centre[:, 0]).square() + (column - centre[:, 1]).square() < radius.square()
    start = torch.randint(0, side - 3, (examples, 1, 1), generator=draw)
    upright = torch.rand(examples, 1, 1, generator=draw) < 0.5
    along = torch.where(upright, column, row)
    bar = (along >= start) & (along < start + 3)
    labels = torch.zeros(examples, side, side, dtype=torch.long)
    labels[bar] = 2
    labels[disc] = 1
    bright = torch.stack([(labels > 0).float(), (labels == 1).float() * 0.6 + (labels == 2).float() * 0.3], 1)
    images = bright + 0.35 * torch.randn(bright.shape, generator=draw)
    return standardised(images, labels, examples // 5, "accuracy", 3, (90.0, 45.0))


@cache
def runes(examples: int = 1800, side: int = 10) -> Task:
    """Six kinds of strokes (two bars, two diagonals, a cross and a ring) at any place on a noisy sheet."""
    draw = torch.Generator().manual_seed(703)
    line, flat = torch.eye(5), torch.zeros(5, 5)
    flat[2] = 1.0
    ring = torch.ones(5, 5)
    ring[1:4, 1:4] = 0.0
    kinds = torch.stack([flat, flat.T, line, line.flip(1), (flat + flat.T).clamp(max=1), ring])
    labels = torch.randint(0, len(kinds), (examples,), generator=draw)
    places = torch.randint(0, side - 4, (examples, 2), generator=draw)
    sheets = 0.3 * torch.randn(examples, 1, side, side, generator=draw)
    for sheet, label, (top, left) in zip(sheets, labels, places.tolist(), strict=True):
        sheet[0, top : top + 5, left : left + 5] += kinds[label]
    return standardised(sheets, labels, examples // 5, "accuracy", len(kinds), (30.0, 70.0))


@cache
def tanks(examples: int = 1600, length: int = 14) -> Task:
    """Three sensors over time; the target is the level of a leaking tank that one fills while another is positive."""
    draw = torch.Generator().manual_seed(704)
    series = torch.randn(examples, length, 3, generator=draw)
    level = torch.zeros(examples)
    for moment in range(length):
        flow = series[:, moment, 0] * (0.5 + (series[:, moment, 1] > 0).float())
        level = 0.8 * level + flow
    level = level + 0.7 * series[:, -1, 2] + 0.05 * torch.randn(examples, generator=draw)
    level = (level - level.mean()) / level.std()
    return standardised(series, level[:, None], examples // 5, "r2", 0, (20.0, 12.0))


@cache
def swarms(examples: int = 1800, most: int = 12) -> Task:
    """Padded sets of points in the plane with a flag (1 or -1 for padding); the class is how they are laid out."""
    draw = torch.Generator().manual_seed(705)
    labels = torch.randint(0, 4, (examples,), generator=draw)
    turn = 6.2832 * torch.rand(examples, most, generator=draw)
    side = torch.randint(0, 2, (examples, most), generator=draw) * 2.0 - 1
    spread = torch.randn(examples, most, 2, generator=draw)
    layouts = torch.stack(
        [
            torch.stack([turn.cos(), turn.sin()], 2),
            torch.stack([1.7 * spread[..., 0].clamp(-1, 1), 0 * turn], 2),
            torch.stack([side, 0.2 * spread[..., 0]], 2),
            0.7 * spread,
        ]
    )
    points = layouts[labels, torch.arange(examples)]
    angle = 6.2832 * torch.rand(examples, 1, generator=draw)
    x, y = points[..., 0], points[..., 1]
    points = torch.stack([angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y], 2)
    points = points + 0.08 * torch.randn(points.shape, generator=draw)
    size = torch.randint(8, most, (examples, 1), generator=draw)
    flag = 2.0 * (torch.arange(most) < size) - 1
    points = points * (flag > 0)[..., None]
    return held_apart(torch.cat([points, flag[..., None]], 2), labels, 4, (0.0, 40.0))


@cache
def spectra(examples: int = 1600, length: int = 40) -> Task:
    """Spectra of two peaks of random place, height and width, as their own targets."""
    draw = torch.Generator().manual_seed(706)
    axis = torch.linspace(0, 1, length)
    curves = 0.03 * torch.randn(examples, length, generator=draw)
    for low in (0.05, 0.55):
        place = low + 0.4 * torch.rand(examples, 1, generator=draw)
        width = 0.06 + 0.05 * torch.rand(examples, 1, generator=draw)
        height = 0.5 + torch.rand(examples, 1, generator=draw)
        curves = curves + height / (1 + ((axis - place) / width).square())
    task = standardised(curves, curves, examples // 5, "r2", 0, (300.0, 160.0))
    return Task(task.inputs, task.inputs, task.test_inputs, task.test_inputs, "r2", 0.0, natural=task.natural)


@cache
def molecules(examples: int = 1600, nodes: int = 10) -> Task:
    """Graphs as rows of an adjacency matrix beside two features of each node; five kinds of graphs, some edges lost."""
    draw = torch.Generator().manual_seed(707)
    step = torch.arange(nodes)
    ring = torch.zeros(nodes, nodes)
    ring[step, (step + 1) % nodes] = 1.0
    path, star, wheel = ring.clone(), torch.zeros(nodes, nodes), ring.clone()
    path[-1, 0] = 0.0
    star[0, 1:] = 1.0
    wheel[0, 1:] = 1.0
    groups = torch.block_diag(torch.ones(5, 5), torch.ones(5, 5))
    kinds = torch.stack([((graph + graph.T) > 0).float() for graph in (ring, path, star, wheel, groups)])
    labels = torch.randint(0, len(kinds), (examples,), generator=draw)
    graphs = torch.empty(examples, nodes, nodes + 2)
    for row in range(examples):
        order = torch.randperm(nodes, generator=draw)
        lost = (torch.rand(nodes, nodes, generator=draw) < 0.015).triu()
        graphs[row, :, :nodes] = kinds[labels[row]][order][:, order] * ~(lost | lost.T) * (1 - torch.eye(nodes))
    graphs[..., nodes] = 1.0
    graphs[..., nodes + 1] = torch.randn(examples, nodes, generator=draw)
    return held_apart(graphs, labels, len(kinds), (0.0, 30.0))


@cache
def ratings(examples: int = 3600, people: int = 40, films: int = 30) -> Task:
    """Who rates which film how: two names, and a product of two hidden tastes with noise as the target."""
    draw = torch.Generator().manual_seed(708)
    tastes, traits = torch.randn(people, 2, generator=draw), torch.randn(films, 2, generator=draw)
    mild, good = torch.randn(people, generator=draw), torch.randn(films, generator=draw)
    who = torch.randint(0, people, (examples,), generator=draw)
    what = torch.randint(0, films, (examples,), generator=draw)
    stars = (tastes[who] * traits[what]).sum(1) + mild[who] + good[what]
    stars = stars + 0.2 * torch.randn(examples, generator=draw)
    stars = (stars - stars.mean()) / stars.std()
    return held_apart(torch.stack([who, what], 1), stars[:, None], 0, (0.0, 1.0))
