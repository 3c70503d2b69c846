"""Which entry of a dictionary holds the targets, where its name does not say so: the one that no network gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from orograph.data.structure import batch_length, leaves, map_tensors
from orograph.diagnose.patient import Patient
from orograph.objective.calling import LABELS


def name_targets(patient: Patient) -> None:
    """Call the targets of a patient's batches "targets"; the user's own code goes on to see its own name."""
    batch = patient.batches[0]
    if not isinstance(batch, Mapping) or any(name in batch for name in LABELS) or patient.optimizer is None:
        return
    name = _not_given(patient, batch)
    if name:
        patient.batches = [{"targets" if n == name else n: value for n, value in b.items()} for b in patient.batches]
        patient.loss.target_name = name


def _not_given(patient: Patient, batch: Any) -> str:
    """The only entry with a row for each example that does not reach the network; empty where none stands out."""
    given: set[int] = set()

    def note(module: nn.Module, args: Any, kwargs: Any) -> None:
        given.update(_place(leaf) for _, leaf in leaves([list(args), kwargs]) if isinstance(leaf, Tensor))

    try:
        with patient.copy(own_step=False) as made, torch.no_grad():
            made.handles.append(made.model.register_forward_pre_hook(note, with_kwargs=True))
            changed = map_tensors(torch.clone, batch)
            made.loss(made.model, changed)
    except Exception:  # what fails is told by the stage that follows
        return ""
    count = batch_length(batch)
    rest = [name for name, one in changed.items()
            if isinstance(one, Tensor) and one.dim() and len(one) == count and _place(one) not in given]  # fmt: skip
    return rest[0] if given and len(rest) == 1 and len(changed) > 1 else ""


def _place(tensor: Tensor) -> int:
    return int(tensor.untyped_storage().data_ptr())
