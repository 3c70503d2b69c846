"""``orograph plane``: the loss on the plane through three networks, or around one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from orograph.basics.errors import UsageError
from orograph.cli.output import parse
from orograph.cli.picture import draw
from orograph.cli.subject import Pictures


@dataclass(frozen=True, kw_only=True)
class PlaneOptions(Pictures):
    """Loss and accuracy on a plane: through three networks, or around one along two random directions."""

    frame: Literal["oblique", "orthonormal"] | None = None
    """Through three networks: A, B, C at (0,0), (1,0), (0,1) (oblique, the default), or true angles and lengths."""
    u: tuple[float, float] | None = None
    """Through three networks: range of the first axis; default -0.5 1.5, or the triangle with a margin."""
    v: tuple[float, float] | None = None
    """Through three networks: range of the second axis."""
    resolution: int = 41
    """Points along each axis; rounded up until the given networks lie on the lattice."""
    normalization: Literal["filter", "layer", "tensor", "none"] | None = None
    """Around one network: how the random directions are scaled; default filter."""
    span: float | None = None
    """Around one network: the axes run from -span to span; default 1."""


def main(words: list[str]) -> None:
    """Parse the flags, measure, write and print."""
    options = parse(PlaneOptions, words, "plane")
    if len(options.weights) not in (1, 3):
        raise UsageError(f"give one or three files with --weights, not {len(options.weights)}")
    three = len(options.weights) == 3
    foreign = ("normalization", "span") if three else ("frame", "u", "v")
    for name in foreign:
        if getattr(options, name) is not None:
            there = "one network" if three else "three networks"
            raise UsageError(f"--{name} belongs to a plane with {there}, not with {'three' if three else 'one'}")
    from orograph.landscape import neighbourhood, plane

    data = options.dataset()
    model = options.network(data)
    networks = options.networks(model)
    objective = options.objective(model, data)
    if len(networks) == 3:
        a, b, c = networks
        measure = partial(
            plane,
            objective,
            a,
            b,
            c,
            frame=options.frame or "oblique",
            u=options.u,
            v=options.v,
            resolution=options.resolution,
            names=options.names(),
        )
    else:
        measure = partial(
            neighbourhood,
            objective,
            networks[0],
            normalization=options.normalization,
            span=1.0 if options.span is None else options.span,
            resolution=options.resolution,
            name=options.names()[0],
            seed=options.seed,
        )
    draw(options, "plane", options.resolution**2, objective, measure)
