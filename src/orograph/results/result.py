"""The base of everything a verb returns: a frozen record of arrays that can be saved, drawn, summarised and cited.

A file is an ``.npz``: one JSON header (``schema_version``, class and plain fields) and one entry for each array. It
is read with ``allow_pickle=False``, and only classes of this package are rebuilt, so opening a stranger's result
runs none of their code.
"""

from __future__ import annotations

import dataclasses
import html
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, get_type_hints
from zipfile import BadZipFile

import numpy as np

from orograph.basics.errors import StoreError, UsageError
from orograph.basics.files import atomic_path
from orograph.basics.keys import plain
from orograph.results.citations import bibtex
from orograph.results.provenance import Cost, Provenance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCHEMA_VERSION = 1

_RECORDS: dict[str, type] = {"Provenance": Provenance, "Cost": Cost}
_T = TypeVar("_T")


def record(cls: type[_T]) -> type[_T]:
    """Register a dataclass, so that it may stand inside a saved result."""
    _register(cls)
    return cls


def _register(cls: type) -> None:
    """Files know a class by its name alone, so of two with one name only the later could be read back."""
    held = _RECORDS.get(cls.__name__, cls)
    if held.__module__ != cls.__module__:
        raise TypeError(f"{held.__module__} has a record called {cls.__name__} already; give this one another name")
    _RECORDS[cls.__name__] = cls


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Result(ABC):
    """What a verb returns. Two results are compared field by field with :meth:`equals`."""

    provenance: Provenance = dataclasses.field(metadata={"compared": False})

    title: ClassVar[str] = "result"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _register(cls)

    def save(self, path: str | Path) -> Path:
        """Write this result to ``path`` (``.npz`` is appended where missing) in one step; returns the path."""
        path = Path(path)
        path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
        arrays: dict[str, np.ndarray[Any, Any]] = {}
        header = {"schema_version": SCHEMA_VERSION, "record": _encode(self, "", arrays)}
        text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, header=text, **arrays)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a result of this class.

        Raises
        ------
        StoreError
            The file is missing, damaged, no result, a result of another kind, or of a newer version.
        """
        found = load(path)
        if not isinstance(found, cls):
            raise StoreError(f"{path} holds a {type(found).__name__}, not a {cls.__name__}")
        return found

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON types: arrays become nested lists, non-finite numbers the words nan, inf and -inf."""
        return dict(plain(self))

    def equals(self, other: object) -> bool:
        """Whether both hold the same numbers bit for bit (NaN equals NaN); provenances are not compared."""
        return _same(self, other)

    @abstractmethod
    def summary(self) -> str:
        """A few lines in words: what was measured and what came out."""

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw on a matplotlib axis (a new figure where none is given), fit for a paper; returns the figure."""
        from orograph.figures import draw

        return draw(self, ax)

    def figure(self) -> Any:
        """An interactive plotly figure."""
        from orograph.figures import figure

        return figure(self)

    def cite(self) -> str:
        """BibTeX of orograph and of the papers whose method this result uses."""
        return bibtex(self.provenance.citations)

    def _repr_html_(self) -> str:
        try:
            picture = self.figure().to_html(include_plotlyjs="cdn", full_html=False)
        except UsageError:  # this kind has no picture
            picture = ""
        return f"<pre>{html.escape(self.summary())}</pre>{picture}"


def load(path: str | Path) -> Result:
    """Read any saved result; raises StoreError with one line where the file is missing, damaged or foreign."""
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            header = json.loads(archive["header"].tobytes())
            version = header["schema_version"]
            if version > SCHEMA_VERSION:
                raise StoreError(f"{path} was written by a newer orograph (schema {version}); upgrade to read it")
            found = _decode(header["record"], archive)
    except FileNotFoundError as error:
        raise StoreError(f"no such result file: {path}") from error
    except (OSError, KeyError, ValueError, EOFError, TypeError, BadZipFile) as error:
        raise StoreError(f"{path} is damaged or no orograph result; compute it again") from error
    if not isinstance(found, Result):
        raise StoreError(f"{path} holds no orograph result")
    return found


def _encode(value: Any, place: str, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    """``value`` as JSON, its arrays moved to ``arrays`` under their place in the record."""
    if isinstance(value, np.ndarray):
        arrays[place] = value
        return {"$array": place}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: _encode(getattr(value, field.name), f"{place}.{field.name}".lstrip("."), arrays)
            for field in dataclasses.fields(value)
            if field.metadata.get("saved", True)
        }
        return {"$record": type(value).__name__, "fields": fields}
    if isinstance(value, dict):
        return {"$map": [[str(key), _encode(item, f"{place}.{key}", arrays)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_encode(item, f"{place}.{index}", arrays) for index, item in enumerate(value)]
    if isinstance(value, float):  # JSON keeps every bit of a finite float, but has no words for the others
        return value if np.isfinite(value) else {"$float": str(value)}
    return plain(value)


def _decode(value: Any, archive: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decode(item, archive) for item in value)
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        return archive[value["$array"]]
    if "$float" in value:
        return float(value["$float"])
    if "$map" in value:
        return {key: _decode(item, archive) for key, item in value["$map"]}
    cls = _RECORDS[value["$record"]]
    known = get_type_hints(cls)
    return cls(**{name: _decode(item, archive) for name, item in value["fields"].items() if name in known})


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        exact = left.dtype.kind not in "fc"
        return left.shape == right.shape and (
            bool(np.array_equal(left, right)) if exact else bool(np.array_equal(left, right, equal_nan=True))
        )
    if dataclasses.is_dataclass(left) and not isinstance(left, type):
        names = [field.name for field in dataclasses.fields(left) if field.metadata.get("compared", True)]
        return type(left) is type(right) and all(_same(getattr(left, n), getattr(right, n)) for n in names)
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, float) and isinstance(right, float):
        return left == right or (left != left and right != right)
    return bool(left == right)
