"""``orograph align``: permute the hidden units of one network so that they match another's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from orograph.basics.errors import UsageError
from orograph.cli.output import parse
from orograph.cli.picture import draw
from orograph.cli.subject import Pictures

if TYPE_CHECKING:
    from orograph.results import Result


@dataclass(frozen=True, kw_only=True)
class AlignOptions(Pictures):
    """The second network with its hidden units in the first one's order: the same function, nearer by.

    The groups of units are found by overhearing a pass and proved on the network itself. The aligned weights are
    written beside the pictures.
    """

    method: Literal["weights", "activations"] = "weights"
    """Match units by their weights, or by what they do on training examples."""
    attempts: int = 1
    """By weights: how often the search begins, of which the best is kept."""
    matching_examples: int = 1024
    """By activations: training examples to match on."""
    barriers: bool = True
    """Measure the barrier of the straight line before and after."""


def main(words: list[str]) -> None:
    """Parse the flags, align, write and print."""
    options = parse(AlignOptions, words, "align")
    if len(options.weights) != 2:
        raise UsageError(
            f"give two files with --weights, the second to be aligned to the first, not {len(options.weights)}"
        )
    if options.executor != "local":
        raise UsageError("networks are aligned in this process; leave --executor out")
    from orograph.connect import align

    data = options.dataset()
    model = options.network(data)
    a, b = options.networks(model)
    objective = options.objective(model, data)

    def measure(executor: Any, partial: Any, progress: Any) -> Result:
        return align(
            model,
            a,
            b,
            example=data.train,
            method=options.method,
            attempts=options.attempts,
            examples=options.matching_examples,
            objective=objective if options.barriers else None,
            names=options.names(),
            seed=options.seed,
        )

    def weights(result: Any) -> dict[str, str]:
        stem = options.stem("align")
        return {"weights": str(result.weights.save(stem.with_name(f"{stem.name}.safetensors")))}

    draw(options, "align", 100 if options.barriers else 0, objective, measure, weights)
