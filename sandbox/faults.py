"""Faults: what can go wrong between a vendor and its client, to be switched on by a test.

Each kind is one dataclass; its fields are the parameters that the control interface takes. The
playing of a fault is always: wait `before_seconds`, let the vendor apply the request (or not), wait
`after_seconds`, change the answer, put it on the wire (or not). What the request makes is hidden
from reads for `hidden_seconds` and then for `hidden_reads` reads. A client that gives up while a
fault waits changes nothing: the request is still applied, as at a real vendor.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sandbox import strict_json
from sandbox.clock import RetryAfter, RetryAfterForm
from sandbox.messages import Answer, json_answer, text_answer
from sandbox.strict_json import JsonMismatchError

if TYPE_CHECKING:
    from sandbox.exchange import Exchange

FINAL_STATUSES = range(200, 600)
When = Literal["before", "after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a fault does to one request; this one has the parameters of all, and no more."""

    kind: ClassVar[str] = "none"
    before_seconds: float = 0.0
    after_seconds: float = 0.0
    hidden_seconds: float = 0.0
    hidden_reads: int = 0

    @property
    def applies(self) -> bool:
        """Whether the vendor applies the request before the answer is spoilt."""
        return True

    async def play(self, exchange: Exchange) -> None:
        """Plays the fault on one request, from its arrival to its end."""
        exchange.hide_what_is_made(self.hidden_seconds, self.hidden_reads)
        await _wait(self.before_seconds)
        answer = exchange.apply() if self.applies else Answer(200)
        await _wait(self.after_seconds)
        await self.deliver(exchange, self.change(exchange, answer))

    def change(self, exchange: Exchange, answer: Answer) -> Answer:  # noqa: ARG002
        """Returns the answer that goes out instead of the vendor's."""
        return answer

    async def deliver(self, exchange: Exchange, answer: Answer) -> None:
        """Puts the answer on the wire."""
        await exchange.send(answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeforeOrAfter(Effect):
    """Base of the faults that may come before the vendor applies the request, or after it."""

    when: When = "before"

    @property
    def applies(self) -> bool:
        """Only when the fault comes after."""
        return self.when == "after"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(BeforeOrAfter):
    """Any status with any body; `body` is text, or JSON to be written out."""

    kind: ClassVar[str] = "status"
    status: int
    body: Any = None
    content_type: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Keeps to what HTTP has as a final status."""
        _demand(self.status in FINAL_STATUSES, "fault.status: must be between 200 and 599")

    def change(self, exchange: Exchange, answer: Answer) -> Answer:  # noqa: ARG002
        """The answer asked for; a plain HTML page when no body is given."""
        if self.body is None:
            page = f"<html><body><h1>{self.status}</h1></body></html>"
            answer = text_answer(self.status, page, self.content_type or "text/html")
        elif isinstance(self.body, str):
            answer = text_answer(self.status, self.body, self.content_type or "text/plain")
        else:
            answer = json_answer(self.status, self.body, self.content_type or "application/json")
        answer.headers |= self.headers
        return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimited(BeforeOrAfter):
    """The vendor's 429, with any form of Retry-After."""

    kind: ClassVar[str] = "rate_limited"
    retry_after: RetryAfterForm = "seconds"
    retry_after_seconds: float = 1.0

    def change(self, exchange: Exchange, answer: Answer) -> Answer:  # noqa: ARG002
        """429 in the vendor's words."""
        retry_after = RetryAfter(self.retry_after, exchange.clock(), self.retry_after_seconds)
        return exchange.vendor.rate_limited(exchange.request, retry_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance(BeforeOrAfter):
    """Outreach's 503 for scheduled maintenance [doc: the id and the ISO 8601 Retry-After]."""

    kind: ClassVar[str] = "maintenance"
    retry_after: RetryAfterForm = "iso8601"
    retry_after_seconds: float = 1.0

    def change(self, exchange: Exchange, answer: Answer) -> Answer:
        """503 `scheduledServerMaintenance`."""
        error = {
            "id": "scheduledServerMaintenance",
            "title": "Scheduled Server Maintenance",
            "detail": "The server is down for scheduled maintenance.",
        }
        answer = json_answer(503, {"errors": [error]}, "application/vnd.api+json")
        retry_after = RetryAfter(self.retry_after, exchange.clock(), self.retry_after_seconds)
        answer.headers |= retry_after.headers
        return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect(BeforeOrAfter):
    """A redirect, to another path or another host."""

    kind: ClassVar[str] = "redirect"
    location: str
    status: Literal[301, 302, 303, 307, 308] = 302

    def change(self, exchange: Exchange, answer: Answer) -> Answer:  # noqa: ARG002
        """No body, only the location."""
        return Answer(self.status, b"", {"location": self.location})


@dataclass(frozen=True, slots=True, kw_only=True)
class Close(BeforeOrAfter):
    """The connection ends without a byte; with `when: after` the answer is lost."""

    kind: ClassVar[str] = "close"

    async def deliver(self, exchange: Exchange, answer: Answer) -> None:  # noqa: ARG002
        """FIN."""
        await exchange.wire.end()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(BeforeOrAfter):
    """The connection is reset without a byte."""

    kind: ClassVar[str] = "reset"

    async def deliver(self, exchange: Exchange, answer: Answer) -> None:  # noqa: ARG002
        """RST."""
        await exchange.wire.end(reset=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetMidBody(Effect):
    """The head and the first half of the body, then a reset."""

    kind: ClassVar[str] = "reset_mid_body"

    async def deliver(self, exchange: Exchange, answer: Answer) -> None:
        """The head was answered, so the status counts as answered."""
        exchange.note_status(answer.status)
        await exchange.wire.send_part_and_reset(answer, len(answer.body) // 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage(BeforeOrAfter):
    """Bytes that are not HTTP, then the end."""

    kind: ClassVar[str] = "garbage"
    text: str = "\x16\x03\x01 this is not HTTP\r\n\r\n"

    async def deliver(self, exchange: Exchange, answer: Answer) -> None:  # noqa: ARG002
        """Written to the socket as they are."""
        await exchange.wire.send_raw(self.text.encode("latin-1", "replace"))


@dataclass(frozen=True, slots=True, kw_only=True)
class LateApply(Effect):
    """The connection ends without a byte, and the request is applied some time after that."""

    kind: ClassVar[str] = "late_apply"
    late_seconds: float = 1.0

    @property
    def applies(self) -> bool:
        """Not yet."""
        return False

    async def deliver(self, exchange: Exchange, answer: Answer) -> None:  # noqa: ARG002
        """The log shows `applied` once it has happened."""
        asyncio.get_running_loop().call_later(self.late_seconds, exchange.apply)
        await exchange.wire.end()


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongContentType(Effect):
    """The vendor's status with an HTML page, as a proxy in between makes it."""

    kind: ClassVar[str] = "wrong_content_type"
    body: str = "<html><body>Please sign in.</body></html>"

    def change(self, exchange: Exchange, answer: Answer) -> Answer:  # noqa: ARG002
        """Status and other headers stay."""
        page = text_answer(answer.status, self.body, "text/html; charset=utf-8")
        return Answer(page.status, page.body, answer.headers | page.headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableJson(Effect):
    """The vendor's answer, cut off in the middle though its length is right."""

    kind: ClassVar[str] = "unreadable_json"

    def change(self, exchange: Exchange, answer: Answer) -> Answer:  # noqa: ARG002
        """The first half of the body."""
        return Answer(answer.status, answer.body[: len(answer.body) // 2], answer.headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoId(Effect):
    """The vendor's answer without any member named `id`."""

    kind: ClassVar[str] = "no_id"

    def change(self, exchange: Exchange, answer: Answer) -> Answer:  # noqa: ARG002
        """Taken out at every depth."""
        try:
            value = json.loads(answer.body)
        except ValueError:
            return answer
        return Answer(answer.status, json.dumps(_without_ids(value)).encode(), answer.headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class HugeBody(Effect):
    """JSON of `bytes` bytes; with `gzip` it is small on the wire and huge once unpacked."""

    kind: ClassVar[str] = "huge_body"
    bytes: int = 2 * 1024 * 1024
    gzip: bool = False

    def change(self, exchange: Exchange, answer: Answer) -> Answer:  # noqa: ARG002
        """The vendor's answer, with a long member put in front."""
        filler = b'{"filler":"' + b"a" * self.bytes + b'",'
        body = filler + (answer.body[1:] if answer.body[:1] == b"{" else b'"end":true}')
        if not self.gzip:
            return Answer(answer.status, body, answer.headers)
        packed = gzip.compress(body, mtime=0)
        return Answer(answer.status, packed, answer.headers | {"content-encoding": "gzip"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepJson(Effect):
    """JSON arrays in arrays, deep enough to exhaust a recursive parser."""

    kind: ClassVar[str] = "deep_json"
    depth: int = 100_000

    def change(self, exchange: Exchange, answer: Answer) -> Answer:  # noqa: ARG002
        """Well-formed, and under `data`."""
        body = b'{"data":' + b"[" * self.depth + b"]" * self.depth + b"}"
        return Answer(answer.status, body, answer.headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCookie(Effect):
    """The vendor's answer with a cookie, which nobody should keep."""

    kind: ClassVar[str] = "set_cookie"
    cookie: str = "session=sandbox; Path=/"

    def change(self, exchange: Exchange, answer: Answer) -> Answer:  # noqa: ARG002
        """One more header."""
        return Answer(answer.status, answer.body, answer.headers | {"set-cookie": self.cookie})


@dataclass(frozen=True, slots=True, kw_only=True)
class HugeHeader(Effect):
    """The vendor's answer with one header of `bytes` bytes."""

    kind: ClassVar[str] = "huge_header"
    bytes: int = 100_000

    def change(self, exchange: Exchange, answer: Answer) -> Answer:  # noqa: ARG002
        """One more header."""
        return Answer(answer.status, answer.body, answer.headers | {"x-filler": "a" * self.bytes})


@dataclass(frozen=True, slots=True, kw_only=True)
class Drip(Effect):
    """The body comes in small pieces with a pause before each."""

    kind: ClassVar[str] = "drip"
    piece_bytes: int = 16
    pause_seconds: float = 0.05

    def __post_init__(self) -> None:
        """Without a piece there would be no end."""
        _demand(self.piece_bytes >= 1, "fault.piece_bytes: must be at least 1")

    async def deliver(self, exchange: Exchange, answer: Answer) -> None:
        """The head comes at once."""
        exchange.note_status(answer.status)
        await exchange.wire.send_slowly(answer, self.piece_bytes, self.pause_seconds)


KINDS: dict[str, type[Effect]] = {
    effect.kind: effect
    for effect in (
        *(Effect, Status, RateLimited, Maintenance, Redirect, Close, Reset, ResetMidBody, Garbage),
        *(LateApply, WrongContentType, UnreadableJson, NoId, HugeBody, DeepJson, SetCookie),
        *(HugeHeader, Drip),
    )
}


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests a fault meets: method and path (a regular expression, found anywhere).

    `times` is how often it happens; null is until it is removed.
    """

    method: str | None = None
    path: str | None = None
    times: int | None = 1

    def __post_init__(self) -> None:
        """Never is not a number of times."""
        _demand(self.times is None or self.times >= 1, "fault.times: must be at least 1, or null")


_MATCH_KEYS = ("method", "path", "times")


class Fault:
    """A fault that waits in an account for its requests."""

    def __init__(self, given: dict[str, Any], match: Match, effect: Effect) -> None:
        self.effect = effect
        self.remaining = match.times
        self._given = given
        self._method = match.method
        self._path = None if match.path is None else re.compile(match.path)

    def meets(self, method: str, path: str) -> bool:
        """Whether this request is one of its own."""
        return (self._method is None or self._method == method) and (
            self._path is None or self._path.search(path) is not None
        )

    def describe(self) -> dict[str, Any]:
        """What was given, and how often it is still to happen."""
        return {**self._given, "remaining": self.remaining}


def read_effect(value: object) -> Effect:
    """Reads `{"kind": …, parameters …}`.

    Raises:
        JsonMismatchError: the kind is unknown, or a parameter is.
    """
    if not isinstance(value, dict):
        raise JsonMismatchError("fault: must be an object")
    kind = KINDS.get(value.get("kind", ""))
    if kind is None:
        raise JsonMismatchError(f"fault.kind: must be one of {', '.join(sorted(KINDS))}")
    return strict_json.read(kind, {k: v for k, v in value.items() if k != "kind"}, "fault")


def read_fault(value: object) -> Fault:
    """Reads an effect together with what it is to meet.

    Raises:
        JsonMismatchError: see `read_effect`; also for a path that is no regular expression.
    """
    if not isinstance(value, dict):
        raise JsonMismatchError("fault: must be an object")
    effect = read_effect({key: item for key, item in value.items() if key not in _MATCH_KEYS})
    match = strict_json.read(
        Match, {key: value[key] for key in _MATCH_KEYS if key in value}, "fault"
    )
    try:
        return Fault(value, match, effect)
    except re.error as problem:
        raise JsonMismatchError(f"fault.path: {problem}") from problem


def take(faults: list[Fault], method: str, path: str) -> Effect | None:
    """Returns the effect of the first fault that meets the request, and counts it down."""
    for fault in faults:
        if not fault.meets(method, path):
            continue
        if fault.remaining is not None:
            fault.remaining -= 1
            if fault.remaining == 0:
                faults.remove(fault)
        return fault.effect
    return None


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_ids(item) for key, item in value.items() if key != "id"}
    if isinstance(value, list):
        return [_without_ids(item) for item in value]
    return value


def _demand(holds: bool, otherwise: str) -> None:  # noqa: FBT001  (a condition, not a switch)
    if not holds:
        raise JsonMismatchError(otherwise)


async def _wait(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)
