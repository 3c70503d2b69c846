"""``orograph init``: give a network a better start, and say what that changes before any training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from orograph.basics.errors import UsageError
from orograph.cli.checks import above_zero, at_least
from orograph.cli.output import parse, progress_line, tell, write_pictures
from orograph.cli.stdout import deliver
from orograph.cli.subject import Networks

if TYPE_CHECKING:
    from torch import nn

    from orograph.data import Data
    from orograph.results import Result

_LEARNED = ("gradinit", "metainit", "metainit-gradinit")


@dataclass(frozen=True, kw_only=True)
class InitOptions(Networks):
    """Initialise a network and write its weights: by a scheme (he-normal, ends-glorot(0.01), fixup …), by lsuv, or by
    learning scales for the tensors (gradinit, metainit).

    Whether a start pays is seen by training from it: orograph run gradinit --model … compares starts at equal cost.
    """

    out: Path | None = None
    """Name of the files to write (.safetensors, .npz, and .png and .html where there is something to draw); default:
    init and the weights' or the method's name."""
    method: str = "gradinit"
    """gradinit, metainit, metainit-gradinit, lsuv or the name of a scheme."""
    start: str | None = None
    """A scheme to draw first (he-normal, say); unset: the network's own start, or --weights."""
    loss: str = "cross_entropy"
    """cross_entropy, abyss, mse, or file.py:function of (outputs, targets) or (model, batch)."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """gradinit: of the training to come."""
    lr: float = 0.1
    """gradinit: learning rate of the training to come."""
    gamma: float | Literal["auto"] = "auto"
    """gradinit: longest gradient allowed; auto: lr gamma^2 = 0.1 for sgd, lr gamma = 0.1 for adam."""
    scale_lr: float | None = None
    """Learning rate of the scales; unset: the method's own."""
    iterations: int | None = None
    """Steps of the learned methods; unset: one pass over the training data (metainit: 500)."""
    batch_size: int = 128
    """Examples in a batch; at most half of the training data."""
    variance: int = 20
    """Batches for the variance of gradients before and after; 0 leaves it out."""
    seed: int = 0
    """Seed of the network, of what is drawn and of the order of examples."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    threads: int | None = None
    """Threads; unset: every processor."""
    dry_run: bool = False
    """Find out, and write no weights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variance == 1 or self.variance < 0:
            raise UsageError(f"a variance needs 2 batches or more (0: none), not {self.variance}")
        at_least(1, self, "iterations", "threads")
        at_least(2, self, "batch_size")
        above_zero(self, "lr", "gamma", "scale_lr")


def main(words: list[str]) -> None:
    """Parse the flags, initialise, write and print."""
    options = parse(InitOptions, words, "init")
    if len(options.weights) > 1:
        raise UsageError("init starts from one network; give one file with --weights, or none")
    if options.weights and options.start:
        raise UsageError("--start draws the weights anew, so --weights would have no effect; give one of them")
    from orograph.basics.numerics import resolve_device
    from orograph.execute.executors import fixed_threads
    from orograph.weights import Weights

    data = options.dataset(single=True)
    options = _fitted(options, data)
    model = _network(options, data)
    model.to(resolve_device(options.device))
    with fixed_threads(options.threads):
        before = _variance(options, model, data)
        result = _initialised(options, model, data)
        after = _variance(options, model, data) if not (options.dry_run and options.method in _LEARNED) else None
    stem = options.stem("init") if options.weights else (options.out or Path(f"init-{options.method.split('(')[0]}"))
    files: dict[str, str] = {}
    if not options.dry_run:
        weights = Weights.of(model).to("cpu")
        files["weights"] = str(weights.save(stem.with_name(f"{stem.name}.safetensors")))
        files |= _pictures(result, stem, before, after)
    if options.json:
        variances = {"before": before, "after": after}
        deliver(
            {
                **result.to_dict(),
                "gradient_variance": {n: None if v is None else v.to_dict() for n, v in variances.items()},
                **files,
            }
        )
        return
    print(result.summary())
    for name, variance in (("before", before), ("after", after)):
        if variance is not None:
            print(f"{name}: {variance.summary()}")
    if files:
        tell("wrote " + ", ".join(files.values()), quiet=options.quiet)


def _fitted(options: InitOptions, data: Data) -> InitOptions:
    """With batches that can differ: two of them at least fit into the training data."""
    ready = len(list(data.train.batches(1))) if data.train.kind == "batches" else None
    if options.variance and (len(data.train) < 4 if ready is None else ready < 2):
        what = f"{len(data.train)} examples" if ready is None else "one batch"
        raise UsageError(f"{what} of training data cannot tell how gradients differ from batch to batch; --variance 0")
    most = max(len(data.train) // 2, 2)
    if ready is not None:  # none of them twice
        return replace(options, variance=min(options.variance, ready))
    if options.batch_size <= most:
        return options
    tell(f"note: batches of {most:,}, as there are {len(data.train):,} training examples", quiet=options.quiet)
    return replace(options, batch_size=most)


def _network(options: InitOptions, data: Data) -> nn.Module:
    """The network at its start."""
    from orograph.initialize import apply
    from orograph.models import build
    from orograph.studies.subject import model_options

    if options.model is None:
        raise UsageError("give the network with --model: a name, package.module:factory or file.py:factory")
    model = build(options.model, data, seed=options.seed, **model_options(options.model_options))
    for weights in options.networks(model):
        weights.put_into(model)
    if options.start is not None:
        apply(model, options.start, seed=options.seed, example=_example(model, data))
    return model


def _initialised(options: InitOptions, model: nn.Module, data: Data) -> Result:
    from orograph.initialize import apply, gradinit, lsuv, metainit

    if options.method not in _LEARNED:
        unused = {"start": None, "scale_lr": None, "iterations": None, "gamma": "auto"}
        for name, default in unused.items():
            if getattr(options, name) != default:
                raise UsageError(f"{options.method} draws weights and learns nothing; leave --{name} out")
        if options.dry_run:
            raise UsageError("--dry-run is for what is learned; a scheme costs nothing to try")
        example = _example(model, data, options.batch_size)
        if options.method == "lsuv":
            return lsuv(model, example, seed=options.seed)
        return apply(model, options.method, seed=options.seed, example=example)
    draw, end = progress_line(options.method, quiet=options.quiet)

    def progress(done: int, total: int) -> None:
        if done == 1:
            draw(0, total)  # else the first iteration would pass for one of an earlier call
        draw(done, total)

    once = max(len(data.train) // options.batch_size, 1)
    shared: dict[str, Any] = {
        "loss": _loss(options),
        "batch_size": options.batch_size,
        "seed": options.seed,
        "dry_run": options.dry_run,
        "measure": 6,
        "progress": progress,
    }
    try:
        if options.method == "gradinit":
            return gradinit(
                model,
                data,
                optimizer=options.optimizer,
                lr=options.lr,
                gamma=options.gamma,
                iterations=once if options.iterations is None else options.iterations,
                scale_lr=1e-2 if options.scale_lr is None else options.scale_lr,
                **shared,
            )
        variant: Literal["paper", "gradinit"] = "paper" if options.method == "metainit" else "gradinit"
        return metainit(model, data, variant=variant, iterations=options.iterations, lr=options.scale_lr, **shared)
    finally:
        end()


def _loss(options: InitOptions) -> Any:
    from orograph.basics.references import is_reference, load_reference

    return load_reference(options.loss) if is_reference(options.loss) else options.loss


def _example(model: nn.Module, data: Data, count: int = 8) -> Any:
    """Inputs of some training examples, where the network is."""
    from orograph.objective.example import inputs_of

    first = next(model.parameters())
    return inputs_of(data.train, count, first.device, first.dtype)


def _variance(options: InitOptions, model: nn.Module, data: Data) -> Any:
    if not options.variance:
        return None
    from orograph.initialize import gradient_variance
    from orograph.initialize.chunks import Chunks

    chunks = Chunks(data.train, options.batch_size, model, seed=options.seed)
    batches = [chunks() for _ in range(options.variance)]
    return gradient_variance(model, batches, loss=_loss(options), seed=options.seed)


def _pictures(result: Result, stem: Path, before: Any, after: Any) -> dict[str, str]:
    """Numbers of the result, and a page where there is something to draw."""
    from orograph.results import GradientVariance, LearnedScales

    files: dict[str, str] = {}
    if isinstance(result, LearnedScales):
        files |= write_pictures(result, stem)
    else:
        files["result"] = str(result.save(stem.with_name(f"{stem.name}.npz")))
    if before is not None and after is not None:
        compared = GradientVariance.compared({"before": before, "after": after})
        written = write_pictures(compared, stem.with_name(f"{stem.name}-variance"))
        files |= {f"variance_{kind}": path for kind, path in written.items()}
    return files
