"""A module on loan: its parameters become views of one flat buffer, and every bit comes back afterwards.

Entering a workspace points each parameter's ``data`` at its place in a flat vector and each buffer at a clone, puts
every submodule in evaluation mode, and isolates the random state. Leaving it undoes all of that in reverse, also when
the block raised: the same Parameter objects with their storages and strides, the same buffer objects, the mode of
each submodule, gradients and ``requires_grad`` as they were. Nothing is copied back, so nothing can differ. Modules
that cannot be deep-copied work as well as any.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType

import torch
from torch import Tensor, nn

from orograph.basics.seeds import isolated_randomness
from orograph.weights import Direction, Layout, Weights, chunks


class Workspace:
    """Borrow ``module`` for evaluation at points of ``layout``; reusable, one borrower at a time.

    ``flat`` (D,) is the vector that the parameters are views of while the workspace is entered: writing to it moves
    the network. It may be given. ``dtype`` is that of parameters and floating-point buffers during the loan.
    """

    def __init__(
        self,
        module: nn.Module,
        layout: Layout,
        device: torch.device,
        dtype: torch.dtype,
        *,
        flat: Tensor | None = None,
    ) -> None:
        self.module = module
        self.layout = layout
        self.flat = torch.zeros(layout.size, device=device, dtype=dtype) if flat is None else flat
        self._parameters = layout.parameters(module)
        chosen = {id(parameter) for parameter in self._parameters}
        self._fixed = {
            name: (parameter, _like(parameter, device, dtype))
            for name, parameter in module.named_parameters()
            if id(parameter) not in chosen
        }
        self.buffers = {name: _like(buffer, device, dtype) for name, buffer in module.named_buffers()}
        self._stack = ExitStack()
        self.entered = False

    def fits(self, layout: Layout, device: torch.device, dtype: torch.dtype) -> bool:
        """Whether this workspace still serves: the module's parameters are the same objects, for the same layout."""
        return (
            (self.layout is layout or self.layout == layout)
            and self.flat.device == device
            and self.flat.dtype == dtype
            and all(a is b for a, b in zip(self._parameters, layout.parameters(self.module), strict=True))
            and self.buffers.keys() == dict(self.module.named_buffers()).keys()
        )

    def put(self, weights: Weights) -> None:
        """Move the network to ``weights``, its buffers and fixed parameters included."""
        self.flat.copy_(weights.vector)
        self.ride(weights)

    def put_along(self, center: Weights, steps: Sequence[tuple[float, Direction]]) -> None:
        """Move the network to ``center + sum(coefficient * direction)``, with the buffers of ``center``."""
        for part in chunks(self.layout.size):
            point = self.flat[part]
            source = center.vector[part].to(point.device, point.dtype)
            for coefficient, direction in steps:
                torch.add(source, direction[part].to(point.device, point.dtype), alpha=coefficient, out=point)
                source = point
            if not steps:
                point.copy_(source)
        self.ride(center)

    def ride(self, weights: Weights) -> None:
        """Take over the buffers and fixed parameters of ``weights``; the vector stays as it is."""
        for name, clone in self.buffers.items():
            if name in weights.buffers:
                clone.copy_(weights.buffers[name])
        for name, (_, clone) in self._fixed.items():
            if name in weights.fixed:
                clone.copy_(weights.fixed[name])

    def __enter__(self) -> Workspace:
        with ExitStack() as stack:  # unwinds by itself if a step below fails or is interrupted
            stack.enter_context(isolated_randomness())
            for slot, parameter in zip(self.layout.slots, self._parameters, strict=True):
                stack.callback(_point, parameter, parameter.data)
                _point(parameter, slot.view(self.flat))
            for parameter, clone in self._fixed.values():
                stack.callback(_point, parameter, parameter.data)
                _point(parameter, clone)
            clones = {id(buffer): self.buffers[name] for name, buffer in self.module.named_buffers()}
            for owner in self.module.modules():
                for name, buffer in owner._buffers.items():
                    if buffer is not None:
                        stack.callback(owner._buffers.__setitem__, name, buffer)
                        owner._buffers[name] = clones[id(buffer)]
                stack.callback(setattr, owner, "training", owner.training)
                owner.training = False
            self._stack = stack.pop_all()
        self.entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.entered = False
        self._stack.close()


def _point(parameter: nn.Parameter, data: Tensor) -> None:
    parameter.data = data


def _like(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A clone on ``device``; floating-point tensors in ``dtype`` (complex ones in its complex partner)."""
    if tensor.is_complex():
        wanted = torch.complex128 if dtype == torch.float64 else torch.complex64
    else:
        wanted = dtype if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to(device, wanted, copy=True)
