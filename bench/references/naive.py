"""What a quick service in Python looks like: gRPC, httpx and SQLite, as one finds them.

It makes the same HTTP calls as the service, through one client of httpx with its default settings,
and as many commits, each statement one of its own, by aiosqlite. Nothing is checked, encrypted,
limited, logged or repeated.

`python -m bench.references.naive DATABASE VENDOR_URL`, where the database is a file.
"""

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

import aiosqlite
import httpx

from bench.references.servicer import ReferenceServicer, serve


class Naive(ReferenceServicer):
    """Makes steps."""

    def __init__(
        self, database: aiosqlite.Connection, client: httpx.AsyncClient, vendor_url: str
    ) -> None:
        super().__init__(vendor_url)
        self._database = database
        self._client = client

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: object) -> Any:
        """See `ReferenceServicer.send`."""
        return (await self._client.request(method, url, json=body, headers=headers)).json()

    async def insert(self, request_id: str) -> None:
        """See `ReferenceServicer.insert`."""
        await self._database.execute("INSERT INTO naive_rows VALUES (?, 1)", (request_id,))

    async def update(self, request_id: str) -> None:
        """See `ReferenceServicer.update`."""
        update = "UPDATE naive_rows SET commits = commits + 1 WHERE request_id = ?"
        await self._database.execute(update, (request_id,))


async def _serve(path: str, vendor_url: str) -> None:
    async with (
        aiosqlite.connect(path, isolation_level=None) as database,  # Each statement is committed.
        httpx.AsyncClient() as client,
    ):
        await database.execute("PRAGMA journal_mode = WAL")
        await database.execute("PRAGMA synchronous = FULL")
        await database.execute(
            "CREATE TABLE naive_rows (request_id TEXT PRIMARY KEY, commits INTEGER NOT NULL)"
        )
        await serve(Naive(database, client, vendor_url))


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
