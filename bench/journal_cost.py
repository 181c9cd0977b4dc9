"""What the journal costs: the service with each database, beside one whose journal keeps nothing.

For 1, 16 and 64 callers at once it prints the processor time of the service's process per request
and how long requests take; then what the journal adds, for 16 beside what it may. Requests go to
each service in turn, in many short rounds, so that other work on the machine meets them all alike;
still only a quiet machine gives numbers that can be trusted, of the processor time first.

`python -m bench.journal_cost`
"""

import asyncio
import operator
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from bench import processes
from bench.report import say
from bench.service_setup import connect, connection, environment_of
from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1 import sequence_step_service_pb2 as service_pb2
from engagement.v1.sequence_step_service_pb2_grpc import SequenceStepServiceStub
from service.domain.step import ProviderName
from service.stores.postgres_migrations import migrate
from tests.postgres_server import PostgresServer

ROUNDS = 15
REQUESTS_PER_ROUND = {1: 100, 16: 480, 64: 640}
"""By the number of callers."""

WARM_UP_REQUESTS = 300
CALL_SECONDS = 60
SYNCS = 100

CALLERS_JUDGED = 16

FLOOR = "no journal"
ADDED_CPU_US_MAX = {"sqlite": 250, "postgres": 350}
ADDED_P50_MS_MAX = 5.0

CUSTOMER = "bench"
NOTE = "Ask whether the budget of the next quarter is decided, and by whom. " * 3


@dataclass(frozen=True)
class Service:
    """One of the services that are compared."""

    name: str
    process_id: int
    stub: Any


@dataclass
class Costs:
    """What requests to a service cost."""

    cpu_us: list[float] = field(default_factory=list)
    """Of the service's process, per request: one number for each round."""

    seconds: list[float] = field(default_factory=list)
    """How long each request took."""

    def quantile_ms(self, percent: int) -> float:
        """Return how long so many of a hundred requests take at most."""
        return statistics.quantiles(self.seconds, n=100)[percent - 1] * 1000


async def main() -> None:
    """Measure, and print."""
    processes.leave_a_core_to_the_server()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        database = stack.enter_context(closing(PostgresServer()))
        await migrate(database.url)
        vendor_port = await stack.enter_async_context(processes.vendor())
        databases = {
            FLOOR: folder / "none.db",
            "sqlite": folder / "sqlite.db",
            "postgres": database.url,
        }
        services = [
            await stack.enter_async_context(_service(name, str(where), vendor_port, folder))
            for name, where in databases.items()
        ]
        say(
            f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors before it began; "
            f"to sync the disk takes {_sync_ms(folder / 'probe'):.1f} ms, thrice a request"
        )
        for service in services:
            await _measure(service, 16, WARM_UP_REQUESTS, Costs())
        for callers, requests in REQUESTS_PER_ROUND.items():
            costs = {service.name: Costs() for service in services}
            for _ in range(ROUNDS):
                for service in services:
                    await _measure(service, callers, requests, costs[service.name])
            say("\n".join(_report(callers, costs)))


@asynccontextmanager
async def _service(
    name: str, database: str, vendor_port: int, folder: Path
) -> AsyncIterator[Service]:
    """Run a service that knows the customer."""
    vendor_url = f"http://127.0.0.1:{vendor_port}"
    environment = environment_of(
        database, vendor_url, ENGAGEMENT_REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX="200"
    )
    await connect(environment, [connection(CUSTOMER, ProviderName("outreach"))])
    command = ("bench.without_journal",) if name == FLOOR else ("service", "serve")
    log_path = folder / f"{name}.log"
    async with (
        processes.server(command[0], command[1:], environment, log_path) as (process_id, port),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = SequenceStepServiceStub(channel)  # type: ignore[no-untyped-call]
        yield Service(name, process_id, stub)


async def _measure(service: Service, callers: int, requests: int, costs: Costs) -> None:
    """Let callers, each at a sequence of its own, make requests one after the other."""
    left = iter(range(requests))
    before_seconds = processes.cpu_seconds(service.process_id)
    await asyncio.gather(
        *(_call(service, 1 + number, left, costs.seconds) for number in range(callers))
    )
    cpu_seconds = processes.cpu_seconds(service.process_id) - before_seconds
    costs.cpu_us.append(cpu_seconds * 1e6 / requests)


async def _call(
    service: Service, sequence_id: int, left: Iterator[int], seconds: list[float]
) -> None:
    metadata = (("x-customer-id", CUSTOMER), ("x-provider-name", "outreach"))
    for _ in left:
        request = service_pb2.CreateSequenceStepRequest(
            request_id=str(uuid.uuid4()),
            sequence_id=str(sequence_id),
            step=step_pb2.SequenceStep(
                type=step_pb2.STEP_TYPE_CALL, task_note=NOTE, interval_seconds=86_400
            ),
        )
        started_seconds = time.perf_counter()
        await service.stub.CreateSequenceStep(request, metadata=metadata, timeout=CALL_SECONDS)
        seconds.append(time.perf_counter() - started_seconds)


def _sync_ms(path: Path) -> float:
    """Return how long it takes to make a few bytes durable, without which no commit is."""
    seconds = []
    with path.open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            file.write(bytes(4096))
            started_seconds = time.perf_counter()
            os.fdatasync(file.fileno())
            seconds.append(time.perf_counter() - started_seconds)
    return statistics.median(seconds) * 1000


def _report(callers: int, costs: Mapping[str, Costs]) -> Iterator[str]:
    """Yield the lines for a number of callers."""
    requests = ROUNDS * REQUESTS_PER_ROUND[callers]
    yield f"{f'{callers} callers, {requests} requests':32}{'CPU µs':>8}{'p50 ms':>9}{'p99 ms':>9}"
    for name, cost in costs.items():
        cpu_us = statistics.median(cost.cpu_us)
        yield _line(name, cpu_us, cost.quantile_ms(50), cost.quantile_ms(99))
    floor = costs[FLOOR]
    for name, cpu_us_max in ADDED_CPU_US_MAX.items():
        cost = costs[name]
        added_us = statistics.median(map(operator.sub, cost.cpu_us, floor.cpu_us))
        added_ms = cost.quantile_ms(50) - floor.quantile_ms(50)
        added_p99_ms = cost.quantile_ms(99) - floor.quantile_ms(99)
        is_met = added_us <= cpu_us_max and added_ms <= ADDED_P50_MS_MAX
        judged = f"{'within' if is_met else 'MORE THAN'} {cpu_us_max} µs, {ADDED_P50_MS_MAX:g} ms"
        line = _line(f"+ {name}", added_us, added_ms, added_p99_ms)
        yield f"{line}   {judged}" if callers == CALLERS_JUDGED else line


def _line(name: str, cpu_us: float, p50_ms: float, p99_ms: float) -> str:
    return f"  {name:30}{cpu_us:8.0f}{p50_ms:9.2f}{p99_ms:9.2f}"


if __name__ == "__main__":
    asyncio.run(main())
