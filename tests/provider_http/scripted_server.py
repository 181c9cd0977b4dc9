"""A server on a loopback port that does to its clients exactly what a script says."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self


class Peer:
    """One accepted connection, as its script sees it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, progress: asyncio.Event
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._progress = progress
        self.received = bytearray()
        self.requests: list[bytes] = []
        self.was_reset = False

    async def request(self) -> bytes:
        """Read one request, its body included, and keep it."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        self.received += head
        body = b""
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                body = await self._reader.readexactly(int(line.partition(b":")[2]))
        self.received += body
        self.requests.append(head + body)
        self._progress.set()
        return head + body

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def close(self) -> None:
        """Close in the polite way, after what was sent."""
        self._writer.close()

    def reset(self) -> None:
        """Make the client's next read fail, after what was sent."""
        accepted: socket.socket = self._writer.get_extra_info("socket")
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the client has closed, keeping what it still sends."""
        try:
            while data := await self._reader.read(65_536):
                self.received += data
        except ConnectionError:
            self.was_reset = True


Script = Callable[[Peer], Awaitable[None]]


class ScriptedServer:
    """Runs one script for each connection, then waits for the client to leave."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self._tasks: list[asyncio.Task[None]] = []
        self._progress = asyncio.Event()
        self.peers: list[Peer] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, path: str = "/steps", *, host: str = "127.0.0.1") -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{host}:{self.port}{path}"

    @property
    def requests(self) -> list[bytes]:
        """Every request that was read in full, on whatever connection."""
        return [request for peer in self.peers for request in peer.requests]

    async def saw(self, *, peers: int = 0, requests: int = 0) -> None:
        """Wait for so many connections and requests in all; fail after 5 s."""
        async with asyncio.timeout(5):
            while len(self.peers) < peers or len(self.requests) < requests:
                self._progress.clear()
                await self._progress.wait()

    async def all_gone(self) -> None:
        """Wait for at least one connection, and until none is open; fail after 5 s."""
        await self.saw(peers=1)
        async with asyncio.timeout(5):
            await asyncio.gather(*self._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, self._progress)
        self.peers.append(peer)
        self._progress.set()
        self._tasks.append(asyncio.create_task(self._serve(peer, writer)))

    async def _serve(self, peer: Peer, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._script(peer)
            await peer.gone()
        finally:
            writer.transport.abort()


def answer(status: int = 200, body: bytes = b"{}", **headers: str) -> bytes:
    """Write an HTTP answer; underscores in header names stand for hyphens."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def let_clients_read() -> None:
    """Give the loop the turns in which clients read what was sent; loopback delivers at once."""
    for _ in range(5):
        await asyncio.sleep(0)


async def answer_every_request(peer: Peer) -> None:
    """Answer 200 with `{}`, over and over on the same connection."""
    while True:
        await peer.request()
        peer.send(answer())


async def never_answer(peer: Peer) -> None:
    await peer.request()
