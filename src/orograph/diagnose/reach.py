"""What a user's step function can get hold of by itself, and how to put all of it back.

A step may know the network, the optimiser, a scheduler, an average of the weights or a counter without being given
them: by its closure, by globals, by the object that it belongs to, or by functions that it calls. All that is found
there is noted before the step runs and restored afterwards.
"""

from __future__ import annotations

import copy
import functools
import sys
import types
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from orograph.diagnose.together import parts_of

_DEEP = 6  # how far references are followed
_MANY = 2000  # objects at most; more means a data set or a library
_LARGE = 20_000_000  # numbers; larger tensors are data
_PLAIN = (int, float, complex, str, bytes, bool, type(None))
_LIBRARIES = ("torch", "numpy", "orograph", "builtins", "collections", "functools", "typing", "inspect", "logging")


def within(step: Any) -> list[Any]:
    """The objects that a step can reach: networks, optimisers, tensors, containers and objects of user classes."""
    found: dict[int, Any] = {}
    queue: list[tuple[Any, int]] = [(step, 0)]
    while queue and len(found) < _MANY:
        one, depth = queue.pop(0)
        if id(one) in found or isinstance(one, (*_PLAIN, type, types.ModuleType)) or depth > _DEEP:
            continue
        found[id(one)] = one
        queue += [(other, depth + 1) for other in _known_to(one)]
    return list(found.values())


def _known_to(one: Any) -> Iterator[Any]:
    if isinstance(one, types.MethodType):
        yield from (one.__self__, one.__func__)
    elif isinstance(one, functools.partial):
        yield from (one.func, one.args, one.keywords)
    elif isinstance(one, types.FunctionType):
        yield from _of_function(one)
    elif isinstance(one, (list, tuple, set, frozenset)):
        yield from list(one)[:_MANY]
    elif isinstance(one, dict):
        yield from list(one.values())[:_MANY]
    elif isinstance(one, (nn.Module, Optimizer, Tensor)):
        return
    elif isinstance(one, LRScheduler):
        yield one.optimizer
    elif not _of_library(one):
        yield from vars(one).values() if hasattr(one, "__dict__") else ()
        yield vars(type(one)).get("__call__")


def _of_function(function: types.FunctionType) -> Iterator[Any]:
    if (function.__module__ or "").split(".")[0] in _LIBRARIES:
        return
    yield getattr(function, "__wrapped__", None)
    yield function.__defaults__
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # a name that was never bound
            yield cell.cell_contents
    names = list(_names(function.__code__))
    for name in names:
        one = function.__globals__.get(name)
        if isinstance(one, types.ModuleType) and one.__name__.split(".")[0] not in _LIBRARIES:
            yield from (vars(one).get(other) for other in names)
        else:
            yield one


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _of_library(one: Any) -> bool:
    """Whether an object's class is no user's: then what it holds is its own affair."""
    name = type(one).__module__ or ""
    place = str(getattr(sys.modules.get(name), "__file__", "") or "")
    return name.split(".")[0] in _LIBRARIES or "site-packages" in place


@contextmanager
def put_back(step: Any, *others: Any) -> Iterator[None]:
    """Run a block, and give everything that ``step`` can reach, and ``others``, the state that it had."""
    restore: list[Callable[[], None]] = []
    for one in {id(one): one for one in [*others, *within(step)]}.values():
        restore += _restorers(one)
    try:
        yield
    finally:
        for undo in restore:
            try:
                undo()
            except Exception as error:  # the rest has to be put back all the same
                warnings.warn(f"the doctor could not put back something that your step changed: {error}", stacklevel=2)


def _restorers(one: Any) -> list[Callable[[], None]]:
    """How to restore one object, without what it refers to."""
    if isinstance(one, nn.Module):
        return [_module(one)]
    if isinstance(one, Optimizer):
        return [_optimizer(part) for part in parts_of(one)]
    if isinstance(one, Tensor):
        return [_tensor(one)] if one.numel() <= _LARGE else []
    if isinstance(one, torch.Generator):
        return [functools.partial(_set_state, one, one.get_state())]
    if isinstance(one, types.FunctionType):
        return [_cells(one)]
    if isinstance(one, (list, dict, set)):
        return [_container(one)]
    if isinstance(one, (tuple, frozenset, types.MethodType, functools.partial)):
        return []
    found: list[Callable[[], None]] = []
    if hasattr(one, "state_dict") and hasattr(one, "load_state_dict"):
        with suppress(Exception):
            saved = copy.deepcopy(one.state_dict())
            found.append(lambda: one.load_state_dict(saved))
    if isinstance(one, LRScheduler) or (hasattr(one, "__dict__") and not _of_library(one)):
        before = dict(vars(one))
        found.append(lambda: _same(vars(one), before))
    return found


def _set_state(generator: torch.Generator, state: Tensor) -> None:
    generator.set_state(state)


def _module(model: nn.Module) -> Callable[[], None]:
    tensors = [(t, t.detach().clone()) for t in [*model.parameters(), *model.buffers()] if t.device.type != "meta"]
    flags = [(p, p.requires_grad, p.grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()]
    modes = [(layer, layer.training) for layer in model.modules()]

    def undo() -> None:
        with torch.no_grad():
            for tensor, before in tensors:
                if not torch.equal(tensor, before):
                    tensor.copy_(before)
        for parameter, wanted, gradient, values in flags:
            parameter.requires_grad = wanted
            parameter.grad = gradient
            if gradient is not None and values is not None:
                gradient.data.copy_(values)
        for layer, training in modes:
            layer.training = training

    return undo


def _optimizer(optimizer: Optimizer) -> Callable[[], None]:
    held = optimizer.state
    own: defaultdict[Tensor, Any] = defaultdict(dict)
    for parameter, values in held.items():
        own[parameter] = copy.deepcopy(values)
    groups = [(group, dict(group)) for group in optimizer.param_groups]
    optimizer.state = own  # steps work on the copy, so that the user's own tensors of state are never written to

    def undo() -> None:
        optimizer.state = held
        optimizer.param_groups[:] = [group for group, _ in groups]
        for group, options in groups:
            _same(group, options)

    return undo


def _tensor(tensor: Tensor) -> Callable[[], None]:
    before, gradient = tensor.detach().clone(), tensor.grad if tensor.is_leaf else None

    def undo() -> None:
        with torch.no_grad():
            if not torch.equal(tensor.detach(), before):
                tensor.copy_(before)
        if tensor.is_leaf:
            tensor.grad = gradient

    return undo


def _cells(function: types.FunctionType) -> Callable[[], None]:
    """Variables of the closure, and globals that the function names: counters, say."""
    cells = []
    for cell in function.__closure__ or ():
        with suppress(ValueError):
            cells.append((cell, cell.cell_contents))
    space = function.__globals__
    known = {name: space[name] for name in _names(function.__code__) if name in space}

    def undo() -> None:
        for cell, value in cells:
            cell.cell_contents = value
        for name, value in known.items():
            if space.get(name) is not value:
                space[name] = value

    return undo


def _container(one: Any) -> Callable[[], None]:
    before = copy.copy(one)

    def undo() -> None:
        if isinstance(one, list):
            one[:] = before
        elif isinstance(one, dict):
            _same(one, before)
        else:
            one.clear()
            one.update(before)

    return undo


def _same(now: dict[Any, Any], before: dict[Any, Any]) -> None:
    for name in [name for name in now if name not in before]:
        del now[name]
    now.update(before)
