"""The user's network, data, loss and optimiser, and copies of them to examine: the originals are never touched.

A copy is deep, network and optimiser together, so that the optimiser's moments and groups go with the parameters. The
user's own ``step`` is called with the copy; an object or a method is copied too, with its counters and schedules. A
function that reaches the originals by itself (a closure) cannot be copied; then the originals run, and every bit of
them is put back afterwards.
"""

from __future__ import annotations

import copy
import functools
import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, default_collate

from orograph.basics.copying import copied, kept_results
from orograph.basics.errors import ModelError, UsageError, in_a_line
from orograph.basics.seeds import isolated_randomness
from orograph.data.structure import batch_length, map_tensors
from orograph.diagnose.losses import Loss
from orograph.diagnose.reach import put_back, within
from orograph.diagnose.together import Together, parts_of

Step = Callable[..., Any]
_NAMES = {
    "model": ("model", "net", "network", "module", "m"),
    "batch": ("batch", "data", "sample", "examples", "b"),
    "optimizer": ("optimizer", "optimiser", "opt", "optim", "optimizers", "optimisers", "opts"),
    "loss": ("loss", "criterion", "loss_fn", "loss_function", "loss_func"),
    "inputs": ("x", "inputs", "input", "xb", "images", "features"),
    "targets": ("y", "targets", "target", "labels", "yb"),
    "index": ("index", "i", "step", "iteration", "it", "t", "n"),
}


@dataclass
class Copy:
    """A network to experiment on. ``change`` turns a batch into what is trained on; ``handles`` are hooks to remove."""

    model: nn.Module
    optimizer: Optimizer
    loss: Loss
    step: Step | None
    change: Callable[[Any], Any] = lambda batch: map_tensors(torch.clone, batch)  # a network may work in place
    handles: list[Any] = field(default_factory=list)
    way: str = "quiet"  # how the network can be looked at; see glances

    def train(self, batch: Any, index: int) -> float:
        """One training step, the user's own or the ordinary one; the loss before it (NaN where the step gives none)."""
        batch = self.change(batch)
        if self.step is not None:
            found = call_step(self.step, self, self.loss.as_given(batch), index)
            return _number(found)
        value: list[Tensor] = []

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            loss = self.loss(self.model, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            value.append(loss.detach())
            return loss

        if isinstance(self.optimizer, torch.optim.LBFGS):
            self.optimizer.step(closure)  # type: ignore[no-untyped-call]
        else:
            closure()
            self.optimizer.step()
        return float(value[0])


class Patient:
    """What is to be examined.

    Attributes
    ----------
    model, loss, optimizer, step : the user's; ``assumed`` says that no optimiser was given and Adam stands in for one
    batches : on the network's device, in the loader's own order; the first ``epoch`` of them before any comes again
    bound : whether the user's step reaches the originals by itself
    """

    def __init__(
        self,
        model: nn.Module,
        batches: list[Any],
        loss: Loss,
        optimizer: Optimizer | None,
        step: Step | None,
        epoch: int = 0,
    ) -> None:
        self.model = model
        self.loss = loss
        self.step = step
        self.assumed = optimizer is None
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if optimizer is None and trainable:
            optimizer = torch.optim.Adam(trainable, lr=1e-3)
        self.optimizer = optimizer
        self.batches = batches
        self.epoch = epoch or len(batches)
        self.repeats = False  # whether examples come again on purpose
        self.stacks = False  # whether the loader is known to put examples along the first axis
        self.bound = step is not None and any(_holds(one, model, optimizer) for one in within(_code_of(step)))

    @contextmanager
    def copy(self, *, own_step: bool = True) -> Iterator[Copy]:
        """A copy for one experiment; without ``own_step`` it takes the ordinary step.

        Raises ModelError where the network cannot be copied.
        """
        versions = [p._version for p in self.model.parameters()]
        with put_back((self.step, self.loss.loss), self.model, self.optimizer) if self._own else nullcontext():
            made = self._made(own_step)
            try:
                yield made
            finally:
                for handle in made.handles:
                    handle.remove()
                if made.model is not self.model and versions != [p._version for p in self.model.parameters()]:
                    self.bound = True  # the step found the originals on a way that could not be seen

    @property
    def _own(self) -> bool:
        """Whether there is code of the user's that may reach further than what it is given."""
        return self.step is not None or not isinstance(self.loss.loss, (str, nn.Module))

    def _made(self, own_step: bool) -> Copy:
        if self.optimizer is None:  # everything is frozen: it can be looked at, and trained once that is changed
            return Copy(copied(self.model), torch.optim.Adam([torch.zeros(1)], lr=1e-3), self.loss, None)
        if own_step and self.bound:
            return Copy(self.model, self.optimizer, self.loss, self.step)
        try:
            # A step that is an object, or a method of one, is copied with whatever it holds; functions are shared.
            memo = kept_results(self.model)
            for one in [self.optimizer, *within((self.step, self.loss.loss))]:
                if isinstance(one, Optimizer):
                    _copied_optimizer(one, memo)
            model, optimizer, loss, step = copy.deepcopy((self.model, self.optimizer, self.loss, self.step), memo)
        except Exception as error:
            reason = in_a_line(error)
            raise ModelError(
                f"the network or its optimiser cannot be copied ({reason}); detach the tensors that it keeps"
            ) from error
        return Copy(model, optimizer, loss, step if own_step else None)


def gather(
    loader: Any, count: int, device: torch.device, dtype: torch.dtype, *, seed: int, size: int
) -> tuple[list[Any], int]:
    """Up to ``count`` batches of a loader on the network's device, beginning anew where it ends before, and how many of
    them belong to the first time round.

    Raises UsageError for what cannot be iterated twice or yields nothing, ModelError where it raises.
    """
    from orograph.data import Data, Examples, Split, as_examples
    from orograph.data.data import as_tensor

    if isinstance(loader, Data):
        loader = loader.train
    arrays = (Tensor, np.ndarray)
    if isinstance(loader, (tuple, list)) and len(loader) == 2 and all(isinstance(part, arrays) for part in loader):
        loader = Split(*(as_tensor(part) for part in loader))
    if isinstance(loader, torch.utils.data.Dataset):
        loader = as_examples(loader, "the data", seed)
    if hasattr(loader, "__next__"):
        raise UsageError("the data is an iterator, which can be read once; give the loader itself")
    no_loader = (str, bytes, Mapping, nn.Module, Tensor, np.ndarray)
    if isinstance(loader, no_loader) or not (hasattr(loader, "__iter__") or isinstance(loader, Examples)):
        raise UsageError(
            "the data must be a loader of batches, a list of them, a Dataset or a pair (inputs, targets), not a "
            f"{type(loader).__name__}"
        )
    found: list[Any] = []
    with _loader_state(loader), isolated_randomness(seed):
        epoch, first = 0, 0
        while len(found) < count:
            before = len(found)
            for batch in _once(loader, size, seed, epoch):
                found.append(map_tensors(lambda t: _moved(t, device, dtype), batch))
                if len(found) == count:
                    break
            if len(found) == before:
                break
            first = first or len(found)
            epoch += 1
    if found and (found[0] is None or isinstance(found[0], (bool, int, float))):
        raise UsageError(f"the loader yields a {type(found[0]).__name__} where a batch of tensors is expected")
    if not found or not batch_length(found[0]):
        raise UsageError("the loader yields no batches, so there is nothing to train on")
    return found, first


def _once(loader: Any, size: int, seed: int, epoch: int) -> Iterator[Any]:
    from orograph.basics.seeds import generator
    from orograph.data import BatchList, Examples

    if isinstance(loader, BatchList):
        yield from loader.items
    elif isinstance(loader, Examples):
        order = torch.randperm(len(loader), generator=generator(seed, "order", epoch))
        yield from loader.batches(size, order)
    else:
        iterator = None
        while True:
            try:
                iterator = iter(loader) if iterator is None else iterator
                batch = next(iterator)
            except StopIteration:
                return
            except Exception as error:
                reason = in_a_line(error)
                raise ModelError(
                    f"the loader raised an error ({reason}); mend its dataset or collate function"
                ) from error
            yield batch


@contextmanager
def _loader_state(loader: Any) -> Iterator[None]:
    """Generators that a loader or its sampler draws from get their state back."""
    owners = [loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)]
    owners.append(getattr(owners[2], "sampler", None))
    generators = [g for owner in owners if isinstance(g := getattr(owner, "generator", None), torch.Generator)]
    states = [(g, g.get_state()) for g in generators]
    try:
        yield
    finally:
        for g, state in states:
            g.set_state(state)


def _moved(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """On the device; a float64 network gets float64, any other what the user has."""
    if tensor.is_floating_point() and dtype == torch.float64:
        return tensor.to(device, dtype)
    if tensor.device.type == "meta":
        raise UsageError("the data lie on the meta device and hold no numbers; give real tensors")
    return tensor.to(device)


def repeats_by_design(loader: Any) -> bool:
    """Whether a loader draws with replacement, or is a stream that may bring an example again."""
    samplers = [getattr(loader, "sampler", None), getattr(getattr(loader, "batch_sampler", None), "sampler", None)]
    stream = isinstance(getattr(loader, "dataset", None), torch.utils.data.IterableDataset)
    return stream or any(getattr(sampler, "replacement", False) for sampler in samplers)


def stacks_examples(loader: Any) -> bool:
    """Whether a loader stacks examples by torch's own function, along the first axis."""
    return isinstance(loader, DataLoader) and loader.collate_fn is default_collate


def _copied_optimizer(optimizer: Optimizer, memo: dict[int, Any]) -> None:
    """Put a deep copy into ``memo``: torch's own way of copying drops attributes, which LBFGS and wrappers need."""
    if id(optimizer) in memo:
        return
    made = object.__new__(type(optimizer))
    memo[id(optimizer)] = made
    for name, value in vars(optimizer).items():
        held = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else [value]
        for one in held:
            if isinstance(one, Optimizer):
                _copied_optimizer(one, memo)
        if name != "step":  # a scheduler puts a function there that is bound to the original
            vars(made)[name] = copy.deepcopy(value, memo)


def _code_of(step: Any) -> Any:
    """What a step brings besides the object that it belongs to, which is copied along with the network."""
    if isinstance(step, types.MethodType):
        return step.__func__
    if isinstance(step, (types.FunctionType, functools.partial)):
        return step
    return vars(type(step)).get("__call__")


def _holds(one: Any, model: nn.Module, optimizer: Optimizer | None) -> bool:
    """Whether an object is, or works on, the network or its optimiser."""
    if one is model or any(one is part for part in parts_of(optimizer)):
        return True
    own = {id(p) for p in model.parameters()}
    if isinstance(one, Optimizer):
        return any(id(p) in own for group in one.param_groups for p in group["params"])
    if isinstance(one, nn.Module):
        return any(id(p) in own for p in one.parameters())
    return isinstance(one, Tensor) and id(one) in own


def call_step(step: Step, made: Copy, batch: Any, index: int) -> Any:
    """Give a step what its arguments are called, or (model, batch, optimizer, loss, index) by their number."""
    inputs, targets = (batch[0], batch[1]) if isinstance(batch, (tuple, list)) and len(batch) == 2 else (batch, None)
    values = {
        "model": made.model,
        "batch": batch,
        "optimizer": made.optimizer.as_given if isinstance(made.optimizer, Together) else made.optimizer,
        "loss": made.loss.loss if callable(made.loss.loss) else made.loss,
        "inputs": inputs,
        "targets": targets,
        "index": index,
    }
    try:
        parameters = [
            p
            for p in inspect.signature(step).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
        ]
    except (TypeError, ValueError):
        parameters = []
    roles = [next((role for role, names in _NAMES.items() if p.name.lower() in names), None) for p in parameters]
    if parameters and all(role is not None for role in roles) and len(set(roles)) == len(roles):
        return step(*(values[str(role)] for role in roles))
    order = ("batch",) if len(parameters) == 1 else ("model", "batch", "optimizer", "loss", "index")
    return step(*(values[role] for role in order[: len(parameters)]))


def wants_model(make: Callable[..., Any]) -> bool:
    """Whether the first argument of a function is called as a network is."""
    try:
        first = next(iter(inspect.signature(make).parameters), "")
    except (TypeError, ValueError):
        return False
    return first.lower() in _NAMES["model"]


def _number(found: Any) -> float:
    if isinstance(found, Tensor) and found.numel() == 1:
        return float(found.detach())
    if isinstance(found, dict) and "loss" in found:
        return _number(found["loss"])
    if isinstance(found, (tuple, list)) and found:
        return _number(found[0])
    return float(found) if isinstance(found, (int, float)) else float("nan")
