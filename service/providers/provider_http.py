"""The one HTTP client for all providers: sends a request at most once and says what is known.

A write has no idempotency key, so a failure must say whether the provider can have acted:

    send()
    ├── ProviderAnswer     status and headers were read; `flaw` says why a body cannot be trusted
    ├── NotSent            the request was never given a connection: no byte of it went out
    ├── AnswerLost         every other failure, foreseen or not
    └── CancelledError     the caller's own cancellation, which says as little as AnswerLost

The split rests on one fact, whether the request was given a connection, not on the names of
exceptions. `_SingleUseConnector` is the only place that gives a connection, once for each request.

httpx's types are spoken here and aiohttp moves the bytes. httpx's own pool looks at every one of
its connections for every request, and the published bridge between the two reports an answer that
was lost after the provider read the request as a failure to connect.
"""

import asyncio
import re
import socket
import struct
import sys
import zlib
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Final, cast

import aiohttp
import httpx
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from service.application.clock import boot_seconds
from service.domain.loopback import is_loopback
from service.domain.provider_call import AnswerLost, NotSent, ProviderAnswer, ProviderRequest

ANSWER_BYTES_MAX: Final = 1024 * 1024
"""The largest body that is read, both as it travels and with its content encoding undone."""

CONNECTIONS_PER_HOST_MAX: Final = 256
"""Unless told otherwise. There is no limit on all hosts together: they are few, those of the
settings, and one that hangs would use up what the others need."""

CONNECT_SECONDS_MAX: Final = 10
"""Longest wait for a free connection, or for name lookup, TCP and TLS; part of the call's time."""

KEEPALIVE_SECONDS: Final = 20
"""An idle connection is given up before gateways usually do, after 60 to 75 s [inferred]."""

UNACKNOWLEDGED_MS_MAX: Final = 20_000
"""The kernel drops a connection, and what it still holds for it, after this long unacknowledged."""

FLAW_TOO_LARGE: Final = "larger than 1 MiB"
FLAW_BROKE_OFF: Final = "broke off"
FLAW_TIMED_OUT: Final = "timed out"
FLAW_ENCODING: Final = "content encoding is broken"
FLAW_CONTENT_TYPE: Final = "content type is not JSON"

_FINAL_STATUS_MIN: Final = 200
_JSON: Final = re.compile(r"[a-z]+/([a-z0-9.-]+\+)?json\s*(;.*)?", re.IGNORECASE)
_NOT_HTTP: Final = "the answer was not HTTP"
_BROKE_BEFORE_ANSWER: Final = "the connection broke before the answer"
_GZIP_WINDOW_BITS: Final = 16 + zlib.MAX_WBITS
_LINGER_ON_FOR_0_SECONDS: Final = struct.pack("ii", 1, 0)


class ProviderHttp:
    """Sends requests to providers over kept-alive connections; to be made in the running loop.

    Redirects are answers, cookies are dropped, and no proxy or netrc is taken from the
    environment. Certificates are checked against certifi's authorities, or against those in
    `SSL_CERT_FILE` where that is set.
    """

    def __init__(self, connections_per_host_max: int = CONNECTIONS_PER_HOST_MAX) -> None:
        self._transport = _AiohttpTransport(connections_per_host_max)

    async def send(
        self,
        request: ProviderRequest,
        *,
        timeout_seconds: float,
        start_by_seconds: float | None = None,
    ) -> ProviderAnswer:
        """Send a request at most once and read its answer.

        `timeout_seconds` bounds the whole call, from the wait for a connection to the end of the
        body. `start_by_seconds` is a point on `boot_seconds()`: a request that gets its
        connection later is not sent.

        Raises:
            NotSent: No byte of the request reached the provider.
            AnswerLost: The request may have reached the provider, and no status was read.
        """
        end_by_seconds = asyncio.get_running_loop().time() + timeout_seconds
        response = await self._transport.handle_async_request(
            _to_httpx(request, end_by_seconds, start_by_seconds)
        )
        body, flaw = await _read_body(response, end_by_seconds)
        if body and response.is_success and not _says_json(response):
            body, flaw = b"", FLAW_CONTENT_TYPE
        return ProviderAnswer(response.status_code, dict(response.headers.items()), body, flaw)

    async def aclose(self) -> None:
        """Close every connection; calls that are still under way fail as they stand."""
        await self._transport.aclose()


def _to_httpx(
    request: ProviderRequest, end_by_seconds: float, start_by_seconds: float | None
) -> httpx.Request:
    """Refuse here what could only fail once the request has a connection, when it looks sent."""
    if not all(value.isascii() and value.isprintable() for value in request.headers.values()):
        raise NotSent("a header holds a character that cannot be sent")
    try:
        return httpx.Request(
            request.method,
            request.url,
            headers=request.headers,
            content=request.body,
            extensions={"end_by_seconds": end_by_seconds, "start_by_seconds": start_by_seconds},
        )
    except httpx.InvalidURL:
        raise NotSent("the URL is not valid") from None


def _says_json(response: httpx.Response) -> bool:
    """Whether an answer is JSON by its own word; one without a word may be."""
    content_type = response.headers.get("content-type")
    return content_type is None or _JSON.fullmatch(content_type) is not None


async def _read_body(response: httpx.Response, end_by_seconds: float) -> tuple[bytes, str]:
    """Read and decode the body; the second value is why it cannot be trusted, or empty."""
    stream = cast("_AnswerStream", response.stream)
    received = bytearray()
    try:
        async with asyncio.timeout_at(end_by_seconds):
            async for chunk in stream:
                received += chunk
                if len(received) > ANSWER_BYTES_MAX:
                    return b"", FLAW_TOO_LARGE
    except TimeoutError:
        return b"", FLAW_TIMED_OUT
    except Exception:  # noqa: BLE001 - the status counts, whatever happened to the body
        return b"", FLAW_BROKE_OFF
    finally:
        await stream.aclose()
    return _decode(bytes(received), response.headers.get("content-encoding", "identity"))


def _decode(received: bytes, encoding: str) -> tuple[bytes, str]:
    """Undo gzip, the one encoding that is asked for, without ever making more than the limit."""
    if not received or encoding == "identity":
        return received, ""
    if encoding not in {"gzip", "x-gzip"}:
        return b"", FLAW_ENCODING
    unpacker = zlib.decompressobj(wbits=_GZIP_WINDOW_BITS)
    try:
        body = unpacker.decompress(received, ANSWER_BYTES_MAX + 1)
    except zlib.error:
        return b"", FLAW_ENCODING
    if len(body) > ANSWER_BYTES_MAX:
        return b"", FLAW_TOO_LARGE
    if not unpacker.eof or unpacker.unused_data:
        return b"", FLAW_ENCODING
    return body, ""


class _Attempt:
    """One request on its way: what must hold before it starts, and its connection once it has."""

    __slots__ = ("host", "start_by_seconds", "transport")

    def __init__(self, host: str, start_by_seconds: float | None) -> None:
        self.host = host
        self.start_by_seconds = start_by_seconds
        self.transport: asyncio.Transport | None = None

    def take(self, connection: Connection) -> None:
        """Take the connection to send on.

        Raises:
            NotSent: It is too late, or the connection is not at the start of a fresh exchange.
        """
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None or protocol.should_close:
            # Bytes that came before the question would be read as the answer to it.
            raise NotSent("the connection was not clean")
        if self.start_by_seconds is not None and boot_seconds() > self.start_by_seconds:
            raise NotSent("too late to start")
        self.transport = transport

    def drop(self) -> None:
        """Forget the bytes that still wait to go out; closing alone would go on sending them."""
        if self.transport is not None:
            self.transport.abort()

    def failure(self, error: BaseException) -> NotSent | AnswerLost:
        """Say what an error means for the provider."""
        if isinstance(error, NotSent | AnswerLost):
            return error
        if self.transport is None:
            return NotSent(_why_not_sent(error))
        return AnswerLost(_why_lost(error))


def _why_not_sent(error: BaseException) -> str:
    match error:
        case TimeoutError():
            return "no connection in time"
        case aiohttp.ClientConnectorDNSError():
            return "the host name was not found"
        case aiohttp.ClientSSLError():
            return "TLS failed"
        case _:
            return "could not connect"


def _why_lost(error: BaseException) -> str:
    match error:
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ClientResponseError():
            return _NOT_HTTP
        case _:
            return _BROKE_BEFORE_ANSWER


def _caller_cancelled() -> bool:
    """Tell a cancellation of the calling task from one of something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


_current_attempt: ContextVar[_Attempt] = ContextVar("_current_attempt")
"""aiohttp passes nothing of ours to its connector, but runs it in the task of the call."""


class _SingleUseConnector(aiohttp.TCPConnector):
    """Gives each attempt one connection, and only where and when it may still be used."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> Connection:
        """Check what is about to be connected to, connect, and check once more."""
        attempt = _current_attempt.get()
        if attempt.transport is not None:
            # aiohttp sends a GET, PUT or DELETE again by itself when a kept-alive connection
            # breaks. A repeat is decided and journalled elsewhere.
            raise AnswerLost(_BROKE_BEFORE_ANSWER)
        key = req.connection_key
        if key.host != attempt.host or not (key.is_ssl or is_loopback(key.host)):
            raise NotSent("the address is not allowed")
        connection = await super().connect(req, traces, timeout)
        try:
            attempt.take(connection)
        except NotSent:
            connection.close()
            raise
        return connection


def _make_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Make a socket that never sends on its own once it, or this process, is gone."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ON_FOR_0_SECONDS)
    if sys.platform == "linux":
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS_MAX)
    return made


class _AiohttpTransport(httpx.AsyncBaseTransport):
    """Carries httpx's requests over one aiohttp session."""

    def __init__(self, connections_per_host_max: int) -> None:
        tls = httpx.create_ssl_context()
        tls.set_alpn_protocols(["http/1.1"])
        self._session = aiohttp.ClientSession(
            connector=_SingleUseConnector(
                ssl=tls,
                limit=0,
                limit_per_host=connections_per_host_max,
                keepalive_timeout=KEEPALIVE_SECONDS,
                socket_factory=_make_socket,
            ),
            headers={"User-Agent": "sequence-step-service", "Accept-Encoding": "gzip"},
            timeout=aiohttp.ClientTimeout(connect=CONNECT_SECONDS_MAX),
            # One customer's cookie would travel with the next one's request.
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            # aiohttp would unpack without a limit of ours.
            auto_decompress=False,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and read status and headers; the body is streamed.

        Raises:
            NotSent: See `ProviderHttp.send`.
            AnswerLost: Likewise.
        """
        attempt = _Attempt(
            request.url.raw_host.decode("ascii"), request.extensions["start_by_seconds"]
        )
        token = _current_attempt.set(attempt)
        try:
            async with asyncio.timeout_at(request.extensions["end_by_seconds"]):
                answer = await self._session.request(
                    request.method,
                    str(request.url),
                    headers=request.headers.multi_items(),
                    data=request.content or None,
                    allow_redirects=False,
                )
        except asyncio.CancelledError as error:
            attempt.drop()
            if _caller_cancelled():
                raise
            failure = attempt.failure(error)
        except Exception as error:  # noqa: BLE001 - the split does not depend on what it is
            attempt.drop()
            failure = attempt.failure(error)
        else:
            if answer.status >= _FINAL_STATUS_MIN:
                return httpx.Response(
                    answer.status, headers=answer.raw_headers, stream=_AnswerStream(answer)
                )
            # A switch to another protocol: what became of the request nobody says.
            answer.close()
            failure = AnswerLost(_NOT_HTTP)
        finally:
            _current_attempt.reset(token)
        # Raised out here so that nothing is chained: aiohttp's errors hold the request's headers.
        raise failure

    async def aclose(self) -> None:
        await self._session.close()


class _AnswerStream(httpx.AsyncByteStream):
    """The body of an answer as it travels, in the pieces in which it comes."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._answer.content.iter_any()

    async def aclose(self) -> None:
        """Close the connection, unless the body was read to its end and gave it back."""
        self._answer.close()
