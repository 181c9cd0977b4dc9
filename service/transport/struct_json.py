"""`google.protobuf.Struct` to JSON values and back, by hand: a quarter of json_format's time.

A Struct's numbers are doubles. A whole one becomes an integer, since providers tell `1` from `1.0`;
one that a double cannot hold for sure (2^53 and above) or JSON not at all is refused.
"""

import json
import math
from collections.abc import Mapping

from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value

from service.domain.errors import FieldViolation
from service.domain.json_value import JsonObject, JsonValue
from service.transport.text import excerpt, well_formed

JSON_BYTES_MAX = 32 * 1024
"""Of the whole object as JSON in UTF-8, without white space."""

KEYS_MAX = 50
"""In all, those of objects inside included."""

DEPTH_MAX = 5
"""The object itself is the first level; each object or list inside another is one more."""

INTEGER_LIMIT = 2**53
"""From here on neighbouring integers are the same double."""

VALUES_MAX = JSON_BYTES_MAX // 2
"""A value takes two bytes of JSON at least, so that more of them cannot be within the limit."""

VIOLATIONS_MAX = 20
"""After so many the rest is not looked at."""


def read_custom_fields(struct: Struct, path: str) -> tuple[JsonObject, list[FieldViolation]]:
    """Return a caller's object as JSON, and what is wrong with it; `path` is its field."""
    if not struct.fields:
        return {}, []
    reader = _Reader()
    try:
        fields = reader.read_object(struct, path, depth=1)
    except _LimitReachedError as limit:
        return {}, [*reader.violations, FieldViolation(path, limit.sentence)]
    if len(json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()) > JSON_BYTES_MAX:
        reader.violations.append(FieldViolation(path, _TOO_LARGE))
    return fields, reader.violations


def to_struct(value: JsonObject) -> Struct:
    """Return a JSON object as a Struct."""
    struct = Struct()
    for key, inner in value.items():
        _set(struct.fields[well_formed(key)], inner)
    return struct


_TOO_LARGE = f"Must be at most {JSON_BYTES_MAX} bytes as JSON."
_TOO_MANY_KEYS = f"Must have at most {KEYS_MAX} keys in all, those of inner objects included."
_TOO_DEEP = f"Must be at most {DEPTH_MAX} levels deep, counting objects and lists."
_TOO_GREAT = "Must be below 2^53, since above it digits get lost; send it as a string."
_TOO_MANY_VIOLATIONS = "Has more problems than these."


class _LimitReachedError(Exception):
    """The object breaks a limit that makes reading the rest pointless."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class _Reader:
    """Reads one object, counting what it has and noting what is wrong."""

    def __init__(self) -> None:
        self.violations: list[FieldViolation] = []
        self._keys_count = 0
        self._values_count = 0

    def read_object(self, struct: Struct, path: str, depth: int) -> dict[str, JsonValue]:
        self._keys_count += len(struct.fields)
        if self._keys_count > KEYS_MAX:
            raise _LimitReachedError(_TOO_MANY_KEYS)
        result: dict[str, JsonValue] = {}
        # Sorted, since a map comes in no order and the same request should get the same answer.
        for key, value in sorted(struct.fields.items(), key=_key):
            inner_path = f"{path}.{excerpt(key)}"
            if not key:
                self._refuse(path, "Has an empty key.")
            result[key] = self._read(value, inner_path, depth)
        return result

    def _read_list(self, values: ListValue, path: str, depth: int) -> list[JsonValue]:
        return [
            self._read(value, f"{path}[{index}]", depth)
            for index, value in enumerate(values.values)
        ]

    def _read(self, value: Value, path: str, depth: int) -> JsonValue:
        self._values_count += 1
        if self._values_count > VALUES_MAX:
            raise _LimitReachedError(_TOO_LARGE)
        kind = value.WhichOneof("kind")
        result: JsonValue = None
        if kind == "string_value":
            result = value.string_value
        elif kind == "number_value":
            result = self._read_number(value.number_value, path)
        elif kind == "bool_value":
            result = value.bool_value
        elif kind is None:
            self._refuse(path, "Has no value; send a null value if that is meant.")
        elif kind != "null_value" and depth == DEPTH_MAX:
            self._refuse(path, _TOO_DEEP)
        elif kind == "struct_value":
            result = self.read_object(value.struct_value, path, depth + 1)
        elif kind == "list_value":
            result = self._read_list(value.list_value, path, depth + 1)
        return result

    def _read_number(self, number: float, path: str) -> int | float:
        if not math.isfinite(number):
            self._refuse(path, "Must be a finite number.")
        elif number.is_integer():
            if abs(number) >= INTEGER_LIMIT:
                self._refuse(path, _TOO_GREAT)
            return int(number)
        return number

    def _refuse(self, path: str, description: str) -> None:
        if len(self.violations) == VIOLATIONS_MAX:
            raise _LimitReachedError(_TOO_MANY_VIOLATIONS)
        self.violations.append(FieldViolation(path, description))


def _key(item: tuple[str, Value]) -> str:
    return item[0]


def _set(target: Value, value: JsonValue) -> None:
    if value is None:
        target.null_value = NULL_VALUE
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = well_formed(value)
    elif isinstance(value, Mapping):
        target.struct_value.SetInParent()
        for key, inner in value.items():
            _set(target.struct_value.fields[well_formed(key)], inner)
    else:
        target.list_value.SetInParent()
        for inner in value:
            _set(target.list_value.values.add(), inner)
