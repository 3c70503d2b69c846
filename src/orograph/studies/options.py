"""Options from TOML files and keyword arguments, checked against a study's dataclass.

An unknown key is an error that names the nearest valid one; a value of the wrong type says what was expected.
"""

from __future__ import annotations

import dataclasses
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import tomli_w

from orograph.basics.errors import UsageError, nearest
from orograph.basics.files import write_atomic
from orograph.basics.keys import plain

_T = TypeVar("_T")


def build(cls: type[_T], values: Mapping[str, Any], base: _T | None = None) -> _T:
    """A ``cls`` with ``values`` in place of the defaults (or of ``base``'s values).

    Nested options may be mappings or dotted keys: ``{"train": {"epochs": 3}}`` and ``{"train.epochs": 3}`` are one.
    """
    return _build(cls, _nested(values), base, "")


def paper(cls: type[_T], name: str) -> _T:
    """The options that repeat a published experiment at its own size. Raises UsageError for an unknown one."""
    papers: Mapping[str, Mapping[str, Any]] = getattr(cls, "papers", {})
    if not papers:
        raise UsageError("this study has no published size of its own to repeat; leave --paper out")
    if name not in papers:
        raise UsageError(f"unknown paper size {name!r}{nearest(name, papers)}; use one of {', '.join(papers)}")
    return build(cls, papers[name])


def read_study(path: Path) -> tuple[str, dict[str, Any]]:
    """The study's name and options in a TOML file. Raises UsageError with one line for a file that cannot be used."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"no such study file: {path}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} is not a readable TOML file: {error}") from error
    name = content.pop("study", None)
    if not isinstance(name, str):
        raise UsageError(f'{path} must name its study, e.g. study = "initial-values"')
    return name, content


def write_study(path: Path, name: str, options: Any) -> bool:
    """Write the resolved options; ``orograph run`` of this file repeats the study. Returns whether they are new there.

    Options that are unset by default are left out; those that were unset by the user are written as "none".
    """
    resolved = {"study": name, **_resolved(options)}
    if path.is_file() and _content(path) == resolved:
        return False
    write_atomic(path, tomli_w.dumps(resolved))
    return True


def _content(path: Path) -> dict[str, Any] | None:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not readable, not text, not TOML
        return None


def _build(cls: type[_T], values: Mapping[str, Any], base: _T | None, place: str) -> _T:
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    chosen: dict[str, Any] = {} if base is None else {name: getattr(base, name) for name in fields}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in fields:
            raise UsageError(f"unknown option {place + key!r}{nearest(name, fields)}")
        inner = hints[name]
        if dataclasses.is_dataclass(inner) and isinstance(value, Mapping):
            before = chosen.get(name, _default(fields[name]))
            chosen[name] = _build(cast(type[Any], inner), value, before, f"{place}{name}.")
        elif dataclasses.is_dataclass(inner) and not isinstance(value, cast(type[Any], inner)):
            raise UsageError(f"{place + key} is a group of options, e.g. {place + key}.{_first(inner)}, not {value!r}")
        else:
            chosen[name] = _converted(value, inner, place + key)
    return cls(**chosen)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return None if field.default_factory is dataclasses.MISSING else field.default_factory()


def _converted(value: Any, hint: Any, place: str) -> Any:
    """``value`` as the type ``hint``; whole numbers serve as floats, lists as tuples."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value in (None, "none") and type(None) in arguments:
            return None
        errors = []
        for option in (argument for argument in arguments if argument is not type(None)):
            try:
                return _converted(value, option, place)
            except UsageError as error:
                errors.append(error)
        raise errors[0]
    if origin is Literal:
        if value in arguments:
            return value
        words = ", ".join(map(str, arguments))
        raise UsageError(f"{place} is {value!r}{nearest(str(value), map(str, arguments))}; use one of {words}")
    if origin is tuple and isinstance(value, (list, tuple)):
        inner = arguments[0] if len(arguments) == 2 and arguments[1] is Ellipsis else None
        if inner is None and len(value) != len(arguments):
            raise UsageError(f"{place} needs {len(arguments)} values, not {len(value)}")
        hints = [inner] * len(value) if inner is not None else list(arguments)
        return tuple(_converted(item, kind, place) for item, kind in zip(value, hints, strict=True))
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is Any or (isinstance(hint, type) and isinstance(value, hint) and not (hint is int and value is True)):
        if hint is int and isinstance(value, bool):
            raise UsageError(f"{place} must be a whole number, not {value}")
        return value
    wanted = {
        "tuple": "a list such as [0.5, 1.0]",
        "int": "a whole number",
        "float": "a number",
        "str": "text",
        "bool": "true or false",
    }
    kind = getattr(hint, "__name__", str(hint))
    raise UsageError(f"{place} must be {wanted.get(kind, kind)}, not {value!r}")


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in values.items():
        outer, dot, inner = key.partition(".")
        if not dot:
            if isinstance(value, Mapping) and isinstance(result.get(key), dict):
                result[key].update(value)
            else:
                result[key] = dict(value) if isinstance(value, Mapping) else value
        else:
            before = result.get(outer, {})
            if not isinstance(before, Mapping):
                raise UsageError(f"{outer} and {key} are both given; give one of them")
            result[outer] = {**before, **_nested({inner: value})}
    return result


def _resolved(options: Any) -> dict[str, Any]:
    """The options as TOML's types, which have no word for None."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            found[field.name] = _resolved(value)
        elif value is not None:
            found[field.name] = plain(value)
        elif _default(field) is not None:
            found[field.name] = "none"
    return found


def _first(cls: Any) -> str:
    return dataclasses.fields(cls)[0].name
