"""An ensemble as one folder, which holds tensors and words and no code.

::

    ensemble.json            schema_version, a checksum, and: how the members' outputs are combined (average,
                             temperature, class_axis), class_names, mean and std of the data, architecture, members
    member-00.safetensors    one file of weights for each member (see orograph.weights.files)

The folder appears in one step. Nothing in it is unpickled, and nothing in it can make orograph import a module: where
the architecture is a factory of the user's (``package.module:factory``), :func:`load` imports it only if the caller
names it too, or says that the folder is to be trusted.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from orograph._version import __version__
from orograph.basics.errors import ModelError, StoreError, UsageError, WeightsError
from orograph.basics.files import explained, write_atomic
from orograph.basics.keys import content_key, plain
from orograph.basics.numerics import resolve_device
from orograph.basics.references import source_hash
from orograph.ensemble.architecture import Architecture
from orograph.ensemble.assembling import require_sound
from orograph.ensemble.module import Ensemble
from orograph.results import Member
from orograph.weights import Weights

SCHEMA_VERSION = 1
MANIFEST = "ensemble.json"
_MEMBER = re.compile(r"member-\d+\.safetensors")


def save(ensemble: Ensemble, folder: str | Path) -> Path:
    """Write ``ensemble`` to ``folder``, which must not exist yet or be empty; returns the folder.

    The architecture is noted where the ensemble was made from an :class:`~orograph.ensemble.Architecture`.

    Raises
    ------
    StoreError
        The folder holds something, or cannot be written.
    WeightsError
        A member holds NaN or infinity. Nothing is written.
    """
    folder = Path(folder)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise StoreError(f"{folder} holds something already; choose another folder, or remove this one first")
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
    try:
        members = [_write_member(ensemble, index, partial) for index in range(len(ensemble.members))]
        content = plain(
            {
                "average": ensemble.average,
                "temperature": ensemble.temperature,
                "temperature_place": ensemble.temperature_place,
                "class_axis": ensemble.class_axis,
                "class_names": ensemble.class_names,
                "mean": ensemble.mean,
                "std": ensemble.std,
                "architecture": ensemble.architecture,
                "members": members,
            }
        )
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "written_by": f"orograph {__version__}",
            "checksum": content_key(content),
            "ensemble": content,
        }
        write_atomic(partial / MANIFEST, json.dumps(manifest, indent=1) + "\n")
        with explained(folder):
            partial.chmod(0o755)
            if folder.exists():
                folder.rmdir()
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def load(
    folder: str | Path,
    model: nn.Module | str | None = None,
    *,
    device: str | torch.device = "cpu",
    trust: bool = False,
) -> Ensemble:
    """Read an ensemble.

    Parameters
    ----------
    model : needed where the folder notes no architecture: a module like the members'. Where it notes a factory of the
        user's, the same words (``"package.module:factory"``) allow its import; others are used in its place, with the
        noted sizes and options.
    device : where the members go; "auto" is a GPU where there is one
    trust : import the factory that the folder names. Like running a program of whoever wrote it.

    Raises
    ------
    StoreError
        It is no ensemble's folder, damaged, edited, of a newer orograph, or lacks a member.
    UsageError
        No network is noted or given, or one is noted that must not be imported unasked.
    ModelError
        The trusted factory's file is not what it was when the ensemble was saved.
    WeightsError
        A member is damaged, another one than was saved, or does not fit the network; the file is named.
    """
    folder = Path(folder)
    place = resolve_device(device)
    content, architecture, records, files = _read_manifest(folder)
    network = model if isinstance(model, nn.Module) else _build(architecture, model, trust, folder)
    points = [_read_member(folder, file, record) for file, record in zip(files, records, strict=True)]
    if network is not model:  # built in torch's default precision, which must not round what was saved
        precisions = {slot.dtype for point in points for slot in point.layout.slots}
        if len(precisions) == 1 and (dtype := getattr(torch, precisions.pop())).is_floating_point:
            network = network.to(dtype)
    ensemble = Ensemble(
        network,
        points,
        average=content["average"],
        temperature=content["temperature"],
        temperature_place=content["temperature_place"],
        class_axis=content["class_axis"],
        names=records,
        data=SimpleNamespace(**{name: content[name] for name in ("class_names", "mean", "std")}),
    )
    ensemble.architecture = architecture
    return ensemble.to(place)


def _write_member(ensemble: Ensemble, index: int, folder: Path) -> dict[str, Any]:
    record, weights = ensemble.records[index], ensemble.weights(index)
    try:
        require_sound(weights)
    except WeightsError as error:
        raise WeightsError(f"member {record.name}: {error}") from error
    file = f"member-{index:02d}.safetensors"
    weights.save(folder / file)
    return {"file": file, **plain(replace(record, weights_hash=weights.fingerprint()))}


def _read_member(folder: Path, file: str, record: Member) -> Weights:
    path = folder / file
    if not path.is_file():
        raise StoreError(f"{folder} lacks {file}, its member {record.name}; copy the whole folder again")
    weights = Weights.load(path)
    if weights.fingerprint() != record.weights_hash:
        raise WeightsError(f"{path} is not the member {record.name} that was saved here; copy the whole folder again")
    return weights


def _read_manifest(folder: Path) -> tuple[dict[str, Any], Architecture | None, list[Member], list[str]]:
    """The content of ``ensemble.json``, checked, and what of it are objects of ours."""
    path = folder / MANIFEST
    if not path.is_file():
        reason = f"{folder} is no ensemble's folder: it has no {MANIFEST}"
        raise StoreError(reason if folder.is_dir() else f"no such folder: {folder}")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["schema_version"]
        if version > SCHEMA_VERSION:
            raise StoreError(f"{path} was written by a newer orograph (schema {version}); upgrade to read it")
        content = manifest["ensemble"]
        if content_key(content) != manifest["checksum"]:
            raise ValueError("its content does not fit its checksum")
        files = [member.pop("file") for member in content["members"]]
        strange = next((file for file in files if not _MEMBER.fullmatch(file)), None)
        if strange is not None:  # no path may lead out of the folder, nor to a format that could hold code
            raise ValueError(f"{strange!r} is no name of a member's file")
        records = [Member(**member) for member in content["members"]]
        noted = content["architecture"]
        architecture = None if noted is None else Architecture(**{**noted, "input_shape": tuple(noted["input_shape"])})
        for name in ("average", "temperature", "temperature_place", "class_axis", "class_names", "mean", "std"):
            content[name]  # or KeyError
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path} is damaged or was edited ({error}); copy the whole folder again") from error
    return content, architecture, records, files


def _build(architecture: Architecture | None, given: str | None, trust: bool, folder: Path) -> nn.Module:
    """The network that is noted, or the one of the caller's words in its place."""
    if architecture is None:
        raise UsageError(f"{folder} does not say which network its members are; pass model=, a module like theirs")
    if given is not None and given != architecture.name:
        return replace(architecture, name=given).build()
    if not architecture.is_foreign:
        return architecture.build()
    name = architecture.name
    if given is None and not trust:
        raise UsageError(
            f"{folder} names a factory of its writer's, {name!r}, and loading would import it: pass model={name!r} (or "
            "your module) if it is yours, or trust=True"
        )
    if architecture.source and source_hash(name) != architecture.source:
        changed = f"the file of {name} is not what it was when {folder} was saved"
        if given is None:
            raise ModelError(f"{changed}; pass model={name!r} to use it as it is now")
        warnings.warn(f"{changed}; the members may compute something else", UserWarning, stacklevel=3)
    return architecture.build()
