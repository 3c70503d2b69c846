"""``orograph connect``: a path of low loss between two networks, or through many."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from orograph.basics.errors import UsageError
from orograph.cli.output import parse
from orograph.cli.picture import draw
from orograph.cli.subject import Pictures
from orograph.train.recipe import Recipe

if TYPE_CHECKING:
    from orograph.results import Path, Result


def _default_recipe() -> Recipe:
    return Recipe(epochs=20, lr=0.015, schedule="hold-decay")


@dataclass(frozen=True, kw_only=True)
class ConnectOptions(Pictures):
    """A curve of low loss from the first network to the last, beside the straight line; or straight legs through all.

    The curve's bends are trained on the training examples; its heights are those of --split (test) and of the training
    examples, with batch norm re-estimated at every point. Bends are written as weights too.
    """

    kind: Literal["bezier", "polychain", "straight"] = "bezier"
    """The family of the curve; straight draws legs from network to network and trains nothing."""
    bends: int = 1
    """Free points of the curve (between two neighbours, where it passes through more than two networks)."""
    align: Literal["no", "weights", "activations"] = "no"
    """Permute the units of the others to match the first network before they are joined."""
    train: Recipe = field(default_factory=_default_recipe)
    """How the bends are trained; about 0.3 of the networks' own lr, and one to two times their epochs."""
    points: int = 61
    """Points on the curve, and on the line (straight: on each leg)."""
    goal: float | None = None
    """Add bends until the barrier of the train loss, in nats, is no higher than this."""
    most_bends: int = 4
    """With a goal: the most bends."""
    train_examples: int | None = None
    """Measure train figures on the first so many training examples."""
    line: bool = True
    """Measure the straight line too."""


def main(words: list[str]) -> None:
    """Parse the flags, train and measure, write and print."""
    options = parse(ConnectOptions, words, "connect")
    if len(options.weights) < 2:
        raise UsageError(f"give two files with --weights, or more to pass through, not {len(options.weights)}")
    if options.executor != "local":
        raise UsageError("a path is trained and measured in this process; leave --executor out")
    from orograph.connect import path, polyline

    data = options.dataset()
    model = options.network(data)
    networks = options.networks(model)
    objective = options.objective(model, data)
    if options.kind == "straight":

        def legs(executor: Any, partial: Any, progress: Any) -> Result:
            return polyline(
                objective,
                networks,
                train=data.train if options.train_examples is None else data.train.head(options.train_examples),
                points=options.points,
                names=options.names(),
                partial=partial,
                progress=progress,
            )

        draw(options, "connect", (len(networks) - 1) * (options.points - 1) + 1, objective, legs)
        return
    kind = options.kind

    def curve(executor: Any, partial: Any, progress: Any) -> Result:
        def tell(what: str, done: int, total: int) -> None:
            if what == "training" and done <= 1:
                progress(0, 100)
            progress(*_overall(what, done, total))

        return path(
            objective,
            networks[0],
            networks[-1],
            through=networks[1:-1],
            train=data.train,
            kind=kind,
            bends=options.bends,
            align=False if options.align == "no" else options.align,
            recipe=options.train,
            points=options.points,
            goal=options.goal,
            most_bends=options.most_bends,
            train_examples=options.train_examples,
            line=options.line,
            names=options.names(),
            seed=options.seed,
            partial=partial,
            progress=tell,
        )

    def bends(result: Any) -> dict[str, str]:
        found: Path = result
        stem = options.stem("connect")
        files = {}
        for number, place in enumerate(found.curve.free, start=1):
            name = stem.with_name(f"{stem.name}-bend{number}.safetensors")
            files[f"bend {number}"] = str(found.curve.points[place].save(name))
        return files

    trained = round(3 * options.train.epochs * len(data.train) / max(len(objective.split), 1))
    draw(options, "connect", trained + (2 if options.line else 1) * options.points, objective, curve, bends)


def _overall(what: str, done: int, total: int) -> tuple[int, int]:
    """A phase's progress as per cent of the whole."""
    start, share = {"training": (0, 60), "curve": (60, 25), "line": (85, 10)}.get(what, (95, 5))
    return start + round(share * done / max(total, 1)), 100
