"""``orograph doctor``: why a network does not train, and a change that was seen to help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from orograph.basics.errors import OrographError, UsageError, in_a_line
from orograph.basics.files import require_writable
from orograph.cli.checks import above_zero, at_least
from orograph.cli.output import emit, parse, tell
from orograph.cli.subject import Networks

if TYPE_CHECKING:
    from torch import nn

    from orograph.data import Data
    from orograph.results import Diagnosis


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(Networks):
    """Examine a network, its data, loss and training on copies: findings with evidence, root causes first, and whether
    the proposed change helped. A page is written where --out names one."""

    data: str | None = None
    """The data: a name, a file or folder, package.module:factory or file.py:factory, which may also give the training
    set alone."""
    out: Path | None = None
    """Name of the files to write (.npz and .html are appended); unset: none are written."""
    loss: str = "cross_entropy"
    """cross_entropy, abyss, mse, or file.py:function of (outputs, targets) or (model, batch)."""
    optimizer: str = "sgd"
    """sgd, adam, adamw, or file.py:function of the network's parameters (or of the network, if its argument is called
    model) that makes one, or a list or dictionary of several."""
    lr: float = 0.05
    """Learning rate of sgd, adam and adamw."""
    momentum: float = 0.9
    """Momentum of sgd."""
    weight_decay: float = 0.0
    """Weight decay of sgd, adam and adamw."""
    step: str | None = None
    """file.py:function, step(model, batch, optimizer); unset: zero_grad, loss, backward, step."""
    mode: Literal["train", "eval"] = "train"
    """The mode in which the training loop has the network."""
    batch_size: int = 64
    """Examples in a batch."""
    steps: int = 60
    """Steps of the run on a copy."""
    seconds: float = 20.0
    """About how long one run may take."""
    thorough: bool = False
    """Take every measurement: learning-rate range, largest Hessian eigenvalue, gradient noise, one-batch overfit."""
    strict: bool = False
    """End with exit code 1 where a finding is critical or a warning (0: nothing alarms)."""
    seed: int = 0
    """Seed of the network and of the order of examples."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    threads: int | None = None
    """Threads; unset: every processor."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, self, "batch_size", "steps", "threads")
        at_least(0, self, "lr", "momentum", "weight_decay")
        above_zero(self, "seconds")


def main(words: list[str]) -> int:
    """Parse the flags, examine, write and print; 1 where ``--strict`` is given and something alarms."""
    options = parse(DoctorOptions, words, "doctor")
    if len(options.weights) > 1:
        raise UsageError("the doctor examines one network; give one file with --weights, or none")
    from orograph.basics.numerics import resolve_device
    from orograph.basics.references import is_reference, load_reference
    from orograph.diagnose import doctor
    from orograph.execute.executors import fixed_threads
    from orograph.models import build
    from orograph.studies.subject import model_options

    if options.model is None:
        raise UsageError("give the network with --model: a name, package.module:factory or file.py:factory")
    if options.out is not None:
        require_writable(_stem(options.out))
    data, loader = _data(options)
    model = build(options.model, data, seed=options.seed, **model_options(options.model_options))
    for weights in options.networks(model, diverged=True):  # which is what it may have to find
        weights.put_into(model)
    model.to(resolve_device(options.device))
    model.train(options.mode == "train")
    with fixed_threads(options.threads):
        found = doctor(
            model,
            loader,
            loss=load_reference(options.loss) if is_reference(options.loss) else options.loss,
            optimizer=_optimizer(options, model),
            step=None if options.step is None else load_reference(options.step),
            steps=options.steps,
            batch_size=options.batch_size,
            seconds=options.seconds,
            thorough=options.thorough,
            seed=options.seed,
        )
    try:
        files = _files(options, found)
    except OrographError:
        emit(found, as_json=options.json)  # what was found is not lost with the disk
        raise
    emit(found, as_json=options.json, extra=files)
    if files:
        tell("wrote " + ", ".join(files.values()), quiet=options.quiet or options.json)
    return int(options.strict and bool(found.alarms))


def _data(options: DoctorOptions) -> tuple[Data, Any]:
    """The data to build the network for, and what to train it on: a loader of the user's own as it is, since the order
    and the making of batches may be what is wrong."""
    from orograph.basics.references import is_reference
    from orograph.data import load
    from orograph.data.user import object_of, training_set

    if options.data is None or not is_reference(options.data):
        data = options.dataset(single=True)
        return data, data
    given = object_of(options.data)
    return load(given, single=True), training_set(given)


def _optimizer(options: DoctorOptions, model: nn.Module) -> Any:
    import torch

    from orograph.basics.references import is_reference, load_reference

    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        return None
    if is_reference(options.optimizer):
        return _own_optimizer(options.optimizer, load_reference(options.optimizer), parameters, model)
    shared: dict[str, Any] = {"lr": options.lr, "weight_decay": options.weight_decay}
    if options.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=options.momentum, **shared)
    if options.optimizer in ("adam", "adamw"):
        return (torch.optim.Adam if options.optimizer == "adam" else torch.optim.AdamW)(parameters, **shared)
    raise UsageError(f"unknown optimizer {options.optimizer!r}; use sgd, adam, adamw or file.py:function")


def _own_optimizer(name: str, make: Any, parameters: list[nn.Parameter], model: nn.Module) -> Any:
    """What the user's function makes of the parameters, or of the network where that is what it asks for. Raises
    UsageError where that is no optimiser, nor several."""
    from torch.optim import Optimizer

    from orograph.diagnose.calling_step import wants_model
    from orograph.diagnose.together import as_one

    try:
        found = make(model) if wants_model(make) else make(parameters)
    except OrographError:
        raise
    except Exception as error:
        reason = in_a_line(error)
        raise UsageError(
            f"{name} raised {reason}; it is called with the network's parameters (or with the network, "
            "if its argument is called model) and returns an optimizer"
        ) from error
    if not isinstance(as_one(found), Optimizer):
        raise UsageError(f"{name} returned a {type(found).__name__}, not a torch.optim.Optimizer")
    return found


def _files(options: DoctorOptions, found: Diagnosis) -> dict[str, str]:
    if options.out is None:
        return {}
    from orograph import report

    stem = _stem(options.out)
    numbers = found.save(stem.with_name(f"{stem.name}.npz"))
    page = report.write(found, Path(stem.with_name(f"{stem.name}.html")))
    return {"result": str(numbers), "report": str(page)}


def _stem(out: Path) -> Path:
    return out.with_suffix("") if out.suffix in (".npz", ".html") else out
