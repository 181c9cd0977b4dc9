"""Small changes at random: of bytes, of texts and of JSON. All randomness comes from the caller."""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from tests.mapping.damaged import JUNK
from tests.transport.wire import varint

TEXTS: Final = (
    *("", " ", "x", "0", "-1", "1/../2", "../../users", "%2e%2e%2f", "//elsewhere.example/"),
    *("a\r\nX-Injected: 1", "a\nb", "\x00", "\x1b[2J\x1b]0;x\x07", "\x7f\x9b", "{step_id}", "%s%n"),
    *("\u202e\u2066", "\u200b\ufeff", "\u0661\u0662", "\U0001f469\u200d\U0001f467", "é" * 300),
    *("<script>alert(1)</script>", "&lt;b&gt;", "&#" + "9" * 5000 + ";", "&amp;" * 50, "<" * 400),
    *("__proto__", "$", "$ref", "api_key", "id", "\u2028", "A" * 1000, "9" * 400, "2030-01-01"),
    *("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+14:00", "NaN", "1e309", "null", "'; --"),
    *("x@example.com", "a" * 250 + "@b", "5d0f9a3e-27c4-4b8a-9f16-e83b1c6d7042", "4711", "f" * 24),
    *(
        "interval",
        "date",
        "https://elsewhere.example/?page[after]=abc",
        "?page[after]=" + "c" * 3900,
    ),
)
NUMBERS: Final = (
    *(0, 1, -1, 2, 7, 50, 59, 60, 86_399, 86_400, 157_680_000, 157_680_001, 1000, 1001),
    *(2**31 - 1, 2**31, -(2**31), 2**32, 2**53 - 1, 2**53, 2**63 - 1, 2**63, -(2**63), 2**64 - 1),
)
FLOATS: Final = (
    *(0.0, -0.0, 1.0, 1.5, -1.0, 2.0**53, 2.0**53 - 1, 1e308, 5e-324),
    *(float("nan"), float("inf"), float("-inf"), 0.1),
)
_HALF_PAIRS: Final = ("\ud800", "a\udfffb", "\udc00\ud800")
"""Half surrogate pairs: JSON can bring them, and protobuf cannot."""

_VALUES: Final = (*JUNK, *TEXTS, *NUMBERS, *FLOATS, 10**400, {"id": 1}, [{"id": "f" * 24}])


def text(random: Random) -> str:
    """Return a text that has hurt somebody, or a mixture of several."""
    pieces = [random.choice(TEXTS) for _ in range(random.choice((1, 1, 1, 2, 3)))]
    if random.random() < 0.2:
        pieces.append("".join(chr(_code_point(random)) for _ in range(random.randrange(20))))
    return "".join(pieces)


def _code_point(random: Random) -> int:
    """Return any character but half a surrogate pair, which no protobuf text has."""
    code_point = random.choice((random.randrange(0x80), random.randrange(0x110000)))
    return 0x20 if 0xD800 <= code_point <= 0xDFFF else code_point


def changed_bytes(random: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """Return `raw` after a few changes; parts of `others` may get in."""
    data = bytearray(raw)
    for _ in range(random.choice((1, 1, 1, 1, 2, 4))):
        random.choice(_BYTE_CHANGES)(random, data, others)
    return bytes(data)


def _place(random: Random, data: bytearray) -> int:
    return random.randrange(len(data) + 1)


def _flip(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _truncate(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[_place(random, data) :]


def _cut_out(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    start = _place(random, data)
    del data[start : start + random.randrange(16)]


def _double(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    start = _place(random, data)
    data[start:start] = data[start : start + random.randrange(64)]


def _splice(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    other = random.choice(others)
    start = random.randrange(len(other) + 1)
    place = _place(random, data)
    data[place : place + random.randrange(8)] = other[start : start + random.randrange(64)]


def _random_bytes(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    place = _place(random, data)
    data[place : place + random.randrange(4)] = random.randbytes(random.randrange(8))


def _varint(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    place = _place(random, data)
    data[place : place + random.randrange(3)] = varint(random.choice(NUMBERS))


def _long_varint(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    data[_place(random, data) :] += b"\x80" * random.randrange(12)


def _known_text(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    data[_place(random, data) :] = text(random).encode()


_BYTE_CHANGES: Final[Sequence[Callable[[Random, bytearray, Sequence[bytes]], None]]] = (
    *(_flip, _flip, _truncate, _cut_out, _double, _splice),
    *(_random_bytes, _varint, _long_varint, _known_text),
)


def changed_json(random: Random, value: Any) -> Any:
    """Return a copy of a JSON value with one thing in it changed, at any depth."""
    copy = json.loads(json.dumps(value))
    if isinstance(copy, dict) and random.random() < 0.1:
        return {**copy, **_known_members(random)}
    places = [place for place in _places(copy) if place[0]]
    if not places or random.random() < 0.05:
        return random.choice(_VALUES)
    container, key = random.choice(places)
    _change(random, container, key, places)
    return copy


def _known_members(random: Random) -> dict[str, Any]:
    """Return members that vendors' lists and errors have, and that the good answers lack."""
    return random.choice(
        (
            {"links": {"next": "https://elsewhere.example/x?page[after]=" + text(random)}},
            {"links": {"next": random.choice(_VALUES)}},
            {"metadata": {"paging": {"next_page": random.choice(_VALUES)}}},
            {"errors": [{"detail": text(random), "source": {"pointer": text(random)}}] * 3},
            {"emailer_campaign": {"num_steps": random.choice(_VALUES)}, "emailer_steps": None},
            {"data": {"current_state": text(random), "archived_at": random.choice(_VALUES)}},
        )
    )


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every container in a value with each of its keys."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict | list):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        found += [(value, key) for key in keys]
        for key in keys:
            found += _places(value[key])
    return found


def _change(random: Random, container: Any, key: Any, places: list[tuple[Any, Any]]) -> None:
    other_container, other_key = random.choice(places)
    match random.randrange(10):
        case 0:
            del container[key]
        case 1:
            container[key] = json.loads(json.dumps(other_container[other_key]))
        case 2 if isinstance(container, dict):
            container[random.choice(TEXTS)] = container.pop(key)
        case 3 if isinstance(container, list):
            container += [container[key]] * random.choice((1, 10, 100))
        case 4:
            container[key] = [container[key]]
        case 5:
            container[key] = _deep(random.choice((5, 63, 64, 200)), container[key])
        case 6 | 7:
            container[key] = _alike(random, container[key])
        case _:
            container[key] = random.choice(_VALUES)


def _alike(random: Random, value: Any) -> Any:
    """Return another value of the same type, where there are such."""
    match value:
        case str():
            return random.choice((text(random), random.choice(_HALF_PAIRS)))
        case int() | float():
            return random.choice((random.choice((*NUMBERS, *FLOATS)), 10**30, 10**400))
        case _:
            return random.choice(_VALUES)


def _deep(levels: int, value: Any) -> Any:
    for _ in range(levels):
        value = {"a": value}
    return value
