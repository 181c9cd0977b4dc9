"""HTTP/2 and gRPC frames that no library sends, against the service in a process of its own.

Each has its expected end; none of them reaches a provider; and the service goes on to serve.
"""

import asyncio
import gzip
import resource
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1 import sequence_step_service_pb2 as service_pb2
from sandbox.server import RunningSandbox, serve_in_thread
from service.bootstrap import opened_stores
from service.transport.server import HANDSHAKE_MS_MAX, STREAMS_PER_CONNECTION_MAX
from tests.hostile.raw_http2 import (
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES_MAX,
    PREFACE,
    Code,
    Fields,
    Kind,
    RawHttp2,
    block,
    connected,
    frame,
    reset,
    settings,
)
from tests.service.conftest import Client, client_at, environment_for
from tests.service.service_process import service_process
from tests.service.vendor_account import VendorAccount

EMPTY_FRAMES_END = {("closed", ""), ("reset", "INTERNAL_ERROR"), ("goaway", "INTERNAL_ERROR")}
"""The library closes the connection, and may come to say why before."""

GROWTH_BYTES_MAX = 20 * 1024 * 1024
OPEN_FILES = 4096
CONNECTIONS = 1000
RESETS = 10_000

CREATE = "/engagement.v1.SequenceStepService/CreateSequenceStep"
HEALTH = "/grpc.health.v1.Health/Check"
STEP = step_pb2.SequenceStep(type=step_pb2.STEP_TYPE_CALL)


@dataclass(frozen=True)
class Abused:
    """The service, and a customer of it."""

    process_id: int
    port: int
    client: Client
    account: VendorAccount

    def resident_bytes(self) -> int:
        """Return how much memory the process has."""
        pages = Path(f"/proc/{self.process_id}/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()

    async def serves(self) -> None:
        """Add a step, as any caller does."""
        answer = await self.client.create(self.account, STEP)
        assert answer.id in await self.account.step_ids()


@pytest.fixture(scope="module")
def _many_open_files() -> Iterator[None]:
    """Let this process, and the service that it starts, have a thousand connections."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(before[0], OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(before[1], wanted)))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with serve_in_thread() as running:
        yield running


@pytest.fixture(scope="module")
async def abused(
    sandbox: RunningSandbox, _many_open_files: None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Abused]:
    folder = tmp_path_factory.mktemp("abuse")
    environment = environment_for(sandbox.base_url, folder / "engagement.db")
    control_url = f"{sandbox.base_url}/_sandbox"
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(service_process(environment, folder / "log"))
        port = await process.port()
        control = await stack.enter_async_context(
            httpx.AsyncClient(base_url=control_url, trust_env=False, timeout=30)
        )
        made = await control.post("/accounts", json={"vendor": "outreach", "name": "abused"})
        account = VendorAccount("outreach", "abused", made.json()["credentials"], control)
        async with opened_stores(process.settings) as stores:
            await stores.connections.put(account.connection())
        client = await stack.enter_async_context(client_at(port, process.settings))
        yield Abused(process.process.pid, port, client, account)


@pytest.fixture
async def survivor(abused: Abused) -> AsyncIterator[Abused]:
    """The service, which must not have asked the provider for anything, and still serve."""
    await abused.serves()
    asked = len(await abused.account.requests())
    yield abused
    assert len(await abused.account.requests()) == asked
    await abused.serves()


@asynccontextmanager
async def greeted(service: Abused, **values: int) -> AsyncIterator[RawHttp2]:
    """Open a connection in good order."""
    async with connected(service.port) as connection:
        await connection.greet(**values)
        yield connection


PSEUDO = ((":method", "POST"), (":scheme", "http"), (":authority", "localhost"))
CUSTOMER = (("x-customer-id", "abused"), ("x-provider-name", "outreach"))
CONTENT_TYPE = ("content-type", "application/grpc")
CALL = (*PSEUDO, (":path", CREATE), CONTENT_TYPE, ("te", "trailers"), *CUSTOMER)


def headers(fields: Fields = CALL, stream: int = 1, flags: int = END_HEADERS) -> bytes:
    return frame(Kind.HEADERS, flags, stream, block(fields))


def in_pieces(fields: Fields) -> bytes:
    """Return a HEADERS frame that is as large as one may be, and CONTINUATION for the rest."""
    content = block(fields)
    pieces = [content[at : at + FRAME_BYTES_MAX] for at in range(0, len(content), FRAME_BYTES_MAX)]
    frames = [frame(Kind.HEADERS, 0, 1, pieces[0])]
    frames += [frame(Kind.CONTINUATION, 0, 1, piece) for piece in pieces[1:]]
    return b"".join((*frames, frame(Kind.CONTINUATION, END_HEADERS, 1)))


def message(content: bytes, *, flag: int = 0, length: int | None = None) -> bytes:
    """Return a message with the prefix that gRPC has: whether it is compressed, and its length."""
    return struct.pack(">BI", flag, len(content) if length is None else length) + content


def data(content: bytes, stream: int = 1, flags: int = END_STREAM) -> bytes:
    return frame(Kind.DATA, flags, stream, content)


REFUSED = service_pb2.CreateSequenceStepRequest(step=STEP).SerializeToString()
"""A request that the service refuses itself, since it names no sequence."""

BODY = data(message(REFUSED))
IN_100_MS = ("grpc-timeout", "100m")
BOMB = gzip.compress(bytes(40 * 1024 * 1024))

ENDS = {
    "a value of 20 kB": (in_pieces((*CALL, ("x-large", "x" * 20_000))) + BODY, "8"),
    "1000 fields": (in_pieces((*CALL, *((f"x-{n}", "") for n in range(1000)))) + BODY, "8"),
    "a field's name in capitals": (headers((*CALL, ("X-Large", "x"))) + BODY, "13"),
    "a line break in a value": (
        headers((*CALL[:-2], ("x-customer-id", "a\nb"), CALL[-1])) + BODY,
        "3",
    ),
    "a length without end in HPACK": (frame(Kind.HEADERS, END_HEADERS, 1, b"\xff" * 10), "13"),
    "an unknown method": (headers((*CALL[:3], (":path", f"{CREATE}s"), *CALL[4:])) + BODY, "12"),
    "an unknown service": (headers((*CALL[:3], (":path", "/a.B/C"), *CALL[4:])) + BODY, "12"),
    "no path": (headers((*CALL[:3], *CALL[4:])) + BODY, "INTERNAL_ERROR"),
    "GET": (headers(((":method", "GET"), *CALL[1:])) + BODY, "INTERNAL_ERROR"),
    # gRPC serves any content type, as what it would be if it were gRPC's own.
    "JSON": (
        headers((*CALL[:4], ("content-type", "application/json"), *CALL[5:]))
        + data(b'{"sequence_id": "4711"}'),
        "3",
    ),
    "text": (headers((*CALL[:4], ("content-type", "text/plain"), *CALL[5:])) + BODY, "3"),
    "a time limit that is none": (headers((*CALL, ("grpc-timeout", "1x"))) + BODY, "13"),
    "an unknown flag": (headers() + data(message(REFUSED, flag=2)), "3"),
    "compressed without saying how": (headers() + data(message(REFUSED, flag=1)), "13"),
    "compressed in an unknown way": (
        headers((*CALL, ("grpc-encoding", "zstd"))) + data(message(REFUSED, flag=1)),
        "13",
    ),
    "40 MB in 40 kB": (
        headers((*CALL, ("grpc-encoding", "gzip")))
        + data(message(BOMB, flag=1)[:FRAME_BYTES_MAX], flags=0)
        + data(message(BOMB, flag=1)[FRAME_BYTES_MAX : 2 * FRAME_BYTES_MAX], flags=0)
        + data(message(BOMB, flag=1)[2 * FRAME_BYTES_MAX :]),
        "8",
    ),
    "4 GB announced": (headers() + data(message(b"", length=2**32 - 1), flags=0), "8"),
    "3 MB announced": (headers() + data(message(b"", length=3 * 2**20), flags=0), "8"),
    # gRPC does not say that a message is missing: the call ends by its time limit.
    "half of a message": (headers((*CALL, IN_100_MS)) + data(message(b"", length=9)), "4"),
    "half of a prefix": (headers((*CALL, IN_100_MS)) + data(b"\0\0\0"), "4"),
    "no message": (headers((*CALL, IN_100_MS), flags=END_HEADERS | END_STREAM), "4"),
    "headers alone": (headers((*CALL, IN_100_MS)), "4"),
    # gRPC goes by its own lengths and not by this one.
    "a wrong content length": (headers((*CALL, ("content-length", "1"))) + BODY, "3"),
    "a huge content length": (headers((*CALL, ("content-length", "9" * 18))) + BODY, "3"),
    "a frame that is too large": (frame(Kind.HEADERS, END_HEADERS, 1, bytes(20_000)), "closed"),
    "a window that grows by nothing": (frame(Kind.WINDOW_UPDATE, payload=bytes(4)), "closed"),
    "settings of half a setting": (frame(Kind.SETTINGS, payload=bytes(3)), "closed"),
    "a reset of half a code": (headers() + frame(Kind.RST_STREAM, 0, 1, bytes(2)), "14"),
}
"""What is sent on a connection in good order, and the gRPC status, or else what ends the stream."""


@pytest.mark.parametrize("name", ENDS)
async def test_a_call_of_a_wrong_form_ends_as_it_should(survivor: Abused, name: str) -> None:
    sent, expected = ENDS[name]
    before_bytes = survivor.resident_bytes()
    async with greeted(survivor) as connection:
        await connection.send(sent)
        end = await connection.status(1)
    got = end.get("grpc-status") or end.get("reset") or ("closed" if "closed" in end else "")
    assert (got, end) == (expected, end)
    assert survivor.resident_bytes() - before_bytes < GROWTH_BYTES_MAX


@pytest.mark.parametrize(
    "first_bytes", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"]
)
async def test_who_speaks_another_protocol_is_disconnected(
    survivor: Abused, first_bytes: bytes
) -> None:
    async with connected(survivor.port) as connection:
        await connection.send(first_bytes)
        farewell = await connection.goaway()
    assert farewell is None


async def test_a_ping_flood_is_ended(survivor: Abused) -> None:
    async with greeted(survivor) as connection:
        await connection.send(frame(Kind.PING, payload=b"12345678") * 10)
        farewell = await connection.goaway()
    assert farewell is not None
    assert (farewell.code, farewell.payload[8:]) == (Code.ENHANCE_YOUR_CALM, b"too_many_pings")


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(settings(header_table_size=4096), id="settings"),
        pytest.param(frame(Kind.WINDOW_UPDATE, payload=struct.pack(">I", 1)), id="window updates"),
        pytest.param(frame(Kind.PRIORITY, 0, 1, bytes([0, 0, 0, 3, 1])), id="priorities"),
        pytest.param(reset(1), id="resets of no stream"),
    ],
)
async def test_a_flood_of_small_frames_costs_no_memory(survivor: Abused, flood: bytes) -> None:
    """The client reads nothing, so that what the server has to answer piles up."""
    before_bytes = survivor.resident_bytes()
    async with AsyncExitStack() as stack:
        for _ in range(2):
            connection = await stack.enter_async_context(greeted(survivor))
            for _ in range(100):
                await connection.send(flood * 200)
        await survivor.client.fail(survivor.account, step_pb2.SequenceStep())
        assert survivor.resident_bytes() - before_bytes < GROWTH_BYTES_MAX


@pytest.mark.parametrize(
    ("content", "ends"),
    [(block([("x-more", "y" * 50)]), {("grpc-status", "8")}), (b"", EMPTY_FRAMES_END)],
    ids=["with fields", "empty"],
)
async def test_headers_without_end_are_ended(
    survivor: Abused, content: bytes, ends: set[tuple[str, str]]
) -> None:
    before_bytes = survivor.resident_bytes()
    async with greeted(survivor) as connection:
        end = asyncio.create_task(connection.status(1))
        await connection.send(headers(flags=0))
        for _ in range(200):
            if not await connection.send(frame(Kind.CONTINUATION, 0, 1, content) * 100):
                break
        assert ends & (await end).items()
    assert survivor.resident_bytes() - before_bytes < GROWTH_BYTES_MAX


async def test_streams_over_the_limit_are_refused(survivor: Abused) -> None:
    over = 500
    async with greeted(survivor) as connection:
        for number in range(STREAMS_PER_CONNECTION_MAX + over):
            await connection.send(headers(stream=2 * number + 1))
        refused = []
        async for got in connection.frames():
            assert (got.kind, got.code) == (Kind.RST_STREAM, Code.REFUSED_STREAM)
            refused.append(got.stream)
            if len(refused) == over:
                break
    first = 2 * STREAMS_PER_CONNECTION_MAX + 1
    assert refused == list(range(first, first + 2 * over, 2))


async def test_rapid_resets_cost_no_memory(survivor: Abused) -> None:
    async def abuse() -> None:
        async with greeted(survivor) as connection:
            for number in range(RESETS):
                stream = 2 * number + 1
                await connection.send(headers(stream=stream), reset(stream))
            stream = 2 * RESETS + 1
            end = {"reset": "REFUSED_STREAM"}  # As long as the streams before hold memory.
            while end.get("reset") == "REFUSED_STREAM":
                await connection.send(headers(stream=stream), data(message(REFUSED), stream))
                end = await connection.status(stream)
                stream += 2
            assert end["grpc-status"] == "3"

    await abuse()
    before_bytes = survivor.resident_bytes()
    await abuse()
    assert survivor.resident_bytes() - before_bytes < GROWTH_BYTES_MAX


async def test_connections_that_are_half_open_cost_no_memory_and_are_closed(
    survivor: Abused,
) -> None:
    """Some say nothing, some half of what a client says first, some all but the settings."""

    @asynccontextmanager
    async def abuse() -> AsyncIterator[list[RawHttp2]]:
        async with AsyncExitStack() as stack:
            connections = []
            for number in range(CONNECTIONS):
                connection = await stack.enter_async_context(connected(survivor.port))
                await connection.send((b"", PREFACE[:12], PREFACE)[number % 3])
                connections.append(connection)
            await survivor.client.fail(survivor.account, step_pb2.SequenceStep())
            yield connections

    async with abuse():
        pass
    before_bytes = survivor.resident_bytes()
    began_seconds = time.monotonic()
    async with abuse() as connections:
        assert survivor.resident_bytes() - before_bytes < GROWTH_BYTES_MAX
        await asyncio.gather(*(connection.goaway() for connection in connections))
        assert time.monotonic() - began_seconds < 2 * HANDSHAKE_MS_MAX / 1000


async def test_headers_that_come_slowly_keep_nobody_waiting(survivor: Abused) -> None:
    whole = headers() + BODY
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(greeted(survivor)) for _ in range(100)]
        for connection in connections:
            await connection.send(whole[:40])
        await survivor.client.fail(survivor.account, step_pb2.SequenceStep())
        for connection in connections:
            await connection.send(whole[40:])
        ends = await asyncio.gather(*(connection.status(1) for connection in connections))
    assert {end["grpc-status"] for end in ends} == {"3"}


async def test_a_reader_that_takes_no_answer_is_bounded_and_keeps_nobody_waiting(
    survivor: Abused,
) -> None:
    """Answers wait in the server until the client's window opens, for as many calls as may be."""
    health = (*PSEUDO, (":path", HEALTH), CONTENT_TYPE, ("te", "trailers"))

    async def abuse() -> None:
        async with greeted(survivor, initial_window_size=0) as connection:
            for number in range(STREAMS_PER_CONNECTION_MAX + 1):
                stream = 2 * number + 1
                await connection.send(headers(health, stream), data(message(b""), stream))
            last = 2 * STREAMS_PER_CONNECTION_MAX + 1
            assert (await connection.status(last))["reset"] == "REFUSED_STREAM"
            await survivor.client.fail(survivor.account, step_pb2.SequenceStep())
            await connection.send(settings(initial_window_size=1000))
            assert (await connection.status(last - 2))["grpc-status"] == "0"

    await abuse()
    before_bytes = survivor.resident_bytes()
    await abuse()
    assert survivor.resident_bytes() - before_bytes < GROWTH_BYTES_MAX


async def test_a_connection_that_breaks_in_the_middle_of_a_message_is_forgotten(
    survivor: Abused,
) -> None:
    for _ in range(100):
        async with greeted(survivor) as connection:
            await connection.send(headers(), data(message(REFUSED, length=1000), flags=0))
