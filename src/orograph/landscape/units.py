"""The values of a few cells together: as columns, as the measurements they came from, and as a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from orograph.basics.files import atomic_path
from orograph.objective import Measurement

Values = dict[str, NDArray[Any]]


def unit_name(unit: int) -> str:
    """The file of a unit."""
    return f"unit-{unit:05d}.npz"


def columns_of(measurements: Sequence[Measurement], *, with_examples: bool) -> Values:
    """The measurements of a unit's cells as arrays; with the single examples' losses and hits where wanted."""
    first = measurements[0]
    columns: Values = {
        "loss": np.array([m.loss for m in measurements]),
        "loss_se": np.array([m.loss_se for m in measurements]),
        "n_examples": np.array([m.n_examples for m in measurements], dtype=np.int64),
    }
    if first.accuracy is not None:
        columns["accuracy"] = np.array([m.accuracy for m in measurements], dtype=np.float64)
        columns["accuracy_se"] = np.array([m.accuracy_se for m in measurements], dtype=np.float64)
    for name in first.metrics:
        columns[f"metric:{name}"] = np.array([m.metrics[name] for m in measurements])
    for name in ("losses", "hits") if with_examples else ():
        if getattr(first, name) is not None:
            columns[name] = np.stack([getattr(m, name) for m in measurements]).astype(np.float32)
    return columns


def measurements_of(values: Values) -> list[Measurement]:
    """The measurements that columns were made of, thorough cells all."""

    def pick(name: str, index: int) -> Any:
        return values[name][index] if name in values else None

    metrics = [name for name in values if name.startswith("metric:")]
    return [
        Measurement(
            loss=float(values["loss"][i]),
            loss_se=float(values["loss_se"][i]),
            n_examples=int(values["n_examples"][i]),
            exact=True,
            accuracy=pick("accuracy", i),
            accuracy_se=pick("accuracy_se", i),
            metrics={name.removeprefix("metric:"): float(values[name][i]) for name in metrics},
            losses=pick("losses", i),
            hits=pick("hits", i),
        )
        for i in range(len(values["loss"]))
    ]


def assembled(found: dict[int, Values], count: int, unit: int) -> Values:
    """The ``count`` cells' values from those of their units of ``unit`` cells; ``computed`` tells which are there."""
    values: Values = {"computed": np.zeros(count, dtype=np.bool_)}
    for index, columns in found.items():
        place = slice(index * unit, index * unit + len(columns["loss"]))
        values["computed"][place] = True
        for name, column in columns.items():
            if name not in values:
                values[name] = np.zeros((count, *column.shape[1:]), dtype=column.dtype)
            values[name][place] = column
    for name in ("loss", "loss_se", "n_examples"):
        values.setdefault(name, np.zeros(count, dtype=np.int64 if name == "n_examples" else np.float64))
    return values


def write_unit(path: Path, values: Values) -> None:
    """Write a unit in one step."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **values)


def read_unit(path: Path) -> Values | None:
    """Read a unit; None where it is not there or damaged."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, BadZipFile):  # missing or damaged: it is computed (again)
        return None
