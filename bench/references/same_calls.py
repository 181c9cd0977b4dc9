"""Shows that the references call the providers as the service does, and commit as often.

It asks each service for each step, reads along what goes to the stand-in of the vendors, and prints
the service's calls and how those of the references differ. Ids are left out, since new ones are
counted up. The floor has to send the same headers too; what the libraries of the other references
send of their own is allowed. Commits are counted in the files of SQLite. It ends with status 1 when
something differs.

`python -m bench.references.same_calls`
"""

import asyncio
import itertools
import json
import re
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench import processes
from bench.references import services
from bench.references.services import Service
from bench.references.steps import STEPS, Step
from bench.report import say
from tests.postgres_server import PostgresServer

READ_BYTES = 65_536
SEQUENCES = itertools.count(4711)
"""A new one for each step, since Salesloft takes one step into each."""

STRICT = frozenset({services.OURS_POSTGRES, services.FLOOR, services.FLOOR_POSTGRES})
"""Which send the service's own headers."""

_ID = re.compile(r"\b([0-9]+|[0-9a-f]{24})\b")
_OF_THE_CONNECTION = frozenset({b"host", b"content-length"})


@dataclass(frozen=True, order=True)
class Call:
    """One request as it was sent."""

    line: str
    body: str
    headers: frozenset[bytes] = field(compare=False)


@dataclass(frozen=True)
class Did:
    """What a service did for one step."""

    calls: Sequence[Call]
    commits: int
    """0 where they cannot be counted, or there are none."""

    @property
    def headers(self) -> frozenset[bytes]:
        """All headers that it sent."""
        return frozenset().union(*(call.headers for call in self.calls))


class Relay:
    """Passes bytes on to the vendor and back, and keeps what was sent there."""

    def __init__(self, vendor_port: int) -> None:
        self._vendor_port = vendor_port
        self._sent: list[bytearray] = []

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Serve, and give the port."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        yield server.sockets[0].getsockname()[1]
        server.close()

    def take(self) -> list[Call]:
        """Return what was sent since the last time, in an order that does not depend on chance."""
        calls = [call for sent in self._sent for call in _calls(bytes(sent))]
        for sent in self._sent:
            sent.clear()
        return sorted(calls)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        vendor_reader, vendor_writer = await asyncio.open_connection("127.0.0.1", self._vendor_port)
        sent = bytearray()
        self._sent.append(sent)
        await asyncio.gather(
            _pass_on(reader, vendor_writer, sent), _pass_on(vendor_reader, writer, bytearray())
        )


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray
) -> None:
    with suppress(ConnectionError):  # The service does not linger when it ends.
        while content := await reader.read(READ_BYTES):
            kept += content
            writer.write(content)
    writer.close()


def _calls(sent: bytes) -> Iterator[Call]:
    """Read whole requests off a connection."""
    while sent:
        head, _, sent = sent.partition(b"\r\n\r\n")
        line, *headers = head.split(b"\r\n")
        fields = {
            (name.lower(), value.strip()) for name, _, value in (h.partition(b":") for h in headers)
        }
        length = int(dict(fields).get(b"content-length", b"0"))
        body, sent = sent[:length], sent[length:]
        content = json.dumps(json.loads(body), sort_keys=True) if body else ""
        shown = frozenset(
            name + b": " + value for name, value in fields if name not in _OF_THE_CONNECTION
        )
        method, target, _ = line.decode().split(" ")
        yield Call(_ID.sub("#", f"{method} {target}"), _ID.sub("#", content), shown)


async def main() -> int:
    """Compare, print, and return the exit status."""
    processes.leave_a_core_to_the_server()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        database = stack.enter_context(closing(PostgresServer()))
        relay = Relay(await stack.enter_async_context(processes.vendor()))
        port = await stack.enter_async_context(relay.serving())
        running = await stack.enter_async_context(
            services.all_services(f"http://127.0.0.1:{port}", database, folder)
        )
        are_same = [await _compare(step, running, relay) for step in STEPS]
    return 0 if all(are_same) else 1


async def _compare(step: Step, running: Sequence[Service], relay: Relay) -> bool:
    did = {service.name: await _watched(step, service, relay) for service in running}
    ours = did.pop(services.OURS)
    say(f"{step.name}, {ours.commits} commits")
    for call in ours.calls:
        say(f"  {call.line} {call.body}")
    is_same = True
    for name, theirs in did.items():
        differences = [*_differences(ours, theirs)]
        headers = [*_header_differences(ours, theirs)]
        is_same &= not differences and not (headers and name in STRICT)
        say(f"  {name}: {'DIFFERENT' if differences else 'the same'}")
        for difference in (*differences, *headers):
            say(f"    {difference}")
    return is_same


async def _watched(step: Step, service: Service, relay: Relay) -> Did:
    before = _commits(service)
    await service.ask(step, step.request(next(SEQUENCES), str(uuid.uuid4())))
    return Did(relay.take(), _commits(service) - before)


def _commits(service: Service) -> int:
    """Count the commits in SQLite's log: with the last page of each goes the file's new size."""
    if service.file is None:
        return 0
    log = service.file.with_name(f"{service.file.name}-wal").read_bytes()
    page_bytes, salt = int.from_bytes(log[8:12], "big"), log[16:24]
    frames = (log[start : start + 24] for start in range(32, len(log), 24 + page_bytes))
    return sum(frame[8:16] == salt and any(frame[4:8]) for frame in frames)


def _differences(ours: Did, theirs: Did) -> Iterator[str]:
    for sign, one, other in (("-", ours, theirs), ("+", theirs, ours)):
        for call in one.calls:
            if one.calls.count(call) != other.calls.count(call):
                yield f"{sign} {call.line} {call.body}"
    if theirs.commits not in {0, ours.commits}:
        yield f"{theirs.commits} commits"


def _header_differences(ours: Did, theirs: Did) -> Iterator[str]:
    for sign, one, other in (("-", ours, theirs), ("+", theirs, ours)):
        for header in sorted(one.headers - other.headers):
            yield f"{sign} {header.decode()}"


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
