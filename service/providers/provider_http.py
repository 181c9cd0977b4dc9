"""The one HTTP client for all providers: sends a request at most once and says what is known.

A write has no idempotency key, so a failure must say whether the provider can have acted:

    send()
    ├── ProviderAnswer     status and headers were read; `flaw` says why a body cannot be trusted
    ├── NotSent            the request was never given a connection: no byte of it went out
    ├── AnswerLost         every other failure, foreseen or not
    └── CancelledError     the caller's own cancellation, which says as little as AnswerLost

The split rests on one fact, whether the request was given a connection, not on the names of
exceptions. httpx reads URLs and says which certificates to trust; `http_pool` and
`http_connection` move the bytes, since the libraries that do send some requests again by
themselves, or take an answer that was lost after the provider read the request for a failure to
connect.
"""

import asyncio
import re
import zlib
from functools import lru_cache
from typing import Final, NamedTuple

import httpx

from service.application.clock import boot_seconds
from service.domain.provider_call import NotSent, ProviderAnswer, ProviderRequest
from service.providers.http_connection import (
    ANSWER_BYTES_MAX,
    FLAW_TOO_LARGE,
    RawAnswer,
    RawHeaders,
)
from service.providers.http_pool import CONNECTIONS_PER_HOST_MAX, HttpPool, Origin

FLAW_ENCODING: Final = "content encoding is broken"
FLAW_CONTENT_TYPE: Final = "content type is not JSON"

_JSON: Final = re.compile(r"[a-z]+/([a-z0-9.-]+\+)?json\s*(;.*)?", re.IGNORECASE)
_GZIP_WINDOW_BITS: Final = 16 + zlib.MAX_WBITS
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_DEFAULT_LINES: Final = (b"accept-encoding: gzip", b"user-agent: sequence-step-service")
_WITHOUT_BODY: Final = frozenset({"GET", "DELETE"})
_URL: Final = re.compile(r"(https?://[^/?#]+)(/[!-\"$-~]*)")
"""An origin, and what is asked for there, in the characters that may stand in a request."""

_ORIGINS_KEPT: Final = 64
"""Those of the settings are fewer."""


class ProviderHttp:
    """Sends requests to providers over kept-alive connections; to be made in the running loop.

    Redirects are answers, cookies are dropped, and no proxy or netrc is taken from the
    environment. Certificates are checked against certifi's authorities, or against those in
    `SSL_CERT_FILE` where that is set. Plain HTTP is spoken to loopback addresses alone.
    """

    def __init__(self, connections_per_host_max: int = CONNECTIONS_PER_HOST_MAX) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = HttpPool(self._loop, connections_per_host_max)

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
        end_by_seconds = self._loop.time() + timeout_seconds
        target = _target(request.url)
        data = _to_bytes(request, target)
        connection = await self._pool.take(target.origin, end_by_seconds)
        if start_by_seconds is not None and boot_seconds() > start_by_seconds:
            connection.abort()
            raise NotSent("too late to start")
        return _read(await connection.exchange(data, end_by_seconds))

    async def aclose(self) -> None:
        """Close every connection; calls that are still under way fail as they stand."""
        await self._pool.aclose()


class _Target(NamedTuple):
    """What a URL says, as it is sent."""

    origin: Origin
    host: bytes
    path: bytes


def _target(url: str) -> _Target:
    parts = _URL.fullmatch(url)
    if parts is None:
        raise NotSent("the URL is not valid")
    origin, host = _origin(parts[1])
    return _Target(origin, host, parts[2].encode("ascii"))


@lru_cache(maxsize=_ORIGINS_KEPT)
def _origin(url: str) -> tuple[Origin, bytes]:
    """Return where a URL leads, and what the `Host` header says of it."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise NotSent("the URL is not valid") from None
    port = parsed.port or _DEFAULT_PORTS[parsed.scheme]
    return Origin(parsed.scheme, parsed.raw_host.decode("ascii"), port), parsed.netloc


def _to_bytes(request: ProviderRequest, target: _Target) -> bytes:
    """Write a request out, or refuse what would be read as something else."""
    lines = [
        b"%b %b HTTP/1.1" % (request.method.encode("ascii"), target.path),
        b"host: " + target.host,
        *_DEFAULT_LINES,
    ]
    for name, value in request.headers.items():
        if not (value.isascii() and value.isprintable()):
            raise NotSent("a header holds a character that cannot be sent")
        lines.append(f"{name}: {value}".encode("ascii"))
    body = request.body or b""
    if body or request.method not in _WITHOUT_BODY:
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join((*lines, b"", body))


def _read(raw: RawAnswer) -> ProviderAnswer:
    headers = _headers(raw.headers)
    body, flaw = raw.body, raw.flaw
    if body:
        body, flaw = _decode(body, headers.get("content-encoding", "identity"))
    if body and httpx.codes.is_success(raw.status) and not _says_json(headers.get("content-type")):
        body, flaw = b"", FLAW_CONTENT_TYPE
    return ProviderAnswer(raw.status, headers, body, flaw)


def _headers(raw: RawHeaders) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _says_json(content_type: str | None) -> bool:
    """Whether an answer is JSON by its own word; one without a word may be."""
    return content_type is None or _JSON.fullmatch(content_type) is not None


def _decode(received: bytes, encoding: str) -> tuple[bytes, str]:
    """Undo gzip, the one encoding that is asked for, without ever making more than the limit."""
    if encoding == "identity":
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
