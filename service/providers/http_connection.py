"""One HTTP/1.1 connection to a provider: one exchange at a time, and what is known at its end.

llhttp reads the answers, as strictly as it can; every limit on what it reads is set here. Until
`exchange` is called no byte goes out, and what comes in before it ends the connection: it would be
read as the answer to the next request, which may be another customer's.
"""

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from typing import Final, cast

import httptools

from service.domain.provider_call import AnswerLost
from service.domain.value_class import value_class

ANSWER_BYTES_MAX: Final = 1024 * 1024
"""The largest body that is read, both as it travels and with its content encoding undone."""

HEAD_BYTES_MAX: Final = 16 * 1024
"""The largest head, with those of the interim answers before it."""

HEADERS_MAX: Final = 100

UNACKNOWLEDGED_MS_MAX: Final = 20_000
"""The kernel drops a connection, and what it still holds for it, after this long unacknowledged."""

FLAW_TOO_LARGE: Final = "larger than 1 MiB"
FLAW_BROKE_OFF: Final = "broke off"
FLAW_TIMED_OUT: Final = "timed out"

_BROKE_BEFORE_ANSWER: Final = "the connection broke before the answer"
_NOT_HTTP: Final = "the answer was not HTTP"
_NO_ANSWER: Final = "no answer in time"

_STATUS_MIN: Final = 100
_FINAL_STATUS_MIN: Final = 200
_SWITCHING_PROTOCOLS: Final = 101
_LINGER_ON_FOR_0_SECONDS: Final = struct.pack("ii", 1, 0)

RawHeaders = list[tuple[bytes, bytes]]


@value_class
class RawAnswer:
    """A status and headers that were read in full, and a body as it travelled.

    `flaw` says why the body cannot be trusted, or is empty; the body is empty then.
    """

    status: int
    headers: RawHeaders
    body: bytes
    flaw: str


class _Exchange:
    """The answer to one request, as it comes; the parser calls what begins with `on_`."""

    __slots__ = (
        "_body",
        "_head_bytes",
        "_headers",
        "_is_bad",
        "_is_until_close",
        "_parser",
        "_status",
        "_unread_bytes",
        "end",
        "may_follow",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.end: asyncio.Future[RawAnswer | AnswerLost] = loop.create_future()
        self.may_follow = False
        """Whether the connection can carry another exchange."""
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._status = 0
        """0 until the head of the answer itself was read."""
        self._headers: RawHeaders = []
        self._body = bytearray()
        self._head_bytes = 0
        self._unread_bytes = 0
        """Of what came before the end of the head."""
        self._is_until_close = True
        self._is_bad = False

    def take(self, data: bytes) -> None:
        """Read what came."""
        if not self._status:
            self._unread_bytes += len(data)
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._is_bad = True
        if self._is_bad:
            self.may_follow = False
            self._break_off(_NOT_HTTP)
        elif not self._status and self._unread_bytes > HEAD_BYTES_MAX:
            self._break_off(_NOT_HTTP)

    def connection_lost(self, error: Exception | None) -> None:
        """Take that nothing more will come, and why."""
        if self._status and self._is_until_close and error is None:
            self._answered(bytes(self._body))
        else:
            self._break_off(_BROKE_BEFORE_ANSWER)

    def time_out(self) -> None:
        """Take that nothing more is waited for."""
        if self._status:
            self._answered(b"", FLAW_TIMED_OUT)
        else:
            self._ended(AnswerLost(_NO_ANSWER))

    def let_go(self) -> None:
        """Let go of the parser, which holds on to this: nobody has to look for the two."""
        self._parser = None

    def on_message_begin(self) -> None:
        """Another answer begins: after an interim one that is right."""
        if self._status:
            self._is_bad = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; those that follow a body are of no use."""
        if self._status:
            return
        self._head_bytes += len(name) + len(value)
        if len(self._headers) == HEADERS_MAX or self._head_bytes > HEAD_BYTES_MAX:
            self._is_bad = True
            return
        self._headers.append((name, value))
        match name.lower():
            case b"content-length":
                self._is_until_close = False
            case b"transfer-encoding" if value.lower().endswith(b"chunked"):
                self._is_until_close = False

    def on_headers_complete(self) -> None:
        """See what kind of answer it is."""
        assert self._parser is not None
        status = self._parser.get_status_code()
        if self._is_bad:
            return
        if status >= _FINAL_STATUS_MIN:
            self._status = status
        elif status < _STATUS_MIN or status == _SWITCHING_PROTOCOLS:
            # After a switch to another protocol nobody says what became of the request.
            self._is_bad = True
        else:
            self._headers.clear()
            self._is_until_close = True

    def on_body(self, piece: bytes) -> None:
        """Keep a piece of the body, unless it grows too large."""
        if self.end.done():
            return
        self._body += piece
        if len(self._body) > ANSWER_BYTES_MAX:
            self._answered(b"", FLAW_TOO_LARGE)

    def on_message_complete(self) -> None:
        """Take the answer for whole, unless it is an interim one."""
        if self._status and not self._is_bad and not self.end.done():
            assert self._parser is not None
            self.may_follow = self._parser.should_keep_alive()
            self._answered(bytes(self._body))

    def _break_off(self, why_lost: str) -> None:
        if self._status:
            self._answered(b"", FLAW_BROKE_OFF)
        else:
            self._ended(AnswerLost(why_lost))

    def _answered(self, body: bytes, flaw: str = "") -> None:
        self._ended(RawAnswer(self._status, self._headers, body, flaw))

    def _ended(self, end: RawAnswer | AnswerLost) -> None:
        if not self.end.done():
            self.end.set_result(end)


class HttpConnection(asyncio.Protocol):
    """A connection, from when it is open; it says by itself when it can be used again."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        give_back: Callable[["HttpConnection"], None],
        forget: Callable[["HttpConnection"], None],
    ) -> None:
        """Take what is called after an exchange that leaves it usable, and when it is gone."""
        self._loop = loop
        self._give_back = give_back
        self._forget = forget
        self._transport: asyncio.Transport | None = None
        self._exchange: _Exchange | None = None
        self.idle_since_seconds = 0.0
        """On the event loop's clock, when it was given back."""

    @property
    def was_opened(self) -> bool:
        """Whether it has been open; it is forgotten then once it is gone."""
        return self._transport is not None

    @property
    def is_usable(self) -> bool:
        """Whether a request can be sent on it, as far as anybody knows."""
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes, end_by_seconds: float) -> RawAnswer:
        """Send a request and read its answer, until a time on the event loop's clock.

        However it ends, nothing of the request is sent afterwards.

        Raises:
            AnswerLost: No status was read; the provider may have got the request.
        """
        assert self._transport is not None
        exchange = self._exchange = _Exchange(self._loop)
        timer = self._loop.call_at(end_by_seconds, exchange.time_out)
        try:
            self._transport.write(request)
            end = await exchange.end
        finally:
            timer.cancel()
            self._exchange = None
            exchange.let_go()
            if exchange.may_follow and self.is_usable:
                self._give_back(self)
            else:
                self.abort()
        if isinstance(end, AnswerLost):
            raise end
        return end

    def abort(self) -> None:
        """Close it, and forget what still waits to go out."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`. The kernel sends nothing on its own once we are gone."""
        self._transport = cast("asyncio.Transport", transport)
        made: socket.socket = transport.get_extra_info("socket")
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ON_FOR_0_SECONDS)
        if sys.platform == "linux":
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS_MAX)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._exchange is None:
            self.abort()
        else:
            self._exchange.take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self._exchange is not None:
            self._exchange.connection_lost(exc)
        self._forget(self)
