"""Hooks on a copy in training that say what each step did to the gradients and the weights.

Nothing of the step needs to be known. Hooks on the parameters add up the gradients that backward passes make; hooks on
the optimiser compare them with what it is given, and the weights before with those after. So a forgotten ``zero_grad``
shows as gradients that the optimiser gets beside the fresh ones, clipping as gradients that are shorter, a missing
``step`` as one that never comes, and gradient accumulation as nothing at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from orograph.basics.errors import in_a_line
from orograph.basics.seeds import reseed
from orograph.diagnose.dense import dense
from orograph.diagnose.patient import Copy
from orograph.diagnose.run import Run
from orograph.diagnose.together import parts_of

_WATCHED = 8  # parameters whose fresh gradients are kept whole
_LOOKED_FOR_LOST = 10  # steps in which each gradient is held against what arrives at the optimiser
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
        self._for_another: set[int] = set()
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
            if key in self._for_another and (parameter.grad is None or not bool(dense(parameter.grad).any())):
                self._fresh.pop(key, None)  # what came for another optimiser's step was cleared since
            self._for_another.discard(key)
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
        """Optimisers that the step makes, or brings, for these weights; kept, so that each counts once. What they
        change is no meddling."""
        if any(optimizer is one for one in parts_of(self._made.optimizer)):
            return
        self._for_another = set(self._fresh)
        self.run.beside += self._training
        self._left = [(p, p.detach().clone()) for p, _ in self._left]
        if not optimizer.state or any(optimizer is one for one in self._others):
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


def _cosine(pairs: Sequence[tuple[Tensor, Tensor]]) -> float:
    lengths = _norm([a for a, _ in pairs]) * _norm([b for _, b in pairs])
    return sum(float((a * b).sum()) for a, b in pairs) / lengths if lengths > 0 else float("nan")


def _size(parameter: Tensor) -> float:
    return float("nan") if parameter.device.type == "meta" else float(parameter.detach().norm())


def _norm(tensors: Sequence[Tensor]) -> float:
    if not tensors:
        return 0.0
    return float(torch.linalg.vector_norm(torch.stack([t.detach().float().norm() for t in tensors])))
