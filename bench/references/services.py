"""The services that are compared: how each is started, and how a step is asked of it."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import aiohttp
import grpc
from google.protobuf.json_format import MessageToDict

from bench import processes
from bench.references import express_program
from bench.references.calls import TOKEN, Request
from bench.references.steps import CUSTOMER, Step
from bench.service_setup import connect, connection, environment_of
from engagement.v1.sequence_step_service_pb2_grpc import SequenceStepServiceStub
from service.providers.registry import PROVIDERS
from service.stores.postgres_migrations import migrate
from tests.postgres_server import PostgresServer

OURS, OURS_POSTGRES = "the service, SQLite", "the service, PostgreSQL"
FLOOR, FLOOR_POSTGRES = "floor, SQLite", "floor, PostgreSQL"
NAIVE, EXPRESS = "naive Python, SQLite", "Express, no journal"

CALL_SECONDS = 60

Ask: TypeAlias = Callable[[Step, Request], Awaitable[str]]
"""Asks for a step and returns its id; raises one of `FAILURES` when there is none."""

FAILURES = (grpc.aio.AioRpcError, aiohttp.ClientError, TimeoutError)


@dataclass(frozen=True)
class Service:
    """One of the services that are compared."""

    name: str
    process_id: int
    ask: Ask
    file: Path | None = None
    """Its database, where that is a file."""


@asynccontextmanager
async def all_services(
    vendor_url: str, database: PostgresServer, folder: Path
) -> AsyncIterator[list[Service]]:
    """Run all of them, each on a database of its own; Express only where it can be built."""
    ours_postgres, floor_postgres = database.new_schema_url(), database.new_schema_url()
    for url in (ours_postgres, floor_postgres):
        await migrate(url)
    sqlite_floor = (str(folder / "floor.db"), vendor_url)
    naive = (str(folder / "naive.db"), vendor_url)
    async with AsyncExitStack() as stack:
        running = [
            _ours(OURS, str(folder / "service.db"), vendor_url, folder),
            _ours(OURS_POSTGRES, ours_postgres, vendor_url, folder),
            _reference(FLOOR, "bench.references.floor", sqlite_floor, folder),
            _reference(
                FLOOR_POSTGRES, "bench.references.floor", (floor_postgres, vendor_url), folder
            ),
            _reference(NAIVE, "bench.references.naive", naive, folder),
        ]
        services = [await stack.enter_async_context(each) for each in running]
        try:
            command = express_program.command(vendor_url)
        except express_program.ExpressMissing as missing:
            sys.stdout.write(f"{missing}\n")
        else:
            services.append(await stack.enter_async_context(_express(command, folder)))
        yield services


@asynccontextmanager
async def _ours(name: str, database: str, vendor_url: str, folder: Path) -> AsyncIterator[Service]:
    environment = environment_of(
        database, vendor_url, ENGAGEMENT_REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX="200"
    )
    await connect(environment, (connection(CUSTOMER, provider, TOKEN) for provider in PROVIDERS))
    started = processes.server("service", ("serve",), environment, folder / f"{name}.log")
    async with started as (process_id, port), _asking(port) as ask:
        yield Service(name, process_id, ask, _file(database))


@asynccontextmanager
async def _reference(
    name: str, module: str, arguments: tuple[str, ...], folder: Path
) -> AsyncIterator[Service]:
    started = processes.server(module, arguments, {}, folder / f"{name}.log")
    async with started as (process_id, port), _asking(port) as ask:
        yield Service(name, process_id, ask, _file(arguments[0]))


def _file(database: str) -> Path | None:
    return None if "://" in database else Path(database)


@asynccontextmanager
async def _asking(port: int) -> AsyncIterator[Ask]:
    """Connect by gRPC."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = SequenceStepServiceStub(channel)  # type: ignore[no-untyped-call]

        async def ask(step: Step, request: Request) -> str:
            answer = await stub.CreateSequenceStep(
                request, metadata=step.metadata, timeout=CALL_SECONDS
            )
            return str(answer.id)

        yield ask


@asynccontextmanager
async def _express(command: tuple[str, ...], folder: Path) -> AsyncIterator[Service]:
    environment = {"NODE_ENV": "production"}
    started = processes.program(command, environment, folder / f"{EXPRESS}.log")
    timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        started as (process_id, port),
        aiohttp.ClientSession(
            connector=connector, timeout=timeout, raise_for_status=True
        ) as session,
    ):

        async def ask(step: Step, request: Request) -> str:
            async with session.post(
                f"http://127.0.0.1:{port}/steps",
                json=MessageToDict(request),
                headers=dict(step.metadata),
            ) as answer:
                return str((await answer.json())["id"])

        yield Service(EXPRESS, process_id, ask)
