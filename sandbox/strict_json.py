"""Reads JSON into frozen dataclasses and refuses what does not fit, naming the place.

The control interface is typed by hand in tests and in shells: a misspelt option that were ignored
would make a test pass for the wrong reason.
"""

from __future__ import annotations

import types
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


class JsonMismatchError(ValueError):
    """The JSON given does not have the form asked for; the message names the place."""


def read(kind: type[T], value: object, place: str = "") -> T:
    """Makes a `kind` (a dataclass) of a JSON object.

    Raises:
        JsonMismatchError: a key is unknown or missing, or a value has another type.
    """
    if not isinstance(value, dict):
        raise JsonMismatchError(f"{place or 'body'}: must be an object")
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind) if field.init}  # type: ignore[arg-type]
    for key in value:
        if key not in known:
            raise JsonMismatchError(
                f"{_join(place, key)}: unknown; known here: {', '.join(sorted(known))}"
            )
    for name, field in known.items():
        if name not in value and not _has_default(field):
            raise JsonMismatchError(f"{_join(place, name)}: missing")
    return kind(
        **{key: _convert(hints[key], item, _join(place, key)) for key, item in value.items()}
    )


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _join(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _convert(hint: Any, value: object, place: str) -> Any:
    """Returns `value` as `hint` wants it; hints are plain types, dataclasses and generics."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _convert_union(hint, value, place)
    if origin is not None:
        return _convert_generic(hint, value, place)
    if hint is Any:
        return value
    if is_dataclass(hint) and isinstance(hint, type):
        return read(hint, value, place)
    return _convert_plain(hint, value, place)


def _convert_generic(hint: Any, value: object, place: str) -> Any:
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        if value not in arguments or isinstance(value, bool):
            choices = ", ".join(map(str, arguments))
            raise JsonMismatchError(f"{place}: must be one of {choices}")
        return value
    if get_origin(hint) is tuple:
        items = _convert_plain(list, value, place)
        return tuple(_convert(arguments[0], item, f"{place}[{i}]") for i, item in enumerate(items))
    members = _convert_plain(dict, value, place)
    return {key: _convert(arguments[1], item, _join(place, key)) for key, item in members.items()}


def _convert_union(hint: Any, value: object, place: str) -> Any:
    if value is None:
        if type(None) in get_args(hint):
            return None
        raise JsonMismatchError(f"{place}: must not be null")
    mismatches: list[JsonMismatchError] = []
    for choice in get_args(hint):
        if choice is type(None):
            continue
        try:
            return _convert(choice, value, place)
        except JsonMismatchError as mismatch:
            mismatches.append(mismatch)
    raise mismatches[-1]


def _convert_plain(kind: type, value: object, place: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise JsonMismatchError(f"{place}: must be of type {kind.__name__}")
    return value
