"""``orograph line``: the loss between two networks, or along a random direction from one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from orograph.basics.errors import UsageError
from orograph.cli.output import parse
from orograph.cli.picture import draw
from orograph.cli.subject import Pictures


@dataclass(frozen=True, kw_only=True)
class LineOptions(Pictures):
    """Loss and accuracy along a straight line: through two networks with the barrier between them, or from one."""

    span: tuple[float, float] | None = None
    """Range of alpha; default -1 2 through two networks (0 is the first, 1 the second), -1 1 from one."""
    points: int = 61
    """Points on the line; rounded up until both networks lie on it."""
    normalization: Literal["filter", "layer", "tensor", "none"] | None = None
    """From one network: how the random direction is scaled; default filter."""


def main(words: list[str]) -> None:
    """Parse the flags, measure, write and print."""
    options = parse(LineOptions, words, "line")
    if len(options.weights) not in (1, 2):
        raise UsageError(f"give one or two files with --weights, not {len(options.weights)}")
    if len(options.weights) == 2 and options.normalization is not None:
        raise UsageError("--normalization belongs to a line from one network, not to one between two")
    from orograph.landscape import line
    from orograph.landscape.axes import axis

    data = options.dataset()
    model = options.network(data)
    networks = options.networks(model)
    objective = options.objective(model, data)
    two = len(networks) == 2
    span = options.span or ((-1.0, 2.0) if two else (-1.0, 1.0))
    alphas = axis(span, options.points, (0.0, 1.0) if two else (0.0,))
    measure = partial(line, objective, *networks, alphas=alphas, names=options.names(), seed=options.seed)
    if not two:
        measure = partial(measure, normalization=options.normalization)
    draw(options, "line", len(alphas), objective, measure)
