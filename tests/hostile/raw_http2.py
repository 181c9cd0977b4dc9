"""An HTTP/2 client that keeps no rule: it sends whatever frames it is told to."""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ANSWER_SECONDS_MAX = 30.0

END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
FRAME_BYTES_MAX = 16_384

Fields = Iterable[tuple[str, str]]


class Kind(IntEnum):
    """The types of frames."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Code(IntEnum):
    """The error codes of resets and of GOAWAY that a server answers with."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


@dataclass(frozen=True)
class Frame:
    """One frame from the server."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self) -> int:
        """The error code of a reset or of GOAWAY."""
        start = 4 if self.kind == Kind.GOAWAY else 0
        return int.from_bytes(self.payload[start : start + 4])


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """Return a frame as it goes over the wire."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values: int) -> bytes:
    """Return a SETTINGS frame."""
    numbers = {"header_table_size": 1, "initial_window_size": 4, "max_frame_size": 5}
    pairs = (struct.pack(">HI", numbers[name], value) for name, value in values.items())
    return frame(Kind.SETTINGS, payload=b"".join(pairs))


def block(fields: Fields) -> bytes:
    """Return fields in the plainest form of HPACK: nothing is indexed, so nothing is remembered."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)


def _text(text: str) -> bytes:
    content = text.encode()
    length = len(content)
    if length < 127:
        return bytes([length]) + content
    length -= 127
    encoded = bytearray([127])
    while length >= 128:
        encoded.append(length % 128 + 128)
        length //= 128
    return bytes([*encoded, length]) + content


def reset(stream: int) -> bytes:
    """Return the frame that cancels a stream."""
    return frame(Kind.RST_STREAM, 0, stream, struct.pack(">I", Code.CANCEL))


class RawHttp2:
    """One connection; what it does with the answers is up to the test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = hpack.Decoder()

    async def send(self, *parts: bytes) -> bool:
        """Send bytes; say whether the server still takes them."""
        try:
            self._writer.write(b"".join(parts))
            await self._writer.drain()
        except ConnectionError:
            return False
        return True

    async def greet(self, **values: int) -> None:
        """Open the connection as a client does, and wait until the server has as well."""
        await self.send(PREFACE, settings(**values))
        while (await self._next()).kind != Kind.SETTINGS:
            pass
        await self.send(frame(Kind.SETTINGS, ACK))

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield what the server sends until it closes, but for what keeps a connection going."""
        while True:
            try:
                got = await self._next()
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            if got.kind == Kind.PING and not got.flags & ACK:
                await self.send(frame(Kind.PING, ACK, 0, got.payload))
            elif got.kind not in {Kind.SETTINGS, Kind.PING, Kind.WINDOW_UPDATE}:
                yield got

    async def status(self, stream: int) -> dict[str, str]:
        """Return the headers and trailers that end a stream; of a reset its code, as `reset`."""
        fields: dict[str, str] = {}
        async for got in self.frames():
            if got.kind == Kind.HEADERS:
                decoded = dict(self._decoder.decode(got.payload))
                if got.stream == stream:
                    fields |= {str(name): str(value) for name, value in decoded.items()}
            if got.stream == stream and got.kind == Kind.RST_STREAM:
                return {**fields, "reset": Code(got.code).name}
            if got.kind == Kind.GOAWAY:
                fields["goaway"] = Code(got.code).name
            if got.stream == stream and got.flags & END_STREAM:
                return fields
        return {**fields, "closed": ""}

    async def goaway(self) -> Frame | None:
        """Return the server's farewell once it has closed the connection; None without one."""
        farewells = [got async for got in self.frames() if got.kind == Kind.GOAWAY]
        return farewells[-1] if farewells else None

    async def _next(self) -> Frame:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            head = await self._reader.readexactly(9)
            length = int.from_bytes(head[:3])
            kind, flags, stream = struct.unpack(">BBI", head[3:])
            return Frame(kind, flags, stream, await self._reader.readexactly(length))


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[RawHttp2]:
    """Open a connection and say nothing yet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield RawHttp2(reader, writer)
    finally:
        writer.transport.abort()
