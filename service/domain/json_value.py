"""The types of JSON, and how a value that came from outside is read without trust."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

JsonValue: TypeAlias = (
    "Mapping[str, JsonValue] | Sequence[JsonValue] | str | int | float | bool | None"
)
JsonObject: TypeAlias = Mapping[str, JsonValue]


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
