"""One request's connection: sends an answer, whole or in pieces, or ends without one.

ASGI has no word for "close the socket now". uvicorn makes one protocol object for each connection,
so `ConnectionProtocol` hands the application that connection's transport in the scope, under
`scope["extensions"]["sandbox.transport"]`. Nothing of uvicorn's own is changed.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from sandbox.messages import Answer

EXTENSION = "sandbox.transport"
REQUEST_BYTES_MOST = 16 * 1024 * 1024
_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_NO_LINGER = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time: closing sends RST instead of FIN."""


class ConnectionProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # chosen at run time
    """uvicorn's HTTP protocol, with its transport in the scope of each request."""

    app: ASGIApp

    def connection_made(self, transport: Any) -> None:
        """Wraps the application once per connection.

        asyncio switches Nagle's algorithm off only for sockets that name their protocol, which
        those of a listener that was handed over do not; with it on, head and body of an answer
        arrive 40 ms apart.
        """
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)
        application = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[EXTENSION] = transport
            await application(scope, receive, send)

        self.app = with_transport


class Wire:
    """What a vendor, healthy or not, can do with the connection of one request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._transport: asyncio.Transport = scope["extensions"][EXTENSION]
        self._receive = receive
        self._send = send

    async def read_body(self) -> bytes:
        """Reads the request's body; what is over 16 MiB is dropped."""
        message = await self._receive()
        body: bytes = message.get("body", b"")
        while message.get("more_body"):
            message = await self._receive()
            if len(body) < REQUEST_BYTES_MOST:
                body += message.get("body", b"")
        return body

    async def send(self, answer: Answer) -> None:
        """Sends an answer in one piece."""
        await self._start(answer)
        body = b"" if answer.status in _WITHOUT_BODY else answer.body
        await self._send({"type": "http.response.body", "body": body})

    async def send_slowly(self, answer: Answer, piece_bytes: int, pause_seconds: float) -> None:
        """Sends the head at once and the body in pieces, with a pause before each."""
        await self._start(answer)
        for start in range(0, len(answer.body), piece_bytes):
            await asyncio.sleep(pause_seconds)
            piece = answer.body[start : start + piece_bytes]
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._send({"type": "http.response.body"})

    async def send_part_and_reset(self, answer: Answer, part_bytes: int) -> None:
        """Sends the head, which promises the whole body, and the first bytes; then RST."""
        await self._start(answer)
        part = answer.body[:part_bytes]
        await self._send({"type": "http.response.body", "body": part, "more_body": True})
        await self.end(reset=True)

    async def send_raw(self, data: bytes) -> None:
        """Writes bytes that need not be HTTP, and closes."""
        self._transport.write(data)
        await self.end()

    async def end(self, *, reset: bool = False) -> None:
        """Closes the connection with FIN, or RST, and returns when it is closed.

        Waiting for it lets uvicorn see a connection that is gone rather than an application that
        forgot to answer.
        """
        if reset:
            connection: socket.socket = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self._transport.abort()
        else:
            self._transport.close()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _start(self, answer: Answer) -> None:
        headers = _encode(answer.headers.items())
        if answer.status not in _WITHOUT_BODY:
            headers.append((b"content-length", str(len(answer.body)).encode()))
        await self._send(
            {"type": "http.response.start", "status": answer.status, "headers": headers}
        )


def _encode(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
