"""The floor: what a step costs in Python at the least, when its writes are made durable one by one.

A bare gRPC server on the event loop that the service runs on. It makes the same HTTP calls in the
same order, side by side where the service makes them so, through one plain session of aiohttp; and
as many commits, by the service's own group commit, each of a statement on one small row. Nothing is
checked, encrypted, limited, logged or repeated.

`python -m bench.references.floor DATABASE VENDOR_URL`, where the database is a file or a URL as in
the service's settings, and migrated when it is PostgreSQL.
"""

import asyncio
import json
import sys
import uuid
from pathlib import Path
from typing import Any, Protocol, Self

import aiohttp
import grpc

from bench.references import calls
from engagement.v1 import sequence_step_service_pb2 as service_pb2
from engagement.v1.sequence_step_service_pb2_grpc import (
    SequenceStepServiceServicer,
    add_SequenceStepServiceServicer_to_server,
)
from service.stores.postgres_database import PostgresDatabase
from service.stores.sqlite_database import SqliteDatabase

_TABLE = "CREATE TABLE floor_rows (request_id TEXT PRIMARY KEY, commits INTEGER NOT NULL)"


class Rows(Protocol):
    """One small row a request; what a method has done is durable when it returns."""

    async def insert(self, request_id: str) -> None:
        """Insert the request's row."""

    async def update(self, request_id: str) -> None:
        """Change it."""


class SqliteRows:
    """Implements `Rows`."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Make the table in a file of its own."""
        database = await SqliteDatabase.open(path)
        await database.run(lambda connection: connection.execute(_TABLE).close())
        return cls(database)

    async def insert(self, request_id: str) -> None:
        """See `Rows.insert`."""
        insert = "INSERT INTO floor_rows VALUES (?, 1)"
        await self._database.run(lambda connection: connection.execute(insert, (request_id,)))

    async def update(self, request_id: str) -> None:
        """See `Rows.update`."""
        update = "UPDATE floor_rows SET commits = commits + 1 WHERE request_id = ?"
        await self._database.run(lambda connection: connection.execute(update, (request_id,)))


class PostgresRows:
    """Implements `Rows`."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    @classmethod
    async def open(cls, url: str) -> Self:
        """Make the table in a schema that has been migrated."""
        database = await PostgresDatabase.open(url)
        await database.fetch(_TABLE.encode())
        return cls(database)

    async def insert(self, request_id: str) -> None:
        """See `Rows.insert`."""
        insert = b"INSERT INTO floor_rows VALUES (%(request_id)s, 1)"
        await self._database.fetch_grouped(insert, {"request_id": request_id})

    async def update(self, request_id: str) -> None:
        """See `Rows.update`."""
        update = b"UPDATE floor_rows SET commits = commits + 1 WHERE request_id = %(request_id)s"
        await self._database.fetch_grouped(update, {"request_id": request_id})


class Floor(SequenceStepServiceServicer):
    """Makes steps."""

    def __init__(self, rows: Rows, session: aiohttp.ClientSession, vendor_url: str) -> None:
        self._rows = rows
        self._session = session
        self._vendor_url = vendor_url

    async def CreateSequenceStep(  # noqa: N802 - the contract's name
        self,
        request: service_pb2.CreateSequenceStepRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> service_pb2.CreateSequenceStepResponse:
        """Commit, make the provider's calls with a commit before each write, and commit."""
        provider = str(dict(context.invocation_metadata() or ())["x-provider-name"])
        base_url, headers = f"{self._vendor_url}/{provider}", calls.HEADERS[provider]

        async def call(method: str, path: str, body: object = None) -> Any:
            content = None if body is None else json.dumps(body, separators=(",", ":"))
            async with self._session.request(
                method, base_url + path, data=content, headers=headers
            ) as answer:
                return json.loads(await answer.read())

        async def commit() -> None:
            await self._rows.update(request_id)

        request_id = request.request_id or str(uuid.uuid4())
        await self._rows.insert(request_id)
        step_id = await calls.MAKE[provider](request, call, commit)
        await commit()
        return service_pb2.CreateSequenceStepResponse(id=step_id)


async def _serve(database: str, vendor_url: str) -> None:
    is_postgres = "://" in database
    rows: Rows = await (
        PostgresRows.open(database) if is_postgres else SqliteRows.open(Path(database))
    )
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),  # Nobody waits for a connection.
        headers={"User-Agent": "sequence-step-service", "Accept-Encoding": "gzip"},
    ) as session:
        server = grpc.aio.server()
        # The function that protoc makes has no types.
        add_SequenceStepServiceServicer_to_server(  # type: ignore[no-untyped-call]
            Floor(rows, session, vendor_url), server
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        sys.stdout.write(f"{json.dumps({'port': port})}\n")
        sys.stdout.flush()
        await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
