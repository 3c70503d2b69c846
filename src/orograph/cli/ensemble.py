"""``orograph ensemble``: what several networks are worth together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from orograph.basics.errors import UsageError
from orograph.cli.output import parse
from orograph.cli.picture import draw
from orograph.cli.subject import Pictures

if TYPE_CHECKING:
    from orograph.data import Data
    from orograph.results import Evaluation, Result
    from orograph.weights import Weights


@dataclass(frozen=True, kw_only=True)
class EnsembleOptions(Pictures):
    """Error, NLL, calibration and diversity of several networks together, by averaged probabilities and more.

    With --soup the weights are averaged too, and written as one network; with --save the ensemble is written as one.
    """

    soup: Literal["no", "uniform", "greedy"] = "no"
    """Average the weights as well: of all networks, or greedily by the last fifth of the training examples (which the
    networks may know)."""
    save: Path | None = None
    """Folder to write the ensemble to as one network, temperature included; og.ensemble.load opens it."""


def main(words: list[str]) -> None:
    """Parse the flags, ask the networks, write and print."""
    options = parse(EnsembleOptions, words, "ensemble")
    if not options.weights:
        raise UsageError("give the networks with --weights, one file each")
    if options.executor != "local":
        raise UsageError("networks are asked in this process; leave --executor out")
    unused = {"loss": "cross_entropy", "batchnorm": None, "tolerance": 0.0, "cap": None}
    for name, default in unused.items():
        if getattr(options, name) != default:
            raise UsageError(f"networks answer every example as they would be deployed; leave --{name} out")
    from orograph.ensemble.asking import evaluate
    from orograph.ensemble.averaging import soup
    from orograph.results import Evaluation

    if options.save is not None and options.save.exists() and (options.save.is_file() or any(options.save.iterdir())):
        raise UsageError(f"{options.save} holds something already; choose another folder for --save")
    data = options.dataset()
    model = options.network(data)
    networks = options.networks(model)
    objective = options.objective(model, data)
    mixed: dict[str, Any] = {}

    def measure(executor: Any, partial: Any, progress: Any) -> Result:
        chosen = {"calibration": data.train, "precision": options.precision, "device": options.device}
        found = evaluate(
            model,
            networks,
            objective.split,
            names=options.names(),
            part=options.split,
            name=options.model or "",
            source=options.data or "",
            seed=options.seed,
            **chosen,
        )
        if options.soup != "no":
            validation = None
            if options.soup == "greedy":
                held = range(len(data.train) - len(data.train) // 5, len(data.train))
                validation = objective.over(data.train.take(held), part="validation")
            average, taken, _ = soup(networks, validation=validation)
            worth = objective(average)
            names = [options.names()[i] for i in taken]
            mixed.update(weights=average, of=names, loss=worth.loss, error=worth.error)
        return found

    def written(result: Any) -> dict[str, str]:
        assert isinstance(result, Evaluation)
        files = {} if options.save is None else {"ensemble": str(_saved(options, options.save, networks, data, result))}
        if mixed:
            stem = options.stem("ensemble")
            files["soup"] = str(mixed["weights"].save(stem.with_name(f"{stem.name}-soup.safetensors")))
        return files

    def more() -> dict[str, Any]:
        return {f"soup_{name}": value for name, value in mixed.items() if name != "weights"}

    draw(options, "ensemble", len(networks), objective, measure, written, more)
    if options.save is not None and not options.json:
        print(f"{options.save} divides logits by the temperature, which was fitted on the {options.split} examples")
    if mixed and not options.json:
        error = "" if mixed["error"] is None else f", error {mixed['error']:.4g}"
        print(f"soup of {', '.join(mixed['of'])}: loss {mixed['loss']:.4g}{error}")


def _saved(options: EnsembleOptions, folder: Path, networks: list[Weights], data: Data, found: Evaluation) -> Path:
    """The ensemble as one folder; of a temperature at its bound nothing is known but its side, so it is left out."""
    from orograph.ensemble import Architecture, Ensemble, save
    from orograph.studies.subject import model_options

    best = found.temperature_before
    tau = 1.0 if best.at_bound else best.tau
    chosen = Architecture.of(str(options.model), data, **model_options(options.model_options))
    return save(Ensemble(chosen, networks, temperature=tau, names=options.names(), data=data), folder)
