"""The full state of an unfinished run as one safetensors file.

Tensors keep every bit; everything else is JSON in the metadata, where Python's floats are exact too. A SHA-256 over
both tells a snapshot from a damaged one, whichever byte was lost.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from orograph.basics.errors import StoreError
from orograph.train.history import History
from orograph.train.loop import Loop
from orograph.train.optimizer import optimizer_state, restore_optimizer
from orograph.weights.sealed import Damaged, read_sealed, write_sealed

_FORMAT = "orograph-snapshot-1"


def capture(loop: Loop, history: History) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and JSON from which :func:`revive` continues bit for bit. Raises TaskError after a bad loss."""
    loop.meter.check()
    moments, moment_numbers = optimizer_state(loop.optimizer)
    values, meter = loop.meter.state()
    tensors = {f"model.{name}": tensor for name, tensor in _model_tensors(loop.model).items()}
    tensors |= {f"optimizer.{name}": tensor for name, tensor in moments.items()}
    tensors |= {f"meter.{name}": tensor for name, tensor in values.items()}
    state = {"step": loop.step, "history": history.state(), "optimizer": moment_numbers, "meter": meter}
    return tensors, state


def revive(loop: Loop, tensors: dict[str, Tensor], state: dict[str, Any]) -> History:
    """Put network, optimiser and meter back where :func:`capture` found them; returns the history."""

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    history = History.from_state(state["history"])
    saved = part("model.")
    with torch.no_grad():
        for name, tensor in _model_tensors(loop.model).items():
            tensor.copy_(saved[name])
    restore_optimizer(loop.optimizer, part("optimizer."), state["optimizer"])
    loop.meter.restore(part("meter."), state["meter"])
    loop.step = state["step"]
    return history


def write_snapshot(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write in one step. Raises StoreError where the file cannot be written."""
    dtypes = {name: str(tensor.dtype) for name, tensor in tensors.items() if tensor.is_complex()}
    # Clones, because safetensors refuses tensors that share memory, as tied buffers may.
    plain = {
        name: (torch.view_as_real(t) if t.is_complex() else t).detach().cpu().contiguous().clone()
        for name, t in tensors.items()
    }
    text = json.dumps({"format": _FORMAT, "complex": dtypes, **state})
    write_sealed(path, plain, {"state": text})


def read_snapshot(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_snapshot` wrote. Raises StoreError where a single bit of it is damaged."""
    try:
        tensors, metadata = read_sealed(path)
        state = json.loads(metadata["state"])
        complex_names = state.pop("complex")
        if state.pop("format") != _FORMAT:
            raise StoreError(f"{path} is a snapshot of another version of orograph")
    except (Damaged, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is damaged or no snapshot ({error})") from error
    return {n: torch.view_as_complex(t) if n in complex_names else t for n, t in tensors.items()}, state


def _model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer once, frozen and non-persistent ones included."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
