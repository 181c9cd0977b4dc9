"""One input as data: what is sent, and which answers are damaged. Made from a seed and numbers.

An input's lineage is a row of numbers: the first makes an input from nothing, each later one
changes what the one before it made. So the seed and the lineage alone make every input again.
"""

import enum
import gzip
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any, Final

from service.domain.step import ProviderName
from service.providers.registry import PROVIDERS
from tests.fuzz import mutations
from tests.fuzz.messages import changed_message, good_messages

Metadata = tuple[tuple[str, str | bytes], ...]
Lineage = tuple[int, ...]


class Kind(enum.StrEnum):
    """What an input attacks."""

    BYTES = "request bytes"
    FIELDS = "request fields"
    METADATA = "metadata"
    ANSWERS = "provider answers"
    TOKENS = "token answers"
    GRPC = "request bytes and metadata, over a socket"
    HTTP = "provider answers, over a socket"


_WEIGHTS: Final = {
    Kind.BYTES: 18,
    Kind.FIELDS: 22,
    Kind.METADATA: 8,
    Kind.ANSWERS: 34,
    Kind.TOKENS: 10,
    Kind.GRPC: 4,
    Kind.HTTP: 4,
}
SOCKET_KINDS: Final = frozenset({Kind.GRPC, Kind.HTTP})

CUSTOMER: Final = "{customer}"
EVERY_ANSWER: Final = -1
_DEADLINES_SECONDS: Final = (*[None] * 8, 60.0, 30.0, 10.0, 3.0, 0.5)


@dataclass(frozen=True, slots=True)
class FuzzInput:
    """Everything that an input is."""

    kind: Kind
    provider: ProviderName
    raw: bytes
    metadata: Metadata
    damage: tuple[tuple[int, int], ...] = ()
    """Which of the provider's answers are damaged, with the seed of each damage."""

    token_damage: int | None = None
    """The seed of what is done to the token endpoint's answer; the token has expired then."""

    answer: bytes = b""
    """The bytes of an HTTP answer, where they go over a socket."""

    deadline_seconds: float | None = None


def make(seed: int, lineage: Lineage) -> FuzzInput:
    """Return the input of a lineage."""
    first, *changes = lineage
    made = _from_nothing(_random(seed, first))
    for number in changes:
        made = _changed(_random(seed, number), made)
    return made


def _random(seed: int, number: int) -> Random:
    return Random(f"{seed}.{number}")  # noqa: S311 - it has to be the same again


@cache
def _good(provider: ProviderName) -> tuple[bytes, ...]:
    return tuple(good_messages(provider))


def _from_nothing(random: Random) -> FuzzInput:
    kind = random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    providers = [*PROVIDERS]
    if kind is Kind.TOKENS:
        providers.remove(ProviderName("apollo"))  # It has no token endpoint.
    provider = random.choice(providers)
    metadata = (("x-customer-id", CUSTOMER), ("x-provider-name", provider))
    plain = FuzzInput(kind, provider, random.choice(_good(provider)), metadata)
    return _changed(random, plain)


def _changed(random: Random, made: FuzzInput) -> FuzzInput:
    """Return the input with one more change, in what its kind is about."""
    changes: dict[str, Any]
    match made.kind:
        case Kind.BYTES:
            others = _good(random.choice([*PROVIDERS]))
            changes = {"raw": mutations.changed_bytes(random, made.raw, others)}
        case Kind.FIELDS:
            changes = {"raw": changed_message(random, made.raw), "damage": _damage(random, made)}
        case Kind.METADATA:
            changes = {"metadata": _changed_metadata(random, made.metadata)}
        case Kind.ANSWERS:
            changes = {
                "raw": changed_message(random, made.raw) if random.random() < 0.3 else made.raw,
                "damage": (*_damage(random, made), _one_damage(random)),
                "deadline_seconds": random.choice(_DEADLINES_SECONDS),
            }
        case Kind.TOKENS:
            changes = {"token_damage": random.getrandbits(32)}
        case Kind.GRPC:
            changes = {
                "raw": mutations.changed_bytes(random, made.raw, _good(made.provider)),
                "metadata": _changed_metadata(random, made.metadata),
            }
        case Kind.HTTP:
            answer = made.answer or random.choice(_HTTP_ANSWERS)
            changes = {"answer": _changed_http(random, answer)}
    return replace(made, **changes)


def _damage(random: Random, made: FuzzInput) -> tuple[tuple[int, int], ...]:
    """Return what is damaged already, but for the oldest, and perhaps one more."""
    more = (_one_damage(random),) if random.random() < 0.3 else ()
    return (*made.damage[-3:], *more)


def _one_damage(random: Random) -> tuple[int, int]:
    return random.choice((EVERY_ANSWER, *range(6))), random.getrandbits(32)


_CHUNKS: Final = b'd\r\n{"data": [1]}\r\n0\r\nX-Trailer: 1\r\n\r\n'
_PACKED: Final = gzip.compress(b"{}", mtime=0)
_HTTP_ANSWERS: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n" + _CHUNKS,
    b"HTTP/1.1 429 Too Many\r\nRetry-After: 5\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + _PACKED,
    b"HTTP/1.0 500 No\r\nConnection: close\r\nContent-Type: text/html\r\n\r\n<html>no</html>",
)
_HTTP_LINES: Final = (
    *(b"Content-Length: 0", b"Content-Length: -1", b"Content-Length: 99", b"Content-Length: +2"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Connection: close"),
    *(
        b"Content-Encoding: gzip",
        b"Content-Encoding: br",
        b"Content-Type: text/html",
        b"Upgrade: x",
    ),
    *(
        b" folded",
        b"No-Colon",
        b": no name",
        b"X-Null: \x00",
        b"X-High: \xff",
        b"X: " + b"y" * 9000,
    ),
)


def _changed_http(random: Random, answer: bytes) -> bytes:
    """Return the bytes of an answer with a line more in its head, or with changes anywhere."""
    if random.random() < 0.5:
        return mutations.changed_bytes(random, answer, _HTTP_ANSWERS)
    first, rest = answer.partition(b"\r\n")[::2]
    return b"\r\n".join((first, random.choice(_HTTP_LINES), rest))


def _changed_metadata(random: Random, metadata: Metadata) -> Metadata:
    entries = list(metadata)
    place = random.randrange(len(entries) + 1)
    value = _metadata_value(random)
    match random.randrange(6):
        case 0:
            del entries[place : place + 1]
        case 1:
            entries += entries[place : place + 1]
        case 2 if place < len(entries):
            name = entries[place][0]
            entries[place] = (name, value.encode() if name.endswith("-bin") else value)
        case 3:
            name = random.choice(("x-customer-id", "x-provider-name", "authorization", "host"))
            entries.insert(place, (name, value))
        case 4:
            entries.insert(place, ("x-customer-id-bin", random.randbytes(random.randrange(300))))
        case _:
            names = (f"x-{number}" for number in range(random.choice((1, 30, 100))))
            entries += [(name, value[:50]) for name in names]
    return tuple(entries)


def _metadata_value(random: Random) -> str:
    """Return a value such as gRPC lets through: printable ASCII."""
    if random.random() < 0.3:
        return random.choice(("OUTREACH", "apollo", "salesloft", "outreach ", CUSTOMER, "*"))
    return "".join(each for each in mutations.text(random) if " " <= each <= "~")[:4000]
