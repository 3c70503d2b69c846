"""A run of the user's own steps on a copy, watched from outside: what each step did to the gradients and the weights.

Nothing of the step needs to be known. Hooks on the parameters add up the gradients that backward passes make; hooks on
the optimiser compare them with what it is given, and the weights before with those after. So a forgotten ``zero_grad``
shows as gradients that the optimiser gets beside the fresh ones, clipping as gradients that are shorter, a missing
``step`` as one that never comes, and gradient accumulation as nothing at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from orograph.basics.errors import in_a_line
from orograph.basics.seeds import reseed
from orograph.data.structure import map_tensors
from orograph.diagnose.dense import dense
from orograph.diagnose.glances import glance
from orograph.diagnose.patient import Copy
from orograph.diagnose.producer import Producer, finite, first_producer
from orograph.diagnose.recording import Watcher
from orograph.diagnose.run import ENOUGH, Run
from orograph.diagnose.task import Task

_MARKS = (0, 5, 10, 25, 50, 75, 100, 150, 200, 300, 400)
_WATCHED = 8  # parameters whose fresh gradients are kept whole
_LOOKED_FOR_LOST = 10  # steps in which each gradient is held against what arrives at the optimiser
_READINGS = 24  # of layers and gradients in a run
_NORMS = (nn.modules.batchnorm._NormBase,)


class Recorder:
    """Hooks on a copy that fill a :class:`Run`."""

    def __init__(self, made: Copy) -> None:
        self.run = Run()
        self._made = made
        self._names = {id(p): n for n, p in made.model.named_parameters()}
        self._trained = [p for p in made.model.parameters() if p.requires_grad]
        chosen = [p for p in self._trained if p.numel() <= 1_000_000]
        stride = max(len(chosen) // _WATCHED, 1)
        self._whole = {id(p) for p in [*chosen[::stride][:_WATCHED], *chosen[-2:]]}
        self._fresh: dict[int, Tensor] = {}
        self._seen: set[int] = set()
        self._alive: set[int] = set()
        self._before: list[tuple[Tensor, Tensor]] = []
        self._last: list[tuple[Tensor, Tensor]] = []
        self._expected: dict[int, Tensor] = {}
        self._given: dict[int, Tensor] = {}
        self._left: list[tuple[Tensor, Tensor]] = []
        self._row = [0.0, 0.0, float("nan"), 0.0]
        self._handles: list[Any] = [p.register_hook(self._careful(self._arrived(p))) for p in self._trained]  # type: ignore[no-untyped-call]
        self._handles.append(made.optimizer.register_step_pre_hook(self._careful(self._stepping)))
        self._handles.append(made.optimizer.register_step_post_hook(self._careful(self._stepped)))
        self._first = {id(p): _size(p) for p in made.model.parameters()}
        for name, layer in made.model.named_modules():
            if isinstance(layer, _NORMS) and layer.track_running_stats:
                self._handles.append(layer.register_forward_pre_hook(self._normed(name)))
        self._depth = 0
        self._remembers = False  # whether the optimiser had a state after its last step
        self._others: list[Any] = []
        self._handles.append(register_optimizer_step_post_hook(self._careful(self._other)))
        self._after: dict[int, float] = {}
        self._backward = torch.autograd.backward  # what Tensor.backward() calls
        torch.autograd.backward = self._counted
        self._training = True  # whether passes belong to training, not to a glance

    def _normed(self, name: str) -> Any:
        def hook(layer: nn.Module, args: Any) -> None:
            if self._training and torch.is_grad_enabled() and not layer.training:
                self.run.frozen_norms.add(name)

        return hook

    def _arrived(self, parameter: Tensor) -> Any:
        key = id(parameter)

        def hook(gradient: Tensor) -> None:
            if not self._training:
                return
            self._seen.add(key)
            kept = dense(gradient.detach())
            if key not in self._alive and bool(kept.any()):
                self._alive.add(key)
            self._fresh[key] = kept.clone() if key not in self._fresh else self._fresh[key] + kept

        return hook

    def _careful(self, hook: Callable[..., None]) -> Callable[..., None]:
        """A hook whose own failure is no failure of the user's step; without it less is known."""

        def called(*args: Any) -> None:
            try:
                hook(*args)
            except Exception as error:
                self.run.unwatched = in_a_line(error)

        return called

    @torch.no_grad()
    def _stepping(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self._depth += 1
        if self._depth > 1:  # an optimiser whose step calls its parent's
            return
        self.run.forgot += self._remembers and not any(optimizer.state.values())
        owned = [p for group in optimizer.param_groups for p in group["params"]]
        given = [dense(p.grad) for p in owned if p.grad is not None]
        fresh = [self._fresh[id(p)] for p in owned if id(p) in self._fresh]
        self._row[0] = _norm(fresh)
        self._row[1] = _norm(given)
        if self._expected:
            self.run.agreement = _cosine([(self._fresh[k], g) for k, g in self._expected.items() if k in self._fresh])
            self._expected = {}
        pairs = [(dense(p.grad), self._fresh[id(p)]) for p in owned
                 if id(p) in self._whole and p.grad is not None and id(p) in self._fresh]  # fmt: skip
        self._row[2] = _cosine(pairs)
        rest = [(given - fresh_one, self._given[key]) for key, given, fresh_one in
                ((id(p), dense(p.grad), self._fresh[id(p)]) for p in owned
                 if id(p) in self._whole and p.grad is not None and id(p) in self._fresh)
                if key in self._given and self._given[key].shape == given.shape]  # fmt: skip
        self.run.stale.append(_cosine(rest))
        self._given = {id(p): dense(p.grad).clone() for p in owned if id(p) in self._whole and p.grad is not None}
        if self._left:
            other = sum(p.numel() for p, left in self._left if not torch.equal(p.detach(), left))
            self.run.meddled.append(other / max(sum(p.numel() for p, _ in self._left), 1))
        if len(self.run.losses) < _LOOKED_FOR_LOST:
            for p in owned:
                fresh_one = self._fresh.get(id(p))
                if (
                    fresh_one is not None
                    and bool(fresh_one.any())
                    and (p.grad is None or not bool(dense(p.grad).any()))
                ):
                    name = self._names.get(id(p), "")
                    self.run.lost[name] = self.run.lost.get(name, 0) + 1
        self._row[3] += 1
        self._before = [(p, p.detach().clone()) for p in self._trained]
        now = {id(p): _size(p) for p in self._trained} if self._after else {}
        back = [key for key, size in now.items() if size == self._first[key] != self._after.get(key, size)]
        self.run.resets += len(back) > len(self._trained) / 2

    def _counted(self, *args: Any, **options: Any) -> None:
        self.run.backwards += self._training
        self._backward(*args, **options)

    @torch.no_grad()
    def _stepped(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self._depth -= 1
        if self._depth > 0:
            return
        self._remembers = any(optimizer.state.values())
        for parameter, before in self._before:
            size = float(before.norm())
            moved = float((parameter - before).norm())
            name = self._names.get(id(parameter), "?")
            if not math.isfinite(moved) and math.isfinite(size) and math.isfinite(self._row[1]):
                self.run.overflown = self.run.overflown or name
            self.run.updates.setdefault(name, []).append(moved / size if size > 0 else float("nan"))
        self._after = {id(p): _size(p) for p, _ in self._before}
        self._left = [(p, p.detach().clone()) for p, _ in self._before if id(p) in self._whole]
        self._last, self._before = self._before, []
        self._fresh = {}
        self.run.lr.append(max((float(g["lr"]) for g in optimizer.param_groups), default=float("nan")))

    def _other(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Optimisers that the step makes, or brings, for these weights; kept, so that each counts once."""
        if optimizer is self._made.optimizer or not optimizer.state or any(optimizer is one for one in self._others):
            return
        if {id(p) for group in optimizer.param_groups for p in group["params"]} & set(self._names):
            self._others.append(optimizer)
            self.run.others += 1

    def next(self, loss: float) -> None:
        """Close the row of a step."""
        run, row = self.run, self._row
        run.losses.append(loss)
        run.raw.append(row[0])
        run.given.append(row[1])
        run.cosine.append(row[2])
        run.taken.append(int(row[3]))
        self._row = [0.0, 0.0, float("nan"), 0.0]

    def pause(self) -> None:
        """What follows is no training."""
        self._training = False

    def resume(self) -> None:
        """It goes on."""
        self._training = True

    def compare(self, batch: Any, seed: int) -> None:
        """Note the gradient of the loss as it was given, to be held against the first step's."""
        if self._made.step is None:
            return
        self.pause()
        model = self._made.model
        buffers = [(b, b.clone()) for b in model.buffers()]
        try:
            reseed(seed, next(model.parameters()).device.type)
            watched = [p for p in self._trained if id(p) in self._whole]
            loss = self._made.loss(model, self._made.change(batch))
            found = torch.autograd.grad(loss, watched, allow_unused=True)
            self._expected = {id(p): g for p, g in zip(watched, found, strict=True) if g is not None}
        except Exception:  # the step may have a loss of its own, and this one may not fit
            self._expected = {}
        finally:
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
            self.resume()

    @torch.no_grad()
    def back(self) -> None:
        """Give the weights the values that they had before the last step."""
        for parameter, before in self._last:
            parameter.copy_(before)

    def close(self) -> Run:
        """Remove the hooks; the finished run."""
        torch.autograd.backward = self._backward
        for handle in self._handles:
            handle.remove()
        names = self._names
        self.run.missing = {names[id(p)] for p in self._trained if id(p) not in self._seen}
        self.run.silent = {names[id(p)] for p in self._trained if id(p) in self._seen and id(p) not in self._alive}
        last = {id(p): _size(p) for p in self._made.model.parameters()}
        self.run.norms = {names[id(p)]: (self._first[id(p)], last[id(p)]) for p in self._trained}
        self.run.moved = {names[key] for key, size in last.items() if self._first.get(key) != size}
        return self.run


def train(
    made: Copy,
    batches: Sequence[Any],
    probe: Sequence[Any],
    task: Task,
    *,
    steps: int,
    seed: int,
    record: bool = True,
    epoch: int = 0,
    longer: Callable[[Run], int] | None = None,
) -> Run:
    """Train a copy for ``steps`` steps on ``batches`` in their order and look at ``probe`` now and then.

    It ends early where loss or weights are no longer finite; then the producer is looked for. The caller isolates the
    random state; each step begins from a seed of its own, so that equal steps draw equal dropout. ``epoch`` is how many
    batches are known to be new before any comes again. ``longer`` is asked once, at the end of the steps, how many more
    there shall be.
    """
    recorder = Recorder(made) if record else None
    run = Run() if recorder is None else recorder.run
    watcher = Watcher(made.model, made.optimizer, max(steps // _READINGS, 1), lambda step: None)
    if record:
        watcher.attach()
    began = perf_counter()
    try:
        _steps(made, batches, probe, task, run, recorder, steps=steps, seed=seed, epoch=epoch, longer=longer)
    finally:
        watcher.detach()
        if recorder is not None:
            recorder.close()
    run.series = watcher.series
    run.seconds = perf_counter() - began
    return run


def _steps(
    made: Copy,
    batches: Sequence[Any],
    probe: Sequence[Any],
    task: Task,
    run: Run,
    recorder: Recorder | None,
    *,
    steps: int,
    seed: int,
    epoch: int,
    longer: Callable[[Run], int] | None,
) -> None:
    began = perf_counter()
    device = next(made.model.parameters()).device.type
    step = -1
    try:
        while True:
            step += 1
            if step == steps:
                _look(made, probe, task, run, step, recorder)
                run.seconds = perf_counter() - began
                more, longer = longer(run) if longer is not None else 0, None
                steps += more
                if not more:
                    break
                if epoch >= step + 2 * ENOUGH:  # there are still new batches: later answers say more
                    run.fresh.clear()
            elif step == 0 or (recorder is not None and step in _MARKS):
                _look(made, probe, task, run, step, recorder)
            batch = batches[step % len(batches)]
            if recorder is not None and step >= 10 and min(epoch, steps) // 2 <= step < epoch and len(run.fresh) < 12:
                recorder.pause()
                run.fresh.append(glance(made, [batch], task, step).quality)
                recorder.resume()
            if recorder is not None and step == 0:
                recorder.compare(batch, seed)
            reseed(seed + step, device)
            loss = made.train(batch, step)
            if recorder is not None:
                recorder.next(loss)
            else:
                run.losses.append(loss)
            if not math.isfinite(loss) and (made.step is None or any(map(math.isfinite, run.losses))):
                run.stopped = step
                break
            if step % 10 == 9 and not all(finite(p) for p in made.model.parameters()):
                run.stopped = step
                break
    except Exception as error:  # the user's own code may raise anything
        run.error = in_a_line(error)
        run.stopped = len(run.losses)
    if run.stopped is not None and not run.error:
        batch = made.change(batches[run.stopped % len(batches)])
        reseed(seed + run.stopped, device)
        if recorder is not None:
            recorder.back()
        run.producer = _stepper(made, run.overflown) if run.overflown else _producer(made, batch)


def _look(made: Copy, probe: Sequence[Any], task: Task, run: Run, step: int, recorder: Recorder | None) -> None:
    if recorder is not None:
        recorder.pause()
    try:
        run.glances.append(glance(made, probe, task, step))
    finally:
        if recorder is not None:
            recorder.resume()


def _stepper(made: Copy, name: str) -> Producer:
    """The optimiser, which broke a parameter."""
    weights = made.model.get_parameter(name)
    return Producer(name, type(made.optimizer).__name__, "step", 1.0, math.nan, math.nan, tuple(weights.shape),
                    str(weights.dtype))  # fmt: skip


def _producer(made: Copy, batch: Any) -> Producer | None:
    try:
        return first_producer(made.model, lambda: made.loss(made.model, map_tensors(torch.clone, batch)))
    except Exception:
        return None


def _cosine(pairs: Sequence[tuple[Tensor, Tensor]]) -> float:
    lengths = _norm([a for a, _ in pairs]) * _norm([b for _, b in pairs])
    return sum(float((a * b).sum()) for a, b in pairs) / lengths if lengths > 0 else float("nan")


def _size(parameter: Tensor) -> float:
    return float("nan") if parameter.device.type == "meta" else float(parameter.detach().norm())


def _norm(tensors: Sequence[Tensor]) -> float:
    if not tensors:
        return 0.0
    return float(torch.linalg.vector_norm(torch.stack([t.detach().float().norm() for t in tensors])))
