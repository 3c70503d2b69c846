"""Weights on disk: safetensors, which can hold nothing but tensors.

A file written here has one tensor for each name of the network's state dict (parameters in the vector's precision,
so that interpolated points of a half-precision network keep every bit), so ``model.load_state_dict`` reads it too;
the layout rides in the metadata. Foreign files (a plain safetensors state dict, or a ``torch.save`` one) are read
with the network beside them, to tell parameters from buffers; pickles only through ``weights_only=True``, which
builds tensors and runs no code.
"""

from __future__ import annotations

import json
import pickle
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from orograph.basics.errors import WeightsError, nearest
from orograph.weights.layout import Layout, Slot, layout_of
from orograph.weights.sealed import Damaged, read_sealed, write_sealed

_FORMAT = "orograph-weights-1"


@dataclass(frozen=True, eq=False)
class Parts:
    """What makes up a point: see :class:`orograph.weights.Weights`."""

    vector: Tensor
    layout: Layout
    buffers: dict[str, Tensor]
    fixed: dict[str, Tensor]


def write_parts(weights: Parts, path: Path) -> Path:
    """Write a point to ``path`` in one step. Raises StoreError where it cannot be written."""
    tensors = {slot.name: _storable(slot.view(weights.vector)) for slot in weights.layout.slots}
    for name, tensor in (weights.buffers | weights.fixed).items():
        tensors[name] = _storable(tensor)
    metadata = {
        "format": _FORMAT,
        "slots": json.dumps([asdict(slot) for slot in weights.layout.slots]),
        "select": json.dumps(weights.layout.select),
        "buffers": json.dumps({name: _dtype(tensor) for name, tensor in weights.buffers.items()}),
        "fixed": json.dumps({name: _dtype(tensor) for name, tensor in weights.fixed.items()}),
    }
    write_sealed(path, tensors, metadata)
    return path


def read_parts(path: Path, model: nn.Module | None = None) -> Parts:
    """Read a point from ``path``.

    A file of orograph's own needs no ``model``; with one, the two are checked against each other. A foreign state
    dict needs it. Common wrappings (``state_dict``, ``model``, a ``module.`` or ``model.`` prefix) are seen through.

    Raises
    ------
    WeightsError
        The file is missing, damaged, a pickle with anything but tensors in it, or does not fit ``model`` (the first
        tensor that does not fit is named).
    """
    if not path.is_file():
        raise WeightsError(f"{path} is a folder, not weights" if path.is_dir() else f"no such weights file: {path}")
    tensors, metadata = _read(path)
    if metadata.get("format") == _FORMAT:
        found = _own(tensors, metadata, path)
        if model is not None:
            found.layout.parameters(model)
        return found
    if model is None:
        raise WeightsError(
            f"{path} is a plain state dict; give its network too (Weights.load(path, network), or --model), to tell "
            "weights from buffers"
        )
    return _foreign(tensors, model, path)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if path.suffix == ".safetensors":
        try:
            return read_sealed(path)
        except Damaged as error:
            raise WeightsError(f"{path} is damaged or no safetensors file ({error})") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's remarks on odd files; ours is one line
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than tensors, and orograph runs nobody's pickled code; "
            "save it again with torch.save(model.state_dict(), …) or as safetensors"
        ) from error
    except Exception as error:  # a file of anything at all is read as if it were a pickle
        raise WeightsError(f"{path} is damaged, empty or no state dict of torch.save") from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"{path} is not a state dict (a dictionary of tensors)")
    return {str(name): tensor for name, tensor in content.items()}, {}


def _own(tensors: dict[str, Tensor], metadata: dict[str, str], path: Path) -> Parts:
    try:
        slots = tuple(
            Slot(**{**slot, "shape": tuple(slot["shape"]), "aliases": tuple(slot["aliases"])})
            for slot in json.loads(metadata["slots"])
        )
        select: Any = json.loads(metadata["select"])
        layout = Layout(slots, tuple(select) if isinstance(select, list) else select)
        vector = torch.empty(layout.size, dtype=layout.dtype)
        for slot in slots:
            slot.view(vector).copy_(_restored(tensors[slot.name], slot.dtype))
        buffers = {name: _restored(tensors[name], dtype) for name, dtype in json.loads(metadata["buffers"]).items()}
        fixed = {name: _restored(tensors[name], dtype) for name, dtype in json.loads(metadata["fixed"]).items()}
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise WeightsError(f"{path} is damaged: its description does not fit its tensors ({error})") from error
    return Parts(vector, layout, buffers, fixed)


def _foreign(tensors: dict[str, Tensor], model: nn.Module, path: Path) -> Parts:
    state = model.state_dict()
    for prefix in ("module.", "model.", "_orig_mod."):
        if all(name.startswith(prefix) for name in tensors) and not all(name in state for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    layout = layout_of(model)
    missing = [name for name in state if name not in tensors and not _tied_elsewhere(layout, name, tensors)]
    if missing:
        raise WeightsError(f"{path} lacks {missing[0]!r}{nearest(missing[0], tensors)}; is it of another network?")
    extra = [name for name in tensors if name not in state]
    if extra:
        raise WeightsError(f"{path} has {extra[0]!r}, which the network does not{nearest(extra[0], state)}")
    for name, tensor in tensors.items():
        if tensor.is_complex() and not state[name].is_complex():
            raise WeightsError(f"{path}: {name} is complex, the network's is real; is it of another network?")
        if tensor.shape != state[name].shape:
            raise WeightsError(
                f"{path}: {name} has shape {tuple(tensor.shape)}, the network's is {tuple(state[name].shape)}"
            )
    vector = torch.empty(layout.size, dtype=layout.dtype)
    for slot in layout.slots:
        name = next(name for name in (slot.name, *slot.aliases) if name in tensors)
        slot.view(vector).copy_(tensors[name])
    chosen = {name for slot in layout.slots for name in (slot.name, *slot.aliases)}
    rest = {name: p for name, p in model.named_parameters() if name not in chosen}
    buffers = {name: tensors.get(name, buffer.detach().cpu().clone()) for name, buffer in model.named_buffers()}
    fixed = {name: tensors.get(name, parameter.detach().cpu().clone()) for name, parameter in rest.items()}
    return Parts(vector, layout, buffers, fixed)


def _tied_elsewhere(layout: Layout, name: str, tensors: dict[str, Tensor]) -> bool:
    """Whether ``name`` is one of several names of a tied parameter, of which the file has another."""
    for slot in layout.slots:
        names = (slot.name, *slot.aliases)
        if name in names:
            return any(other in tensors for other in names)
    return False


def _storable(tensor: Tensor) -> Tensor:
    """A contiguous copy of its own; complex numbers become pairs, which safetensors can hold."""
    tensor = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return tensor.detach().cpu().contiguous().clone()


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _restored(tensor: Tensor, dtype: str) -> Tensor:
    return torch.view_as_complex(tensor) if dtype.startswith("complex") else tensor
