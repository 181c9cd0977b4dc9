"""JSON as bytes: what providers are sent and answer, what is stored and logged.

By `orjson`, which takes a quarter of the standard library's time. It refuses halves of surrogate
pairs, which UTF-8 cannot hold, and vendors do cut texts in the middle of one: what it refuses, the
standard library may still take.
"""

import json
from codecs import BOM_UTF8
from collections.abc import Callable
from typing import Any, Final

import orjson

from service.domain.json_value import JsonObject

JSON_DEPTH_MAX: Final = 64
"""Objects and lists inside one another, the whole included; no vendor's answer comes near it."""


def json_bytes(value: object, default: Callable[[Any], Any] | None = None) -> bytes:
    """Return compact JSON; `default` says what becomes of a value that JSON has no form for.

    Raises:
        TypeError: there is no form, by `default` neither.
    """
    try:
        return quick_json_bytes(value, default)
    except orjson.JSONEncodeError:  # Then `default` is asked again, from the beginning.
        return json.dumps(value, separators=(",", ":"), default=default).encode()


def quick_json_bytes(value: object, default: Callable[[Any], Any] | None = None) -> bytes:
    """Return compact JSON as `json_bytes` does, where `orjson` can.

    Raises:
        TypeError: it cannot, or there is no form.
    """
    return orjson.dumps(value, default, orjson.OPT_PASSTHROUGH_DATACLASS)


def parse_json_object(raw: bytes) -> JsonObject | None:
    """Read a JSON object in UTF-8, of limited depth; None for anything else."""
    try:
        value = _parsed(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    may_be_deep = raw.count(b"{") + raw.count(b"[") > JSON_DEPTH_MAX
    return None if may_be_deep and _is_too_deep(value) else value


def _parsed(raw: bytes) -> object:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        # Decoded here, since `json` would also guess other encodings.
        return json.loads(raw.removeprefix(BOM_UTF8).decode())


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
