"""What a replica carries: requests in flight, rows in the journal, connections, and its start.

Each part says what the numbers mean. Requests in flight come from callers that call again as soon
as they are answered, at a vendor that takes half a second over each answer; what the vendor's time
alone would allow is more than one processor can serve from some hundred callers on, and then each
request waits for the processor. So the added latency of many requests in flight is measured apart,
at a vendor so slow that the processor is not the limit.

`python -m bench.scale`
"""

import asyncio
import itertools
import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import psycopg

from bench import processes
from bench.references.steps import Step
from bench.report import say
from bench.service_setup import connect, connection, environment_of
from engagement.v1.sequence_step_service_pb2_grpc import SequenceStepServiceStub
from service.domain.step import ProviderName
from service.stores.key_ring import new_entry
from service.stores.postgres_migrations import migrate
from tests.postgres_server import PostgresServer

STEP: Final = Step("outreach", has_message=True)
ROUND_TRIPS: Final = 3
"""One after the other: the reads, which go side by side, the step, and the link of its template."""

VENDOR_SECONDS: Final = 0.5
SLOW_VENDOR_SECONDS: Final = 2.5
IN_FLIGHT: Final = (10, 100, 1_000, 2_000, 10_000)
IN_FLIGHT_MAIN: Final = 2_000
RESIDENT_MB_MAX, THROUGHPUT_SHARE_MIN, ADDED_P99_MS_MAX = 200, 0.9, 250

ROWS_FEW, ROWS_MANY = 1_000, 1_000_000
ROWS: Final = (1, ROWS_FEW, 100_000, ROWS_MANY)
CPU_RATIO_MAX: Final = 1.1
ROWS_ROUNDS: Final = 12
REQUESTS_PER_ROUND: Final = 320
CALLERS: Final = 16

CUSTOMERS: Final = (1, 100, 10_000)

STARTS: Final = 5
START_SECONDS_MAX, IDLE_MB_MAX = 1.5, 80

CHANNELS: Final = 16
"""Each carries at most 1,000 calls at once."""

CALL_SECONDS: Final = 120
MEBIBYTE: Final = 1024


@dataclass
class Service:
    """The service, and what has been asked of it."""

    process_id: int
    stubs: Sequence[Any]
    customers: Sequence[str]
    seconds: list[float] = field(default_factory=list)
    errors: int = 0
    _sequences: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _callers: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self._callers = itertools.cycle(self.customers)

    async def ask(self) -> None:
        """Ask for a step in a sequence of its own."""
        number = next(self._sequences)
        metadata = (
            ("x-customer-id", next(self._callers)),
            ("x-provider-name", "outreach"),
        )
        request = STEP.request(number, str(uuid.uuid4()))
        began_seconds = time.perf_counter()
        try:
            await self.stubs[number % len(self.stubs)].CreateSequenceStep(
                request, metadata=metadata, timeout=CALL_SECONDS
            )
        except grpc.aio.AioRpcError:
            self.errors += 1
        else:
            self.seconds.append(time.perf_counter() - began_seconds)

    def forget(self) -> None:
        """Begin to count anew."""
        self.seconds, self.errors = [], 0

    def quantile_seconds(self, percent: int) -> float:
        """Return how long so many of a hundred requests took at most."""
        return statistics.quantiles(self.seconds, n=100)[percent - 1]

    @property
    def resident_mb(self) -> float:
        """The memory that the process has now."""
        return _memory_mb(self.process_id, "VmRSS")

    @property
    def resident_mb_max(self) -> float:
        """The most memory that the process ever had."""
        return _memory_mb(self.process_id, "VmHWM")


async def measure() -> dict[str, object]:
    """Measure and print; return what programs want to know."""
    processes.leave_a_core_to_the_server()
    return {
        **await _start(),
        **await _requests_in_flight(),
        **await _journal_rows(),
        **await _connections(),
    }


@asynccontextmanager
async def _service(
    database: str, vendor_port: int, folder: Path, *, customers: int = 1, keys: str = ""
) -> AsyncIterator[Service]:
    """Run a service that takes as many requests as come, and knows customers."""
    limits = dict.fromkeys(
        (
            "ENGAGEMENT_REQUESTS_IN_FLIGHT_MAX",
            "ENGAGEMENT_REQUESTS_IN_FLIGHT_PER_PROVIDER_MAX",
            "ENGAGEMENT_REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX",
        ),
        "20000",
    )
    environment = environment_of(
        database,
        f"http://127.0.0.1:{vendor_port}",
        ENGAGEMENT_KEYS=keys or new_entry(),
        **limits,
    )
    names = [f"customer-{number}" for number in range(customers)]
    await connect(environment, (connection(name, ProviderName("outreach")) for name in names))
    log_path = folder / f"{uuid.uuid4()}.log"
    async with AsyncExitStack() as stack:
        process_id, port = await stack.enter_async_context(
            processes.server("service", ("serve",), environment, log_path)
        )
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(
                    f"127.0.0.1:{port}", (("grpc.use_local_subchannel_pool", 1),)
                )
            )
            for _ in range(CHANNELS)
        ]
        stubs = [SequenceStepServiceStub(channel) for channel in channels]  # type: ignore[no-untyped-call]
        yield Service(process_id, stubs, names)


async def _requests_in_flight() -> dict[str, object]:
    say(
        f"\n{'requests in flight':34}{'MB':>8}{'requests/s':>12}{'of what can be':>16}"
        f"{'added p50 ms':>14}{'p99 ms':>10}{'errors':>8}"
    )
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        async with processes.vendor() as port, _service(str(folder / "0.db"), port, folder) as most:
            limit = await _most_per_second(most)
        for callers in IN_FLIGHT:
            carried = await _carried(callers, VENDOR_SECONDS, limit, folder)
            if callers == IN_FLIGHT_MAIN:
                slow = await _carried(callers, SLOW_VENDOR_SECONDS, limit, folder)
                found = {
                    "in_flight_2000.rss_mb": max(carried.resident_mb, slow.resident_mb),
                    "in_flight_2000.throughput_share": carried.share,
                    "in_flight_2000.added_latency_ms_p99": slow.added_p99_ms,
                    "in_flight_2000.added_latency_ms_p99_at_500_ms": carried.added_p99_ms,
                    "in_flight_2000.errors": carried.errors + slow.errors,
                }
    say(
        f"  wanted with {IN_FLIGHT_MAIN}: at most {RESIDENT_MB_MAX} MB, at least "
        f"{THROUGHPUT_SHARE_MIN:.0%} of what can be, p99 at most {ADDED_P99_MS_MAX} ms where the "
        "processor is not the limit, no error"
    )
    return found


async def _most_per_second(service: Service) -> float:
    """Return how many requests a second the service can do, whatever the vendor's time."""
    await _closed_loop(service, 64, 2)
    service.forget()
    began_seconds = time.perf_counter()
    await _closed_loop(service, 64, 6)
    return len(service.seconds) / (time.perf_counter() - began_seconds)


@dataclass(frozen=True)
class _Carried:
    resident_mb: float
    share: float
    added_p99_ms: float
    errors: int


async def _carried(
    callers: int, vendor_seconds: float, limit_per_second: float, folder: Path
) -> _Carried:
    """Let callers call again and again, and say what the service made of it."""
    alone_seconds = ROUND_TRIPS * vendor_seconds
    allowed = min(callers / alone_seconds, limit_per_second)
    async with (
        processes.vendor(vendor_seconds) as port,
        _service(str(folder / f"{uuid.uuid4()}.db"), port, folder) as service,
    ):
        each_seconds = max(alone_seconds, callers / limit_per_second)
        await _closed_loop(service, callers, 2 * each_seconds, ramp_seconds=each_seconds)
        service.forget()
        began_seconds = time.perf_counter()
        await _closed_loop(service, callers, max(6.0, 2 * each_seconds), ramp_seconds=each_seconds)
        # Callers come one by one and leave one by one, each over the time of one request.
        per_second = len(service.seconds) / (time.perf_counter() - began_seconds - each_seconds)
        carried = _Carried(
            service.resident_mb_max,
            per_second / allowed,
            (service.quantile_seconds(99) - alone_seconds) * 1000,
            service.errors,
        )
        what = f"{callers} at {vendor_seconds:g} s an answer"
        added_p50_ms = (service.quantile_seconds(50) - alone_seconds) * 1000
        say(
            f"  {what:32}{carried.resident_mb:8.0f}{per_second:12.0f}{carried.share:16.0%}"
            f"{added_p50_ms:14.1f}{carried.added_p99_ms:10.1f}{carried.errors:8}"
        )
        return carried


async def _closed_loop(
    service: Service, callers: int, seconds: float, *, ramp_seconds: float = 0.0
) -> None:
    """Let callers ask for so long; they begin one by one, so that they do not come in waves."""
    until_seconds = time.perf_counter() + seconds

    async def caller(number: int) -> None:
        await asyncio.sleep(ramp_seconds * number / callers)
        while time.perf_counter() < until_seconds:
            await service.ask()

    await asyncio.gather(*(caller(number) for number in range(callers)))


async def _journal_rows() -> dict[str, object]:
    """Compare services whose journals are empty, or have many rows that ended long ago."""
    say(f"\n{'rows in the journal':34}{'CPU µs a request: SQLite':>26}{'PostgreSQL':>14}")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        postgres = stack.enter_context(closing(PostgresServer()))
        port = await stack.enter_async_context(processes.vendor())
        services: dict[tuple[str, int], Service] = {}
        for rows in ROWS:
            url = postgres.new_schema_url()
            await migrate(url)
            for kind, database in (("sqlite", str(folder / f"{rows}.db")), ("postgres", url)):
                service = await _with_rows(stack, kind, database, rows, port, folder)
                services[kind, rows] = service
        cpu_us: dict[tuple[str, int], list[float]] = {key: [] for key in services}
        for number in range(ROWS_ROUNDS + 1):
            for key, service in services.items():
                spent_us = await _cpu_us(service)
                if number:  # The first warms up.
                    cpu_us[key].append(spent_us)
    median = {key: statistics.median(values) for key, values in cpu_us.items()}
    for rows in ROWS:
        say(f"  {rows:<32,}{median['sqlite', rows]:26.0f}{median['postgres', rows]:14.0f}")
    ratios = {
        kind: median[kind, ROWS_MANY] / median[kind, ROWS_FEW] for kind in ("sqlite", "postgres")
    }
    shown = ", ".join(f"{kind} {ratio:.2f}" for kind, ratio in ratios.items())
    say(f"  {ROWS_MANY:,} over {ROWS_FEW:,}: {shown}; wanted: at most {CPU_RATIO_MAX}")
    return {"cpu_ratio_rows_1e6_over_1e3": max(ratios.values()), "cpu_ratio_rows": ratios}


async def _with_rows(  # noqa: PLR0913, PLR0917 - it only passes on where everything is
    stack: AsyncExitStack, kind: str, database: str, rows: int, port: int, folder: Path
) -> Service:
    """Run a service once to make a row, and again when there are copies of it."""
    keys = new_entry()
    async with _service(database, port, folder, keys=keys) as first:
        await first.ask()
        assert not first.errors
    fill = _fill_sqlite if kind == "sqlite" else _fill_postgres
    await asyncio.to_thread(fill, database, rows)
    return await stack.enter_async_context(_service(database, port, folder, keys=keys))


_COLUMNS: Final = """
    INSERT INTO operations (
        caller, customer_id, provider, request_id, sequence_id, fingerprint, state, epoch,
        holds_sequence, step_id, due_at_epoch_ms, sent_at_epoch_ms, created_at_epoch_ms,
        updated_at_epoch_ms, key_id, document
    )
"""
_COPIES: Final = """
    SELECT
        caller, customer_id, provider, 'copy-' || number, 'copy-' || number, fingerprint, state,
        -number, holds_sequence, 'copy-' || number, due_at_epoch_ms, sent_at_epoch_ms,
        created_at_epoch_ms, updated_at_epoch_ms, key_id, document
    FROM numbers, (SELECT * FROM operations LIMIT 1) AS made
"""
"""Epochs below 0 are never given; the bench asks for other requests and other sequences."""

_NUMBERS_SQLITE: Final = """
    WITH RECURSIVE numbers (number) AS (
        SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < :rows
    )
"""
_NUMBERS_POSTGRES: Final = "WITH numbers (number) AS (SELECT generate_series(1, %(rows)s))"


def _fill_sqlite(database: str, rows: int) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(_COLUMNS + _NUMBERS_SQLITE + _COPIES, {"rows": rows})
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _fill_postgres(database: str, rows: int) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        fill = _COLUMNS + _NUMBERS_POSTGRES + _COPIES
        connection.execute(fill.encode(), {"rows": rows})
        connection.execute("VACUUM ANALYZE operations")


async def _cpu_us(service: Service) -> float:
    """Return the processor time a request of a short round."""
    left = iter(range(REQUESTS_PER_ROUND))

    async def caller() -> None:
        for _ in left:
            await service.ask()

    before_seconds = processes.cpu_seconds(service.process_id)
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    assert not service.errors
    return (processes.cpu_seconds(service.process_id) - before_seconds) * 1e6 / REQUESTS_PER_ROUND


async def _connections() -> dict[str, object]:
    """Compare services that know one customer, and many that call in turn."""
    say(f"\n{'connections':34}{'CPU µs a request':>18}{'MB':>8}")
    found: dict[str, object] = {}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        port = await stack.enter_async_context(processes.vendor())
        services = {
            count: await stack.enter_async_context(
                _service(str(folder / f"{count}.db"), port, folder, customers=count)
            )
            for count in CUSTOMERS
        }
        cpu_us: dict[int, list[float]] = {count: [] for count in CUSTOMERS}
        for _ in range(ROWS_ROUNDS):
            for count, service in services.items():
                cpu_us[count].append(await _cpu_us(service))
        for count, service in services.items():
            median = statistics.median(cpu_us[count])
            say(f"  {count:<32,}{median:18.0f}{service.resident_mb:8.0f}")
            found[f"connections_{count}"] = {"cpu_us": median, "rss_mb": service.resident_mb}
    return found


async def _start() -> dict[str, object]:
    """Measure from the start of the process until it says that it serves."""
    seconds, idle_mb = [], []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for number in range(STARTS):
            began_seconds = time.perf_counter()
            async with _service_alone(Path(name) / f"{number}.db", Path(name)) as process_id:
                seconds.append(time.perf_counter() - began_seconds)
                await asyncio.sleep(1)
                idle_mb.append(_memory_mb(process_id, "VmRSS"))
    start_seconds, idle = statistics.median(seconds), statistics.median(idle_mb)
    say(f"start {start_seconds:.2f} s, wanted: at most {START_SECONDS_MAX}")
    say(f"memory when idle {idle:.0f} MB, wanted: at most {IDLE_MB_MAX}")
    return {"start_seconds": start_seconds, "idle_rss_mb": idle}


@asynccontextmanager
async def _service_alone(database: Path, folder: Path) -> AsyncIterator[int]:
    environment = environment_of(str(database))
    log_path = folder / f"{database.name}.log"
    async with processes.server("service", ("serve",), environment, log_path) as (process_id, _):
        yield process_id


def _memory_mb(process_id: int, name: str) -> float:
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / MEBIBYTE
    raise ValueError(name)


if __name__ == "__main__":
    asyncio.run(measure())
