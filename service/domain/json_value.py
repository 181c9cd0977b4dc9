"""The types of JSON, and how a value that came from outside is read without trust."""

import json
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

JsonValue: TypeAlias = (
    "Mapping[str, JsonValue] | Sequence[JsonValue] | str | int | float | bool | None"
)
JsonObject: TypeAlias = Mapping[str, JsonValue]

JSON_DEPTH_MAX: Final = 64
"""Objects and lists inside one another, the whole included; no vendor's answer comes near it."""


def parse_json_object(raw: bytes) -> JsonObject | None:
    """Read a JSON object in UTF-8, of limited depth; None for anything else."""
    try:
        # Decoded here, since `json` would also guess other encodings.
        value = json.loads(raw.removeprefix(BOM_UTF8).decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    may_be_deep = raw.count(b"{") + raw.count(b"[") > JSON_DEPTH_MAX
    return None if may_be_deep and _is_too_deep(value) else value


def _is_too_deep(value: JsonObject) -> bool:
    level: list[Any] = [value]
    for _ in range(JSON_DEPTH_MAX):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def member(value: JsonValue, *path: str | int) -> JsonValue:
    """Return the value at `path`, or None where the shape is another one."""
    for key in path:
        # A dict first: to ask whether something is a Mapping takes long.
        if isinstance(key, str) and isinstance(value, dict | Mapping):
            value = value.get(key)
        elif isinstance(key, int) and isinstance(value, list) and key < len(value):
            value = value[key]
        else:
            return None
    return value


def items(value: JsonValue, *path: str | int) -> Sequence[JsonValue]:
    """Return the list at `path`, or an empty one where the shape is another one."""
    found = member(value, *path)
    return found if isinstance(found, list) else ()


def text(value: JsonValue, *path: str | int) -> str:
    """Return the string at `path`, or an empty one where the shape is another one.

    JSON can hold halves of UTF-16 pairs, which no text that is sent on may have: they become `?`.
    """
    found = member(value, *path)
    if not isinstance(found, str):
        return ""
    return found if found.isascii() else found.encode(errors="replace").decode()
