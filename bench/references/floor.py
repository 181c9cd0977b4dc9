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
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, Self

import aiohttp

from bench.references.servicer import ReferenceServicer, serve
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


class Floor(ReferenceServicer):
    """Makes steps."""

    def __init__(self, rows: Rows, session: aiohttp.ClientSession, vendor_url: str) -> None:
        super().__init__(vendor_url)
        self._rows = rows
        self._session = session

    async def insert(self, request_id: str) -> None:
        """See `ReferenceServicer.insert`."""
        await self._rows.insert(request_id)

    async def update(self, request_id: str) -> None:
        """See `ReferenceServicer.update`."""
        await self._rows.update(request_id)

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: object) -> Any:
        """See `ReferenceServicer.send`."""
        content = None if body is None else json.dumps(body, separators=(",", ":"))
        async with self._session.request(method, url, data=content, headers=headers) as answer:
            return json.loads(await answer.read())


async def _serve(database: str, vendor_url: str) -> None:
    is_postgres = "://" in database
    rows: Rows = await (
        PostgresRows.open(database) if is_postgres else SqliteRows.open(Path(database))
    )
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),  # Nobody waits for a connection.
        headers={"User-Agent": "sequence-step-service", "Accept-Encoding": "gzip"},
    ) as session:
        await serve(Floor(rows, session, vendor_url))


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
