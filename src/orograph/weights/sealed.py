"""Safetensors files with a checksum inside: written in one step, and read only as they were written."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from orograph.basics.files import atomic_path


class Damaged(Exception):
    """The file is not what was written, or no safetensors file at all."""


def write_sealed(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write contiguous tensors that share no memory, with their checksum. Raises StoreError where that fails."""
    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, {**metadata, "digest": _digest(tensors, metadata)})
        except SafetensorError as error:  # it hides the operating system's refusal in its text
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def read_sealed(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata. A file without a checksum, as other programs write them, is taken as it is.

    Raises Damaged where the file does not fit its checksum, has lost it though it is one of orograph's own (its
    metadata name a "format" of ours), or cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as archive:
            metadata = dict(archive.metadata() or {})
            tensors = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise Damaged(str(error)) from error
    seal = metadata.pop("digest", None)
    ours = metadata.get("format", "").startswith("orograph")
    if (ours and seal is None) or (seal is not None and seal != _digest(tensors, metadata)):
        raise Damaged("its content does not fit its checksum")
    return tensors, metadata


def _digest(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    digest = hashlib.sha256(repr(sorted(metadata.items())).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
