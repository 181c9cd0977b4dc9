"""What a fault does to one request: one dataclass for each kind, whose fields are its parameters.

An effect is always played in this order: wait `before_seconds`, let the vendor apply the request
(or not), wait `after_seconds`, answer (or not). What the request makes is hidden from reads for
`hidden_seconds` and then for `hidden_reads` reads. A client that gives up meanwhile changes
nothing: the request is still applied, as at a real vendor.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sandbox.clock import RetryAfter, RetryAfterForm
from sandbox.messages import Answer, json_answer, text_answer
from sandbox.strict_json import JsonMismatchError

if TYPE_CHECKING:
    from sandbox.exchange import Exchange
    from sandbox.wire import Wire

FINAL_STATUSES = range(200, 600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The parameters of every kind. This one leaves the vendor's answer as it is."""

    kind: ClassVar[str] = "none"
    before_seconds: float = 0.0
    after_seconds: float = 0.0
    hidden_seconds: float = 0.0
    hidden_reads: int = 0

    @property
    def applies(self) -> bool:
        """Whether the vendor applies the request before it is answered."""
        return True

    async def play(self, exchange: Exchange) -> None:
        """Takes one request from its arrival to its end."""
        exchange.hide_what_is_made(self.hidden_seconds, self.hidden_reads)
        await _wait(self.before_seconds)
        answer = exchange.apply() if self.applies else Answer(200)
        await _wait(self.after_seconds)
        await self.deliver(exchange, answer)

    async def deliver(self, exchange: Exchange, answer: Answer) -> None:
        """Answers, given what the vendor would answer."""
        await exchange.send(answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced(Effect, ABC):
    """Base of the answers that somebody else gives, before the vendor has acted or after it."""

    when: Literal["before", "after"] = "before"

    @property
    def applies(self) -> bool:
        """Only when it comes after."""
        return self.when == "after"

    async def deliver(self, exchange: Exchange, _answer: Answer) -> None:
        """The vendor's answer is lost."""
        await exchange.send(self.replacement(exchange))

    @abstractmethod
    def replacement(self, exchange: Exchange) -> Answer:
        """Returns what goes out instead of the vendor's answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Replaced):
    """Any status with any body: text, JSON to be written out, or else a plain HTML page."""

    kind: ClassVar[str] = "status"
    status: int
    body: Any = None
    content_type: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Keeps to what HTTP has as a final status."""
        _demand(self.status in FINAL_STATUSES, "fault.status: must be between 200 and 599")

    def replacement(self, _exchange: Exchange) -> Answer:
        """The answer asked for."""
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
class RateLimited(Replaced):
    """The vendor's 429, with any form of Retry-After."""

    kind: ClassVar[str] = "rate_limited"
    retry_after: RetryAfterForm = "seconds"
    retry_after_seconds: float = 1.0

    def replacement(self, exchange: Exchange) -> Answer:
        """429 in the vendor's words."""
        retry_after = RetryAfter(self.retry_after, exchange.clock(), self.retry_after_seconds)
        return exchange.vendor.rate_limited(exchange.request, retry_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance(Replaced):
    """Outreach's 503 for scheduled maintenance [doc: the id and the ISO 8601 Retry-After]."""

    kind: ClassVar[str] = "maintenance"
    retry_after: RetryAfterForm = "iso8601"
    retry_after_seconds: float = 1.0

    def replacement(self, exchange: Exchange) -> Answer:
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
class Redirect(Replaced):
    """A redirect, to another path or another host."""

    kind: ClassVar[str] = "redirect"
    location: str
    status: Literal[301, 302, 303, 307, 308] = 302

    def replacement(self, _exchange: Exchange) -> Answer:
        """No body, only the location."""
        return Answer(self.status, b"", {"location": self.location})


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered(Effect, ABC):
    """Base of the ends without an answer, before the vendor has acted or after it."""

    when: Literal["before", "after"] = "before"

    @property
    def applies(self) -> bool:
        """Only when it comes after."""
        return self.when == "after"

    async def deliver(self, exchange: Exchange, _answer: Answer) -> None:
        """The log shows no status."""
        await self.end(exchange.wire)

    @abstractmethod
    async def end(self, wire: Wire) -> None:
        """Ends the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Close(Unanswered):
    """The connection ends without a byte."""

    kind: ClassVar[str] = "close"

    async def end(self, wire: Wire) -> None:
        """FIN."""
        await wire.end()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(Unanswered):
    """The connection is reset without a byte."""

    kind: ClassVar[str] = "reset"

    async def end(self, wire: Wire) -> None:
        """RST."""
        await wire.end(reset=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage(Unanswered):
    """Bytes that are not HTTP, then the end."""

    kind: ClassVar[str] = "garbage"
    text: str = "\x16\x03\x01 this is not HTTP\r\n\r\n"

    async def end(self, wire: Wire) -> None:
        """Written to the socket as they are."""
        await wire.send_raw(self.text.encode("latin-1", "replace"))


@dataclass(frozen=True, slots=True, kw_only=True)
class LateApply(Effect):
    """The connection ends without a byte, and the request is applied some time after that."""

    kind: ClassVar[str] = "late_apply"
    late_seconds: float = 1.0

    @property
    def applies(self) -> bool:
        """Not yet."""
        return False

    async def deliver(self, exchange: Exchange, _answer: Answer) -> None:
        """The log shows `applied` once it has happened."""
        asyncio.get_running_loop().call_later(self.late_seconds, exchange.apply)
        await exchange.wire.end()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetMidBody(Effect):
    """The head and the first half of the body, then a reset."""

    kind: ClassVar[str] = "reset_mid_body"

    async def deliver(self, exchange: Exchange, answer: Answer) -> None:
        """The client sees the head, so the log shows its status."""
        exchange.note_status(answer.status)
        await exchange.wire.send_part_and_reset(answer, len(answer.body) // 2)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoilt(Effect, ABC):
    """Base of the answers that are the vendor's but for one thing; the request was applied."""

    async def deliver(self, exchange: Exchange, answer: Answer) -> None:
        """Sends the spoilt answer in the vendor's place."""
        await exchange.send(self.spoil(answer))

    @abstractmethod
    def spoil(self, answer: Answer) -> Answer:
        """Returns the vendor's answer with its fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongContentType(Spoilt):
    """The vendor's status with an HTML page, as a proxy in between makes it."""

    kind: ClassVar[str] = "wrong_content_type"
    body: str = "<html><body>Please sign in.</body></html>"

    def spoil(self, answer: Answer) -> Answer:
        """Status and other headers stay."""
        page = text_answer(answer.status, self.body, "text/html; charset=utf-8")
        return Answer(page.status, page.body, answer.headers | page.headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableJson(Spoilt):
    """The vendor's answer, cut off in the middle though its length is right."""

    kind: ClassVar[str] = "unreadable_json"

    def spoil(self, answer: Answer) -> Answer:
        """The first half of the body."""
        return Answer(answer.status, answer.body[: len(answer.body) // 2], answer.headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoId(Spoilt):
    """The vendor's answer without any member named `id`."""

    kind: ClassVar[str] = "no_id"

    def spoil(self, answer: Answer) -> Answer:
        """Taken out at every depth; an answer that is no JSON has none."""
        try:
            value = json.loads(answer.body)
        except ValueError:
            return answer
        return Answer(answer.status, json.dumps(_without_ids(value)).encode(), answer.headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class HugeBody(Spoilt):
    """JSON of more than `bytes` bytes; with `gzip` small on the wire and huge once unpacked."""

    kind: ClassVar[str] = "huge_body"
    bytes: int = 2 * 1024 * 1024
    gzip: bool = False

    def spoil(self, answer: Answer) -> Answer:
        """The vendor's answer, with a long member put in front."""
        filler = b'{"filler":"' + b"a" * self.bytes + b'",'
        body = filler + (answer.body[1:] if answer.body[:1] == b"{" else b'"end":true}')
        if not self.gzip:
            return Answer(answer.status, body, answer.headers)
        packed = gzip.compress(body, mtime=0)
        return Answer(answer.status, packed, answer.headers | {"content-encoding": "gzip"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepJson(Spoilt):
    """JSON arrays in arrays, deep enough to exhaust a recursive parser."""

    kind: ClassVar[str] = "deep_json"
    depth: int = 100_000

    def spoil(self, answer: Answer) -> Answer:
        """Well-formed, and under `data`."""
        body = b'{"data":' + b"[" * self.depth + b"]" * self.depth + b"}"
        return Answer(answer.status, body, answer.headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCookie(Spoilt):
    """The vendor's answer with a cookie, which nobody should keep."""

    kind: ClassVar[str] = "set_cookie"
    cookie: str = "session=sandbox; Path=/"

    def spoil(self, answer: Answer) -> Answer:
        """One more header."""
        return Answer(answer.status, answer.body, answer.headers | {"set-cookie": self.cookie})


@dataclass(frozen=True, slots=True, kw_only=True)
class HugeHeader(Spoilt):
    """The vendor's answer with one header of `bytes` bytes."""

    kind: ClassVar[str] = "huge_header"
    bytes: int = 128 * 1024

    def spoil(self, answer: Answer) -> Answer:
        """One more header."""
        return Answer(answer.status, answer.body, answer.headers | {"x-filler": "a" * self.bytes})


KINDS: dict[str, type[Effect]] = {
    effect.kind: effect
    for effect in (
        *(Effect, Status, RateLimited, Maintenance, Redirect, Close, Reset, Garbage, LateApply),
        *(ResetMidBody, Drip, WrongContentType, UnreadableJson, NoId, HugeBody, DeepJson),
        *(SetCookie, HugeHeader),
    )
}


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
