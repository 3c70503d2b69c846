"""``orograph distance``: how far apart networks are in weight space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orograph.basics.errors import UsageError
from orograph.cli.output import emit, parse, tell, write_pictures
from orograph.cli.subject import Networks


@dataclass(frozen=True, kw_only=True)
class DistanceOptions(Networks):
    """Euclidean distances between two or more networks.

    Weights that orograph saved need no --model; foreign state dicts do (and --data where the network is one of
    orograph's own, which take their sizes from the data).
    """


def main(words: list[str]) -> None:
    """Parse the flags, measure, write and print."""
    options = parse(DistanceOptions, words, "distance")
    if len(options.weights) < 2:
        raise UsageError(f"give at least two files with --weights, not {len(options.weights)}")
    from orograph.landscape import distances

    model = None
    if options.model is not None:
        model = options.network(options.dataset() if options.data is not None else None)
    found = distances(options.networks(model), names=options.names())
    files = {}
    if options.out is not None:
        files = write_pictures(found, Path(options.out))
    emit(found, as_json=options.json, extra=files)
    if files:
        tell("wrote " + ", ".join(files.values()), quiet=options.quiet or options.json)
    elif not options.json:
        width = max(map(len, found.names))
        for name, row in zip(found.names, found.matrix, strict=True):
            print(f"{name:>{width}}  " + "  ".join(f"{value:10.4f}" for value in row))
