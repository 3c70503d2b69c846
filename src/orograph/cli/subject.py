"""The flags that every verb on the user's own network shares, and what they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from orograph.basics.errors import TaskError, UsageError, WeightsError
from orograph.cli.checks import file_stem
from orograph.cli.stdout import deliver
from orograph.train.recipe import Precision

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from torch import nn

    from orograph.data import Data
    from orograph.objective import Objective
    from orograph.weights import Weights


_SMALL = 100_000  # parameters


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Which networks."""

    weights: tuple[Path, ...] = ()
    """Files of weights: safetensors, or a state dict of torch.save."""
    model: str | None = None
    """Their network: a name, package.module:factory or file.py:factory."""
    model_options: tuple[str, ...] = ()
    """Options of the network, e.g. width=0.5 batch_norm=true."""
    data: str | None = None
    """The data: a name, a file or folder, package.module:factory or file.py:factory."""
    data_root: str | None = None
    """Where named data sets lie or are downloaded to."""
    out: Path | None = None
    """Name of the files to write (.npz, .png, .html are appended); default: the verb's and the weights' or the run's
    names (distance writes files only where it is given)."""
    json: bool = False
    """Print one JSON object on stdout."""
    quiet: bool = False
    """No progress on stderr."""

    def __post_init__(self) -> None:
        file_stem(self.out, "out")

    def network(self, data: Data | None) -> nn.Module:
        """The network, with whatever initial values; weights are put into it later."""
        from orograph.models import build
        from orograph.studies.subject import model_options

        if self.model is None:
            raise UsageError("give the network with --model: a name, package.module:factory or file.py:factory")
        return build(self.model, data, seed=0, **model_options(self.model_options))

    def dataset(self, *, single: bool = False) -> Data:
        """The data; ``single``: a training set alone will do."""
        from orograph.data import load

        if self.data is None:
            raise UsageError("give the data with --data: a name, a file or folder, or package.module:factory")
        return load(self.data, root=self.data_root, single=single)

    def networks(self, model: nn.Module | None, *, diverged: bool = False) -> list[Weights]:
        """The weights in the order of their files; ``diverged``: they need not be finite."""
        from orograph.weights import Weights

        for path in self.weights:
            if self.weights.count(path) > 1:
                raise UsageError(f"{path} is given twice with --weights; give each network once")
        found = [Weights.load(path, model) for path in self.weights]
        for path, weights in zip(self.weights, found, strict=True):
            if not (diverged or weights.is_finite()):
                raise WeightsError(
                    f"{path} holds NaN or infinite weights: that training diverged, so there is nothing to go on from"
                )
        return found

    def stem(self, verb: str) -> Path:
        """The name of the files to write: as asked for, else one that other networks' pictures do not share."""
        chosen = [path.stem for path in self.weights[:3]]
        return self.out or Path("-".join([verb, *chosen]))

    def names(self) -> list[str]:
        """Names of the networks: as much of their files' paths as tells them apart, else A, B, C …"""
        from orograph.landscape.points import default_names

        short = [path.stem for path in self.weights]
        longer = [f"{path.parent.name}/{path.stem}" for path in self.weights]
        whole = [str(path) for path in self.weights]
        apart = (names for names in (short, longer, whole) if len(set(names)) == len(names))
        return next(apart, list(default_names(len(whole))))


@dataclass(frozen=True, kw_only=True)
class Pictures(Networks):
    """Which networks, on which data, and how the loss is measured."""

    split: Literal["test", "train"] = "test"
    """Which examples the loss is measured on."""
    examples: int | None = None
    """Use only the first so many examples."""
    loss: str = "cross_entropy"
    """cross_entropy, abyss, mse, or file.py:function of (outputs, targets) or (model, batch)."""
    batchnorm: Literal["frozen", "recalibrate", "batch"] | None = None
    """Batch-norm statistics between networks; unset: recalibrate where there is batch norm."""
    precision: Precision = "float32"
    """Number format of the evaluation."""
    tolerance: float = 0.0
    """Standard error of the loss at which a point is good enough; 0 reads every example."""
    cap: float | None = None
    """With a tolerance: points whose loss is surely above this need not be known better."""
    batch_size: int | None = None
    """Examples in a batch; unset: 256 for batch-norm statistics, for heights as many as suit the cache."""
    seed: int = 0
    """Seed of random directions, example order and calibration subset."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    executor: Literal["local", "processes"] = "local"
    """Where points are computed."""
    workers: int | None = None
    """How many processes."""
    threads: int | None = None
    """Threads of each process; unset: every processor for local, 1 for processes. The same number, the same bits."""
    dry_run: bool = False
    """Only tell what would be computed."""

    def objective(self, model: nn.Module, data: Data) -> Objective:
        """The height of the network over the chosen examples."""
        from orograph.basics.references import is_reference, load_reference
        from orograph.objective import Objective

        chosen = data.test if self.split == "test" else data.train
        if self.examples is not None:
            chosen = chosen.head(self.examples)
        return Objective(
            model,
            chosen,
            loss=load_reference(self.loss) if is_reference(self.loss) else self.loss,
            calibration=data.train,
            batchnorm=self.batchnorm,
            precision=self.precision,
            tolerance=self.tolerance,
            cap=self.cap,
            batch_size=self.batch_size,
            device=self.device,
            seed=self.seed,
            name=self.model or "",
            source=self.data or "",
            part=self.split,
        )

    @contextmanager
    def pool(self, objective: Objective) -> Iterator[Executor | None]:
        """An executor for the points, None for this process.

        Unless told otherwise a small network gets one thread: a second one costs it more than it brings.
        """
        from orograph.execute.executors import check_executor, fixed_threads, open_executor, stop_workers

        check_executor(self.executor, self.workers, 1 if self.threads is None else self.threads)
        if self.executor == "local":
            small = sum(parameter.numel() for parameter in objective.model.parameters()) < _SMALL
            with fixed_threads(self.threads or (1 if small else None)):
                yield None
            return
        executor = open_executor(self.executor, workers=self.workers, threads=self.threads or 1)
        try:
            yield executor
        except BrokenProcessPool as error:
            raise TaskError(
                "a worker process was killed or ran out of memory; finished rows are kept, run the same command again "
                "to continue (with fewer --workers if memory is short)"
            ) from error
        finally:
            stop_workers(executor)  # after a Ctrl-C nobody wants what is still queued

    def partial(self, verb: str) -> Path:
        """Where finished rows are kept until the picture is whole."""
        out = self.stem(verb)
        return out.with_name(f".{out.name}.partial")


def tell_plan(verb: str, points: int, objective: Any, *, as_json: bool) -> None:
    """Print what a picture would cost."""
    examples = len(objective.split)
    passes = points * examples
    if as_json:
        deliver({"verb": verb, "points": points, "examples": examples, "passes": passes})
        return
    print(f"{verb}: {points:,} points x {examples:,} examples = {passes:,} forward passes of one example")
